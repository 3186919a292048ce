package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestHookTokensAreCreatedWhetherAGatewayRunsOrNot(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		data, config := t.TempDir(), writeConfig(t, commitsHook)
		args := with(store, "--config", config)
		works := func(g *gatewayProcess, token string, want bool) {
			t.Helper()
			answer := callHook(t, g, "commits", "--data", "bug=7&token="+token)
			if want {
				answer.wantAccepted(t)
			} else {
				answer.wantMismatch(t, "token")
			}
		}
		first := createHookToken(t, data, args...)
		g := startGatewayIn(t, data, args...)
		works(g, first, true)
		second := createHookToken(t, data, args...)
		works(g, first, false)
		works(g, second, true)
		g.Stop()
		third := createHookToken(t, data, args...)
		g = startGatewayIn(t, data, args...)
		works(g, second, false)
		works(g, third, true)
		// A token of its own takes a hook out of those that share one.
		own := createHookToken(t, data, with(args, "--hook", "commits")...)
		works(g, third, false)
		works(g, own, true)
		revoke := func(more ...string) finished {
			return runGateway(t, "", nil, with(append([]string{"hook-token", "revoke", "--data", data}, args...), more...)...)
		}
		if f := revoke("--hook", "commits"); f.status != 0 || f.stdout != "" {
			t.Errorf("revoke: %+v", f)
		}
		works(g, own, false)
		works(g, third, false)
		if f := revoke("--hook", "commits"); f.status != 2 || !strings.Contains(f.stderr, "RESOURCE_NOT_FOUND") {
			t.Errorf("revoke of nothing: %+v", f)
		}
	})
}

func TestANewHookTokenEndsTheOldOneOnEveryGatewayAtOnce(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	args := []string{"--set", "store.url=" + redis.URL, "--config", writeConfig(t, commitsHook)}
	a, b := startGateway(t, args...), startGateway(t, args...)
	works := func(token string, want bool) {
		t.Helper()
		for _, g := range []*gatewayProcess{a, b} {
			answer := callHook(t, g, "commits", "--data", "bug=7&token="+token)
			if want {
				answer.wantAccepted(t)
			} else {
				answer.wantMismatch(t, "token")
			}
		}
	}
	first := createHookToken(t, a.Data, args...)
	works(first, true)
	second := createHookToken(t, b.Data, args...)
	works(first, false)
	works(second, true)
	third := createHookToken(t, a.Data, with(args, "--grace", "1h")...)
	works(first, false)
	works(second, true)
	works(third, true)
	list := runGateway(t, "", nil, with([]string{"hook-token", "list", "--data", b.Data}, args...)...)
	if list.status != 0 || !regexp.MustCompile(`(?m)^\(all others\) +[0-9a-f]{16} +live +\S+ +\S+ +-$`).MatchString(list.stdout) ||
		!regexp.MustCompile(`(?m)^\(all others\) +[0-9a-f]{16} +grace +- +\S+ +20\S+Z$`).MatchString(list.stdout) {
		t.Errorf("the list is %+v", list)
	}
	for _, token := range []string{first, second, third} {
		if strings.Contains(list.stdout+list.stderr, token) {
			t.Error("the list shows a token")
		}
	}
	fourth := createHookToken(t, b.Data, args...)
	works(second, false)
	works(third, false)
	works(fourth, true)
	if f := runGateway(t, "", nil, with([]string{"hook-token", "revoke", "--data", b.Data}, args...)...); f.status != 0 {
		t.Errorf("revoke: %+v", f)
	}
	works(fourth, false)
}

func TestTheListTellsWhenAHookTokenWasLastUsed(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(store, "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		list := func() string {
			return runGateway(t, "", nil, "hook-token", "list", "--data", g.Data).stdout
		}
		unused := regexp.MustCompile(`(?m)^\(all others\) +[0-9a-f]{16} +live +20\S+Z +- +-$`)
		if got := list(); !unused.MatchString(got) {
			t.Errorf("before its use:\n%s", got)
		}
		callHook(t, g, "commits", "--data", "bug=7&token=wrong").wantMismatch(t, "token")
		if got := list(); !unused.MatchString(got) {
			t.Errorf("after a wrong one's:\n%s", got)
		}
		callHook(t, g, "commits", "--data", "bug=7&token="+token).wantAccepted(t)
		used := regexp.MustCompile(`(?m)^\(all others\) +[0-9a-f]{16} +live +20\S+Z +20\S+Z +-$`)
		g.await(t, func() bool { return used.MatchString(list()) })
	})
}

