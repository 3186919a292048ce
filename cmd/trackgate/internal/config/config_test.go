package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trackgate.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheDefaultsAreThoseOfTheDesign(t *testing.T) {
	c, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	for key, pair := range map[string][2]any{
		"private.listen":     {c.Private.Listen, "127.0.0.1:8087"},
		"public.listen":      {c.Public.Listen, "127.0.0.1:8080"},
		"admin.listen":       {c.Admin.Listen, "127.0.0.1:9087"},
		"token.lifetime":     {time.Duration(c.Token.Lifetime), 10 * time.Minute},
		"token.retention":    {time.Duration(c.Token.Retention), 24 * time.Hour},
		"limits.replicas":    {c.Limits.Replicas, 1},
		"limits.mint":        {c.Limits.Mint.Rate.String(), "600/m"},
		"limits.mint.burst":  {c.Limits.Mint.Burst, 200},
		"limits.handshake":   {c.Limits.Handshake.Rate.String(), "60/m"},
		"limits.failures":    {c.Limits.HandshakeFailures.Rate.String(), "10/m"},
		"request.max_body":   {c.Request.MaxBody, 1 << 20},
		"request.max_depth":  {c.Request.MaxDepth, 64},
		"request.max_values": {c.Request.MaxValues, 100_000},
		"bridge.max_answer":  {c.Bridge.MaxAnswer, 32 << 20},
		"private.echo":       {c.Private.Echo, false},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", key, pair[0], pair[1])
		}
	}
}

