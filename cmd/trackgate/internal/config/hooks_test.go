package config

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/hook"
)

const someHooks = `
[[tracker]]
name = "gnome"
url = "https://bugs.example/trac"
dialect = "trac"

[[tracker.watch]]

[[tracker.watch]]
name = "few"
interval = "90s"
overlap = "10m"
bugs = ["1", "2"]

[[hook]]
name = "commits"
title = "Commits"
key_field = "revision"
kind = "commit"
kind_field = "what"
tracker = "gnome"
tracker_field = "where"
bug_field = "bug"

[[hook.field]]
name = "token"
title = "Token"
description = "What hook-token create prints."
type = "token"

[[hook.field]]
name = "bug"
from = "issue.number"
type = "integer"

[[hook.field]]
name = "what"
required = false
max_length = 20

[[hook.field]]
name = "where"

[[hook.field]]
name = "revision"

[[hook]]
name = "bare"

[[hook]]
name = "a-signed.one"
accept = ["x-hub-signature-256"]
secret_file = "CREDENTIALS"
replay_window = "48h"
`

// hushKey is what no error may show.
const hushKey = "hush-hush-hush-hush"

func TestHooksAndWatchesAreRead(t *testing.T) {
	c, err := loadWith(t, someHooks, "# the newest first\n"+hushKey+" new\r\n\n  "+hushKey+" old  \n")
	if err != nil {
		t.Fatal(err)
	}
	commits, bare, signed := c.Hooks[0].Spec(), c.Hooks[1].Spec(), c.Hooks[2].Spec()
	if got, want := fmt.Sprint(commits.Name, commits.Title, commits.Kind, commits.KindField, commits.Tracker, commits.TrackerField, commits.BugField, commits.DedupField, commits.Accept),
		fmt.Sprint("commits", "Commits", "commit", "what", "gnome", "where", "bug", "revision", []hook.Method{hook.MethodField}); got != want {
		t.Errorf("commits is %s, want %s", got, want)
	}
	for i, want := range []hook.Field{
		{Name: "token", Title: "Token", Description: "What hook-token create prints.", Required: true, Type: hook.TypeToken},
		{Name: "bug", From: "issue.number", Required: true, Type: hook.TypeInteger},
		{Name: "what", MaxLength: 20},
		{Name: "where", Required: true},
		{Name: "revision", Required: true},
	} {
		if commits.Fields[i] != want {
			t.Errorf("field %d is %+v, want %+v", i, commits.Fields[i], want)
		}
	}
	if fmt.Sprint(bare.Accept, bare.Kind, len(bare.Fields)) != fmt.Sprint([]hook.Method{hook.MethodBearer}, "bare", 0) || len(bare.Secrets) != 0 {
		t.Errorf("a hook of nothing but a name is %+v", bare)
	}
	if fmt.Sprint(signed.Accept) != "[x-hub-signature-256]" || fmt.Sprint(reveal(c.Hooks[2].Secrets)) != fmt.Sprint([]string{hushKey + " new", hushKey + " old"}) {
		t.Errorf("the signed one is %+v with %q", signed, reveal(c.Hooks[2].Secrets))
	}
	if a, b := time.Duration(c.Hooks[0].ReplayWindow), time.Duration(c.Hooks[2].ReplayWindow); a != 24*time.Hour || b != 48*time.Hour {
		t.Errorf("the replay windows are %v and %v", a, b)
	}
	all, few := c.Trackers[0].Watch[0], c.Trackers[0].Watch[1]
	if fmt.Sprint(all.Name, time.Duration(all.Interval), time.Duration(all.Overlap), len(all.Bugs)) != fmt.Sprint("all", time.Minute, 2*time.Minute, 0) ||
		fmt.Sprint(few.Name, time.Duration(few.Interval), time.Duration(few.Overlap), few.Bugs) != fmt.Sprint("few", 90*time.Second, 10*time.Minute, []string{"1", "2"}) {
		t.Errorf("the watches are %+v and %+v", all, few)
	}
	if text := fmt.Sprintf("%v %+v %#v", c, c, signed); strings.Contains(text, hushKey) {
		t.Error("a secret prints")
	}
}

func reveal(secrets []Secret) (texts []string) {
	for _, s := range secrets {
		texts = append(texts, s.Reveal())
	}
	return texts
}