func TestTheExitStatusOfHookTokenIsThatOfTheOriginal(t *testing.T) {
	t.Parallel()
	notADirectory := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADirectory, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	notABolt := writeFile(t, "trackgate.db", strings.Repeat("This is no store. ", 1000))
	away := fmt.Sprintf("store.url=redis://127.0.0.1:%d", freePort(t))
	locked := startGateway(t)
	for _, test := range []struct {
		name   string
		status int
		args   []string
		says   string
	}{
		{"done", 0, []string{"create"}, "shown only now"},
		{"done with a grace time", 0, []string{"create", "--hook", "commits", "--grace", "30m"}, "the hook commits"},
		{"done with a list", 0, []string{"list"}, ""},
		{"a store of no kind", 1, []string{"create", "--set", "store.url=mysql://localhost"}, "store.url"},
		{"a store with a wrong address", 1, []string{"create", "--set", "store.url=redis://127.0.0.1:notaport"}, "store.url"},
		{"a store in a file's place", 1, []string{"list", "--set", "store.url=bolt:" + notADirectory + "/store"}, "file/store"},
		{"a file that is no store", 1, []string{"list", "--set", "store.url=bolt:" + notABolt}, "trackgate.db"},
		{"a data directory that is none", 1, []string{"create", "--data", notADirectory}, "file"},
		{"an unknown key", 1, []string{"create", "--set", "stoer.url=redis://127.0.0.1"}, "did you mean store.url"},
		{"Redis is away", 2, []string{"create", "--set", away}, "store"},
		{"Redis is away for the list", 2, []string{"list", "--set", away}, "store"},
		{"Redis is away for revoking", 2, []string{"revoke", "--set", away}, "store"},
		{"the store is in use", 2, []string{"list", "--set", "store.url=bolt:" + filepath.Join(locked.Data, "trackgate.db")}, "in use"},
		{"nothing to revoke", 2, []string{"revoke", "--hook", "nobody"}, "RESOURCE_NOT_FOUND"},
		{"no command", 64, nil, "create, list, revoke"},
		{"an unknown command", 64, []string{"show"}, "create, list, revoke"},
		{"an unknown flag", 64, []string{"create", "--nonsense"}, "nonsense"},
		{"an argument", 64, []string{"create", "commits"}, "takes no arguments"},
		{"a grace time that is none", 64, []string{"create", "--grace", "soon"}, "grace"},
		{"a grace time below zero", 64, []string{"create", "--grace", "-1h"}, "--grace"},
		{"a long grace time", 64, []string{"create", "--grace", "721h"}, "--grace"},
		{"no name of a hook", 64, []string{"create", "--hook", "../x"}, "--hook"},
		{"a grace time for a list", 64, []string{"list", "--grace", "1h"}, "grace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := []string{"hook-token"}
			if len(test.args) > 0 {
				args = append(args, test.args[0], "--data", t.TempDir())
				args = append(args, test.args[1:]...)
			}
			f := runGateway(t, "", nil, args...)
			if f.status != test.status || !strings.Contains(f.stderr, test.says) {
				t.Errorf("%+v, want status %d and %q", f, test.status, test.says)
			}
			if f.status != 0 && f.stdout != "" {
				t.Errorf("a command that failed printed %q", f.stdout)
			}
		})
	}
}

// TestATokenAsAnArgumentOfHookTokenIsNotRepeated is for whoever thinks that he chooses it.
func TestATokenAsAnArgumentOfHookTokenIsNotRepeated(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdefghijABCDEFGHIJxy"
	for _, command := range []string{"create", "list", "revoke"} {
		f := runGateway(t, "", nil, "hook-token", command, "--data", t.TempDir(), token)
		if f.status != 64 || strings.Contains(f.stdout+f.stderr, token) {
			t.Errorf("%s: %+v", command, f)
		}
	}
}

func TestAGraceTimeEnds(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(with(unlimited, store...), "--config", writeConfig(t, commitsHook))...)
		old := createHookToken(t, g.Data)
		next := createHookToken(t, g.Data, "--grace", "1s")
		g.await(t, func() bool {
			return callHook(t, g, "commits", "--data", "bug=7&token="+old).Status == http.StatusForbidden
		})
		callHook(t, g, "commits", "--data", "bug=7&token="+next).wantAccepted(t)
		if list := runGateway(t, "", nil, "hook-token", "list", "--data", g.Data); strings.Contains(list.stdout, "grace") {
			t.Errorf("a token whose grace time is over is listed:\n%s", list.stdout)
		}
	})
}
