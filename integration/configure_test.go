package integration

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// takenAddress is a loopback address on which something listens already.
func takenAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// TestSettingsOverrideTheEnvironmentAndThatOverridesTheFile sees which address
// the gateway tried by what it says about one that is in use.
func TestSettingsOverrideTheEnvironmentAndThatOverridesTheFile(t *testing.T) {
	t.Parallel()
	inFile, inEnv, inFirst, inLast := takenAddress(t), takenAddress(t), takenAddress(t), takenAddress(t)
	file := writeConfig(t, "[private]\nlisten = \""+inFile+"\"\n")
	base := []string{"serve", "--data", t.TempDir(), "--set", "public.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--config", file}
	env := []string{"TRACKGATE_PRIVATE_LISTEN=" + inEnv}
	set := with(base, "--set", "private.listen="+inFirst, "--set", "private.listen="+inLast)
	runGateway(t, "", nil, base...).wantOneLine(t, inFile)
	runGateway(t, "", env, base...).wantOneLine(t, inEnv)
	runGateway(t, "", nil, set...).wantOneLine(t, inLast)
	runGateway(t, "", env, set...).wantOneLine(t, inLast)
}

func TestAnUnknownKeyNamesTheNearestOne(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file string
		env        []string
		set        string
		want       []string
	}{
		{"in the file", "[private]\nlissen = \"127.0.0.1:0\"\n", nil, "", []string{"private.lissen", "private.listen", "trackgate.toml:2"}},
		{"in a section of limits", "[limits.mint]\nbrust = 3\n", nil, "", []string{"limits.mint.burst"}},
		{"in a section that does not exist", "[pubic]\nlisten = \"127.0.0.1:0\"\n", nil, "", []string{"pubic", "public"}},
		{"in a tracker", "[[tracker]]\nname = \"a\"\nurl = \"http://a.example\"\ndialekt = \"trac\"\n", nil, "", []string{"dialekt", "tracker.dialect"}},
		{"in a watch", "[[tracker]]\nname = \"a\"\n[[tracker.watch]]\nintervall = \"5m\"\n", nil, "", []string{"tracker.watch.interval"}},
		{"in a hook", "[[hook]]\nname = \"a\"\nacept = [\"bearer\"]\n", nil, "", []string{"hook.acept", "hook.accept"}},
		{"in a field of a hook", "[[hook]]\nname = \"a\"\n[[hook.field]]\nnam = \"a\"\n", nil, "", []string{"hook.field.name", "trackgate.toml:4"}},
		{"in the environment", "", []string{"TRACKGATE_TOKEN_LIFETIMES=5m"}, "", []string{"TRACKGATE_TOKEN_LIFETIMES", "TRACKGATE_TOKEN_LIFETIME"}},
		{"on the command line", "", nil, "public.trusted_proxy=127.0.0.1", []string{"public.trusted_proxy", "public.trusted_proxies"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := with([]string{"serve", "--data", t.TempDir()}, freeListeners...)
			if test.file != "" {
				args = append(args, "--config", writeConfig(t, test.file))
			}
			if test.set != "" {
				args = append(args, "--set", test.set)
			}
			runGateway(t, "", test.env, args...).wantOneLine(t, append(test.want, "did you mean")...)
		})
	}
}

func TestAValueThatMakesNoSenseNamesItsKey(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"private.listen=nowhere", "private.allow=everybody", "private.echo=perhaps", "public.url=ftp://gate.example",
		"store.url=mysql://localhost", "token.lifetime=soon", "token.lifetime=0s", "token.retention=-1h", "limits.replicas=0",
		"limits.mint.rate=many", "limits.mint.burst=0", "limits.handshake.rate=5/d", "request.max_body=big", "log.level=loud",
	} {
		key, _, _ := strings.Cut(setting, "=")
		args := with([]string{"serve", "--data", t.TempDir()}, freeListeners...)
		runGateway(t, "", nil, with(args, "--set", setting)...).wantOneLine(t, key)
	}
	runGateway(t, "", nil, "serve", "--data", t.TempDir(), "--config", "/nowhere/trackgate.toml").wantOneLine(t, "/nowhere/trackgate.toml")
	runGateway(t, "", nil, "serve", "--data", t.TempDir(), "--config", writeConfig(t, "private = [")).wantOneLine(t, "trackgate.toml:1")
}

func TestAPasswordInTheStoresAddressIsNotPrinted(t *testing.T) {
	t.Parallel()
	const password = "hunter2hunter2"
	for _, url := range []string{
		"redis://:" + password + "@127.0.0.1:notaport/0", "mysql://user:" + password + "@db.example/", "redis://:" + password + "@127.0.0.1:1/notanumber",
	} {
		args := with([]string{"serve", "--data", t.TempDir()}, freeListeners...)
		f := runGateway(t, "", []string{"TRACKGATE_STORE_URL=" + url}, args...)
		f.wantOneLine(t, "store.url")
		if strings.Contains(f.stdout+f.stderr, password) {
			t.Errorf("the password is in %q", f.stderr)
		}
	}
}