func TestLaterSourcesWinOverEarlierOnes(t *testing.T) {
	path := file(t, `
[private]
listen = "127.0.0.1:1"
allow = ["192.0.2.0/24"]
[token]
lifetime = "5m"
[limits.mint]
rate = "5/s"
burst = 7
[[tracker]]
name = "gnome"
url = "https://bugs.example/lp"
dialect = "trac-launchpad"
callback = "own"
callback_from = ["198.51.100.7", "2001:db8::/32"]
`)
	c, err := Load(Source{
		File:    path,
		Environ: []string{"TRACKGATE_PRIVATE_LISTEN=127.0.0.1:2", "TRACKGATE_LIMITS_HANDSHAKE_FAILURES_BURST=3", "PATH=/bin", "TRACKGATE_SERVICE_HOST=10.0.0.1", "TRACKGATE_PORT=tcp://10.0.0.1", "TRACKGATE_REDIS_SERVICE_HOST=10.0.0.1", "TRACKGATE_REDIS_PORT_6379_TCP_ADDR=10.0.0.1"},
		Sets:    []string{"limits.mint.burst=9", "private.echo=true", "public.trusted_proxies=10.0.0.1, 10.1.0.0/16"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Private.Listen, " ", len(c.Private.Allow), " ", c.Token.Lifetime, " ", c.Limits.Mint.Rate, " ", c.Limits.Mint.Burst, " ",
		c.Limits.HandshakeFailures.Burst, " ", c.Private.Echo, " ", Prefixes(c.Public.TrustedProxies))
	want := "127.0.0.1:2 1 " + fmt.Sprint(Duration(5*time.Minute)) + " 5/s 9 3 true [10.0.0.1/32 10.1.0.0/16]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	tracker := c.Trackers[0]
	if len(c.Trackers) != 1 || tracker.Name != "gnome" || tracker.Callback != "own" || fmt.Sprint(Prefixes(tracker.CallbackFrom)) != "[198.51.100.7/32 2001:db8::/32]" {
		t.Errorf("trackers: %+v", c.Trackers)
	}
	if again, _ := Load(Source{}); len(again.Private.Allow) != 6 {
		t.Errorf("one configuration changed the next one's defaults: %v", Prefixes(again.Private.Allow))
	}
}

func TestMistakesAreNamedWithWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		env, sets  []string
		want       string
	}{
		{name: "an unknown key names the nearest", file: "[private]\nlisen = \"x\"", want: "trackgate.toml:2: unknown key private.lisen: did you mean private.listen?"},
		{name: "an unknown key of a tracker", file: "[[tracker]]\nname = \"a\"\nallow_privat = true", want: "unknown key tracker.allow_privat: did you mean tracker.allow_private?"},
		{name: "an unknown section", file: "[privat]\necho = true", want: "unknown key privat: did you mean private?"},
		{name: "a wrong type", file: "[private]\necho = \"yes\"", want: "trackgate.toml:2: "},
		{name: "broken TOML", file: "[private\n", want: "trackgate.toml:1: "},
		{name: "an unknown --set", sets: []string{"limits.mint.brst=3"}, want: "--set limits.mint.brst: unknown key limits.mint.brst: did you mean limits.mint.burst?"},
		{name: "a --set without value", sets: []string{"private.echo"}, want: "write it as section.key=value"},
		{name: "a section cannot be set", sets: []string{"private=1"}, want: "unknown key private"},
		{name: "trackers are not set one by one", sets: []string{"tracker.gnome.url=x"}, want: "trackers are configured in the file"},
		{name: "an unknown variable", env: []string{"TRACKGATE_PRIVATE_LISTN=x"}, want: "did you mean TRACKGATE_PRIVATE_LISTEN?"},
		{name: "not a whole number", sets: []string{"limits.mint.burst=many"}, want: `"many" is not a whole number`},
		{name: "not a bool", env: []string{"TRACKGATE_PRIVATE_ECHO=maybe"}, want: "neither true nor false"},
		{name: "not a rate", sets: []string{"limits.mint.rate=fast"}, want: "--set limits.mint.rate: "},
		{name: "not a duration", sets: []string{"token.lifetime=10"}, want: "not a duration"},
		{name: "not a network", sets: []string{"private.allow=10.0.0.0/99"}, want: "not a network"},
		{name: "a burst of none", sets: []string{"limits.handshake.burst=0"}, want: "limits.handshake.burst: 0 is less than 1"},
		{name: "a fraction of a second", sets: []string{"token.lifetime=1500ms"}, want: "token.lifetime: 1.5s: write whole seconds"},
		{name: "too large a burst", sets: []string{"limits.mint.burst=2000000"}, want: "limits.mint.burst: 2000000 is more than 1000000"},
		{name: "too many replicas", sets: []string{"limits.replicas=20000"}, want: "limits.replicas: 20000 is more than 10000"},
		{name: "a store without a path", sets: []string{"store.url=bolt://"}, want: "store.url: bolt: needs a path"},
		{name: "a password on the command line", sets: []string{"store.url=redis://:hush@127.0.0.1"}, want: "TRACKGATE_STORE_URL"},
		{name: "a password in the file", file: "[store]\nurl = \"redis://u:hush@127.0.0.1\"", want: "TRACKGATE_STORE_URL"},
		{name: "a password for several hosts", sets: []string{"store.url=redis+cluster://me:hush@10.0.0.1:1,10.0.0.2:1"}, want: "TRACKGATE_STORE_URL"},
		{name: "a password for sentinels", sets: []string{"store.url=redis+sentinel://10.0.0.1:1/gate?sentinel_password=hush"}, want: "TRACKGATE_STORE_URL"},
		{name: "a fence of another kind", sets: []string{"store.fence=perhaps"}, want: "store.fence"},
		{name: "a long wait for replicas", sets: []string{"store.wait_limit=2s"}, want: "store.wait_limit"},
		{name: "a slip with a password", sets: []string{"store.url:redis://:hush@127.0.0.1"}, want: "section.key=value"},
		{name: "too long a lifetime", sets: []string{"token.lifetime=25h"}, want: "token.lifetime: 25h0m0s is not between 1s and 24h0m0s"},
		{name: "not an address", sets: []string{"public.listen=8080"}, want: `public.listen: "8080" is not host:port`},
		{name: "not a store", sets: []string{"store.url=mysql://x"}, want: "store.url: must be bolt:PATH, redis://"},
		{name: "a tracker without a name", file: "[[tracker]]\nurl = \"http://x\"", want: "number 1: name is missing"},
		{name: "two trackers of one name", file: strings.Repeat("[[tracker]]\nname = \"a\"\nurl = \"http://x\"\ndialect = \"d\"\n", 2), want: "there are two of that name"},
		{name: "a password in a tracker's URL", file: "[[tracker]]\nname = \"a\"\ndialect = \"d\"\nurl = \"http://u:hush@x\"", want: "must not hold a user or password"},
		{name: "a name that is a path", file: "[[tracker]]\nname = \"../a\"", want: "letters, digits, dots, dashes and underscores"},
		{name: "an unknown callback", file: "[[tracker]]\nname = \"a\"\ndialect = \"d\"\nurl = \"http://x\"\ncallback = \"mine\"", want: `"mine" is none of common, own`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := Source{Environ: tc.env, Sets: tc.sets}
			if tc.file != "" {
				src.File = file(t, tc.file)
			}
			_, err := Load(src)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hush") {
				t.Errorf("not fit for a log line: %v", err)
			}
		})
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	_, err := Load(Source{File: "/no/such/file.toml"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/file.toml") {
		t.Errorf("got %v", err)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c, err := Load(Source{Environ: []string{"TRACKGATE_STORE_URL=redis://:hush@127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", c, c, c.Store, c.Store.URL); strings.Contains(s, "hush") {
		t.Error("a password prints")
	}
	if c.Store.URL.Reveal() != "redis://:hush@127.0.0.1" {
		t.Error("the URL is lost")
	}
}

// Every key of the file can be given by a variable of its own.
func TestNoTwoKeysShareAVariable(t *testing.T) {
	var names []string
	for _, key := range scalarKeys() {
		names = append(names, variable(key))
	}
	slices.Sort(names)
	if compact := slices.Compact(slices.Clone(names)); len(compact) != len(names) {
		t.Errorf("shared variables in %v", names)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("[private]\necho = true\n")
	f.Add("[[tracker]]\nname = \"a\"\nurl = \"http://x\"\ndialect = \"d\"\n")
	f.Add("[limits.mint]\nrate = \"5/s\"\nburst = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Load(Source{File: file(t, text)})
		if (c == nil) == (err == nil) {
			t.Fatalf("neither a configuration nor an error, or both: %v, %v", c, err)
		}
	})
}

func TestAMappedNetworkIsTheIPv4OneItMeans(t *testing.T) {
	c, err := Load(Source{Sets: []string{"private.allow=::ffff:192.0.2.0/120, ::ffff:198.51.100.7"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Prefixes(c.Private.Allow)); got != "[192.0.2.0/24 198.51.100.7/32]" {
		t.Errorf("got %s", got)
	}
}