func TestTheDefaultsOfEventsAndTheTrail(t *testing.T) {
	c, err := Load(Source{Sets: []string{"gateway.id=gate-1.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, pair := range map[string][2]any{
		"events.max_events":          {c.Events.MaxEvents, 100_000},
		"events.max_age":             {time.Duration(c.Events.MaxAge), 168 * time.Hour},
		"events.key_age":             {time.Duration(c.Events.KeyAge), 72 * time.Hour},
		"audit.key_file":             {c.Audit.KeyFile, ""},
		"audit.required":             {c.Audit.Required, true},
		"audit.max_age":              {time.Duration(c.Audit.MaxAge), 8760 * time.Hour},
		"audit.max_size":             {c.Audit.MaxSize, 1 << 30},
		"limits.hooks.rate":          {c.Limits.Hooks.Rate.String(), "600/m"},
		"limits.hooks.burst":         {c.Limits.Hooks.Burst, 200},
		"limits.hook_failures.rate":  {c.Limits.HookFailures.Rate.String(), "10/m"},
		"limits.hook_failures.burst": {c.Limits.HookFailures.Burst, 10},
		"gateway.id":                 {c.GatewayID(), "gate-1.example"},
		"hooks":                      {len(c.Hooks), 0},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", key, pair[0], pair[1])
		}
	}
	if c, err = Load(Source{}); err != nil || c.GatewayID() == "" {
		t.Errorf("without a name the gateway is called %q, %v", c.GatewayID(), err)
	}
}

func TestSecretsOfHooksComeFromTheEnvironmentOverTheirFile(t *testing.T) {
	standard := func(letter string) string {
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
	}
	text := someHooks + "\n[[hook]]\nname = \"standard\"\naccept = [\"standard-webhooks\"]\n"
	c, err := loadWith(t, text, hushKey+" of the file",
		"TRACKGATE_HOOK_A_SIGNED_ONE_SECRET="+hushKey+" new, "+hushKey+" old,",
		"TRACKGATE_HOOK_STANDARD_SECRET="+standard("a"),
		"TRACKGATE_HOOK_SERVICE_HOST=192.0.2.1", "TRACKGATE_HOOK_PORT_8080_TCP=tcp://192.0.2.1:8080") // which Kubernetes sets beside a service
	if err != nil {
		t.Fatal(err)
	}
	if got := reveal(c.Hooks[2].Secrets); fmt.Sprint(got) != fmt.Sprint([]string{hushKey + " new", hushKey + " old"}) {
		t.Errorf("the signed one has %q", got)
	}
	if got := reveal(c.Hooks[3].Secrets); fmt.Sprint(got) != fmt.Sprint([]string{standard("a")}) {
		t.Errorf("the standard one has %q", got)
	}
}

func TestWrongHooksAndWatchesAreRefusedAtStart(t *testing.T) {
	const entry = "[[hook]]\nname = \"push\"\n"
	field := func(lines string) string { return entry + "[[hook.field]]\n" + lines }
	watch := func(lines string) string {
		return "[[tracker]]\nname = \"gnome\"\nurl = \"https://bugs.example\"\ndialect = \"trac\"\n[[tracker.watch]]\n" + lines
	}
	const signed = entry + "accept = [\"x-hub-signature-256\"]\n"
	for _, tc := range []struct{ name, text, environ, set, want string }{
		{"no name", "[[hook]]\ntitle = \"x\"", "", "", "[[hook]] number 1: name is missing"},
		{"a name that is a path", "[[hook]]\nname = \"../x\"", "", "", "letters, digits, dots, dashes and underscores"},
		{"a long name", "[[hook]]\nname = \"" + strings.Repeat("n", 65) + "\"", "", "", "a name is up to 64"},
		{"two of a name", entry + entry, "", "", `hook "push": there are two of that name`},
		{"an unknown key", entry + "titel = \"x\"", "", "", "unknown key hook.titel: did you mean hook.title?"},
		{"the key of a field", field("name = \"a\"\nmaxlength = 3"), "", "", "did you mean hook.field.max_length?"},
		{"a secret in the text", entry + "secret = \"" + hushKey + "\"", "", "", "unknown key hook.secret"},
		{"a token in the text", entry + "token = \"" + hushKey + "\"", "", "", "unknown key hook.token"},
		{"a hook by --set", "", "", "hook.push.title=x", "web hooks are configured in the file, under [[hook]]"},
		{"an unknown way in", entry + "accept = [\"basic\"]", "", "", `there is no method "basic"`},
		{"a way in twice", entry + "accept = [\"bearer\", \"bearer\"]", "", "", "stands twice"},
		{"a token that is not accepted", field("name = \"t\"\ntype = \"token\"\n") + "[[hook]]\nname = \"b\"\naccept = [\"field\"]", "", "", "no field is the token"},
		{"two tokens", field("name = \"t\"\ntype = \"token\"\n[[hook.field]]\nname = \"u\"\ntype = \"token\""), "", "", "both t and u are tokens"},
		{"an unknown type", field("name = \"t\"\ntype = \"date\""), "", "", `has the type "date"`},
		{"a field twice", field("name = \"t\"\n[[hook.field]]\nname = \"t\""), "", "", "the field t is declared twice"},
		{"a field without a name", field("title = \"T\""), "", "", "a field needs a name"},
		{"a length below zero", field("name = \"t\"\nmax_length = -1"), "", "", "length below 0"},
		{"a switch that is none", field("name = \"t\"\nrequired = \"no\""), "", "", "trackgate.toml:5"},
		{"a key field that is not there", entry + "key_field = \"id\"", "", "", `"id", which is not declared`},
		{"a bug field that is not there", entry + "bug_field = \"id\"", "", "", `"id", which is not declared`},
		{"a kind field of the wrong type", entry + "kind_field = \"k\"\n[[hook.field]]\nname = \"k\"\ntype = \"json\"", "", "", "it must be text or integer"},
		{"a tracker that is not there", entry + "tracker = \"gnom\"", "", "", `no tracker is called "gnom"`},
		{"a short replay window", entry + "replay_window = \"1s\"", "", "", "replay_window"},
		{"a long replay window", entry + "replay_window = \"10000h\"", "", "", "replay_window"},
		{"no secret", signed, "", "", "no secret to check them with"},
		{"an empty secret", signed, "TRACKGATE_HOOK_PUSH_SECRET=", "", "no secret to check them with"},
		{"a short secret", signed, "TRACKGATE_HOOK_PUSH_SECRET=" + hushKey[:9], "", "16 to 1024 bytes, not 9"},
		{"a secret without use", entry, "TRACKGATE_HOOK_PUSH_SECRET=" + hushKey, "", "tokens are not configured but created"},
		{"a secret of no hook", entry, "TRACKGATE_HOOK_PULL_SECRET=" + hushKey, "", "TRACKGATE_HOOK_PULL_SECRET does not end in the name of a configured hook and _SECRET"},
		{"secrets of the wrong kind", strings.Replace(signed, "x-hub-signature-256", "standard-webhooks", 1), "TRACKGATE_HOOK_PUSH_SECRET=" + hushKey, "", "begins with whsec_"},
		{"two hooks with one variable", "[[hook]]\nname = \"a.b\"\n[[hook]]\nname = \"a-b\"", "", "", "both would read their secret from TRACKGATE_HOOK_A_B_SECRET: rename one"},
		{"a file of secrets that is not there", signed + "secret_file = \"/no/such/file\"", "", "", `hook "push": secret_file: `},
		{"no secret in the file", signed + "secret_file = \"CREDENTIALS\"", "", "", "no secret to check them with"},

		{"a short interval", watch("interval = \"4s\""), "", "", `tracker "gnome": watch "all": interval: 4s is not between 5s and 24h0m0s`},
		{"a long interval", watch("interval = \"25h\""), "", "", `interval: 25h0m0s is not between`},
		{"a short overlap", watch("overlap = \"1s\""), "", "", `watch "all": overlap: 1s is not between`},
		{"a long overlap", watch("overlap = \"25h\""), "", "", `overlap: 25h0m0s is not between`},
		{"a watch with a strange name", watch("name = \"a b\""), "", "", `watch "a b": a name is up to 64`},
		{"two watches of a name", watch("[[tracker.watch]]\nname = \"all\""), "", "", `watch "all": there are two of that name`},
		{"an unknown key of a watch", watch("intervall = \"5m\""), "", "", "did you mean tracker.watch.interval?"},
		{"no events", "", "", "events.max_events=0", "events.max_events: 0 is less than 1"},
		{"a short age of events", "", "", "events.max_age=1s", "events.max_age"},
		{"a short age of keys", "", "", "events.key_age=1s", "events.key_age"},
		{"a small trail", "", "", "audit.max_size=1000", "audit.max_size"},
		{"a short age of the trail", "", "", "audit.max_age=1m", "audit.max_age"},
		{"a switch of the trail", "", "", "audit.required=perhaps", `"perhaps" is neither true nor false`},
		{"a gateway with a strange name", "", "", "gateway.id=a b", "gateway.id"},
		{"a dear failure", "", "", "limits.hook_failures.cost=2", "limits.hook_failures.cost: a failure costs 1"},
		{"hooks by tracker", "", "", "limits.hooks.per=tracker", `limits.hooks.per: "tracker" is none of address`},
		{"an unknown policy", "[limits.hook]\nburst = 1", "", "", "did you mean limits.hooks"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var environ []string
			if tc.environ != "" {
				environ = append(environ, tc.environ)
			}
			var err error
			if tc.set != "" {
				_, err = Load(Source{Sets: []string{tc.set}})
			} else {
				_, err = loadWith(t, tc.text, "# none\n", environ...)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), hushKey[:9]) {
				t.Errorf("not fit for a log line: %v", err)
			}
		})
	}
}

func TestACommandBesideTheGatewayNeedsNoSecretOfAHook(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trackgate.toml")
	if err := os.WriteFile(file, []byte("[[hook]]\nname = \"signed\"\naccept = [\"standard-webhooks\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Source{File: file, Command: true}); err != nil {
		t.Error(err)
	}
	if _, err := Load(Source{File: file}); err == nil {
		t.Error("the gateway itself would run without the secret")
	}
}