// TestAFileWithEveryKeyOfTheContractStarts uses the names that everyone's
// scripts use.
func TestAFileWithEveryKeyOfTheContractStarts(t *testing.T) {
	t.Parallel()
	store := filepath.Join(t.TempDir(), "elsewhere.db")
	file := writeConfig(t, `
[private]
hosts = ["gate.corp.example"]
allow = ["127.0.0.0/8", "::1"]
echo = true

[public]
url = "https://gate.example.org/root"
trusted_proxies = ["10.0.0.0/8"]

[admin]
hosts = ["admin.corp.example"]

[store]
url = "bolt:`+store+`"

[token]
lifetime = "5m"
retention = "1h"

[limits]
replicas = 2

[limits.mint]
rate = "5/s"
burst = 5

[limits.handshake]
rate = "60/m"
burst = 60

[limits.handshake_failures]
rate = "off"
burst = 1

[[tracker]]
name = "gnome"
url = "https://bugs.example.org/trac"
dialect = "trac-launchpad"
allow_private = false
callback = "own"
callback_from = ["192.0.2.0/24", "2001:db8::/32"]

[gateway]
id = "gate-1"

[events]
max_events = 1000
max_age = "24h"
key_age = "12h"

[audit]
key_file = "`+writeFile(t, "audit.keys", newSessionKey())+`"
required = false
max_age = "720h"
max_size = 10485760

[limits.hooks]
rate = "10/s"
burst = 50

[limits.hook_failures]
rate = "5/m"
burst = 5

[[hook]]
name = "push"
title = "Pushes"
accept = ["x-hub-signature-256", "bearer"]
secret_file = "`+writeFile(t, "push", "a secret of some length\n")+`"
replay_window = "12h"
key_field = "id"
kind = "push"
kind_field = "kind"
tracker = "gnome"
tracker_field = "tracker"
bug_field = "bug"

[[hook.field]]
name = "id"
from = "delivery.id"
title = "Id"
description = "What tells deliveries apart."
required = true
type = "text"
max_length = 100

[[hook.field]]
name = "kind"
[[hook.field]]
name = "tracker"
[[hook.field]]
name = "bug"
type = "integer"
`)
	g := startGateway(t, "--config", file)
	if _, err := os.Stat(store); err != nil {
		t.Errorf("the store is not where store.url says: %v", err)
	}
	if !strings.Contains(g.Output(), "https://gate.example.org/root") {
		t.Errorf("public.url is not announced:\n%s", g.Output())
	}
	if strings.Contains(g.Output(), "level=WARN") {
		t.Errorf("a gateway that is set up well warns:\n%s", g.Output())
	}
	var methods []string
	call(t, g, "system.listMethods").result(t, &methods)
	if !slices.Contains(methods, "bridge.echo") {
		t.Errorf("private.echo adds no bridge.echo to %v", methods)
	}
	var trackers []struct {
		Name, URL, Dialect, Session string
		Capabilities                []string
	}
	call(t, g, "trackers.list").result(t, &trackers)
	if len(trackers) != 1 || trackers[0].Name != "gnome" || trackers[0].URL != "https://bugs.example.org/trac" ||
		trackers[0].Dialect != "trac-launchpad" || trackers[0].Session != "none" || len(trackers[0].Capabilities) == 0 {
		t.Errorf("trackers.list gives %+v", trackers)
	}
}

func TestEchoIsOffByDefaultAndReturnsItsParametersWhenOn(t *testing.T) {
	t.Parallel()
	call(t, startGateway(t), "bridge.echo", 1).wantFault(t, -32601, "")
	answer := call(t, startGateway(t, "--set", "private.echo=true"), "bridge.echo", 1, "zwei", []any{true}, map[string]any{"a": "b"})
	var got []any
	answer.result(t, &got)
	want := `[1,"zwei",[true],{"a":"b"}]`
	if text, err := json.Marshal(got); err != nil || string(text) != want {
		t.Errorf("bridge.echo returned %s, %v, want %s", text, err, want)
	}
}

func TestATrackerThatOthersCouldLogInToIsWarnedAbout(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, "",
		trackerEntry{"open", "https://open.example", ""},
		trackerEntry{"own", "https://own.example", "callback = \"own\"\n"},
		trackerEntry{"from", "https://from.example", "callback_from = [\"192.0.2.0/24\"]\n"})
	g := startGateway(t, "--config", file)
	for name, warned := range map[string]bool{"open": true, "own": false, "from": false} {
		if got := strings.Contains(g.Output(), "tracker="+name); got != warned {
			t.Errorf("%s: warned %t, want %t\n%s", name, got, warned, g.Output())
		}
	}
}
