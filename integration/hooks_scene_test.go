package integration

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// commitsHook is a hook whose callers send a token in a field.
const commitsHook = `
[[hook]]
name = "commits"
title = "Commits"
bug_field = "bug"
key_field = "revision"

[[hook.field]]
name = "token"
title = "Token"
type = "token"

[[hook.field]]
name = "bug"
from = "issue.number"
type = "integer"

[[hook.field]]
name = "message"
required = false
max_length = 40

[[hook.field]]
name = "revision"
required = false
`

// buildsHook is one whose callers send a token in a header, and whose kind is what they say.
const buildsHook = `
[[hook]]
name = "builds"
kind = "build"
kind_field = "state"
accept = ["bearer"]

[[hook.field]]
name = "state"
required = false
`

// signedHook is one with a way of signing and what else its entry says.
func signedHook(name, accept, lines string) string {
	return "\n[[hook]]\nname = \"" + name + "\"\naccept = [\"" + accept + "\"]\n" + lines + "\n[[hook.field]]\nname = \"text\"\n"
}

// hookTokenLine is what hook-token create prints.
var hookTokenLine = regexp.MustCompile(`^[0-9A-Za-z]{32}\n$`)

// createHookToken makes a token on the command line.
func createHookToken(tb testing.TB, data string, args ...string) string {
	tb.Helper()
	f := runGateway(tb, "", nil, append([]string{"hook-token", "create", "--data", data}, args...)...)
	if f.status != 0 || !hookTokenLine.MatchString(f.stdout) {
		tb.Fatalf("hook-token create: %+v", f)
	}
	return strings.TrimSpace(f.stdout)
}

// callHook POSTs to a hook, with curl.
func callHook(tb testing.TB, g *gatewayProcess, name string, args ...string) httpAnswer {
	tb.Helper()
	return curl(tb, append(args, "http://"+g.Public+"/hooks/"+name)...)
}

// hookAccepted is the whole body of an answer to an accepted call.
var hookAccepted = regexp.MustCompile(`^\{"status":"ok","after":"([^"]+)","ignored":\d+\}$`)

// wantAccepted checks that a call was accepted, and returns where its event is.
func (a httpAnswer) wantAccepted(tb testing.TB) string {
	tb.Helper()
	match := hookAccepted.FindStringSubmatch(a.Body)
	if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json; charset=utf-8" || match == nil {
		tb.Fatalf("not accepted: %s", a)
	}
	return match[1]
}

// wantMismatch checks that a call was refused for its token or signature.
func (a httpAnswer) wantMismatch(tb testing.TB, at string) {
	tb.Helper()
	e := a.wantCatalogueJSON(tb, http.StatusForbidden, "TOKEN_MISMATCH")
	if (*e.Extra)[at] == nil || e.ErrorList[0].Code != "invalid-credentials" {
		tb.Errorf("got %s, want the mismatch at %s", a, at)
	}
}

// wantInvalid checks that a call was refused for errors at these fields and headers, and no others.
func (a httpAnswer) wantInvalid(tb testing.TB, at ...string) {
	tb.Helper()
	e := a.wantCatalogueJSON(tb, http.StatusBadRequest, "INVALID_DATA")
	if e.ErrorList[0].Code != "invalid-data" || len(*e.Extra) != len(at) {
		tb.Errorf("got %s, want errors at %q", a, at)
	}
	for _, field := range at {
		if (*e.Extra)[field] == nil {
			tb.Errorf("got %s, want an error at %s", a, field)
		}
	}
}

// feedEvent is an event as Python's client read it.
type feedEvent struct {
	After, Source, Kind, Tracker, Bug string
	Time                              moment
	Data                              map[string]any
}

// feedPage is what hooks.events and hooks.wait return.
type feedPage struct {
	Events    []feedEvent
	After     string
	Truncated bool
}

// readFeed reads all events after a position, with Python.
func readFeed(tb testing.TB, g *gatewayProcess, after string) []feedEvent {
	tb.Helper()
	var all []feedEvent
	for {
		var page feedPage
		(<-beginCall(tb, g, "/hooks", "events", after, 1000)).result(tb, &page)
		if len(page.Events) == 0 {
			return all
		}
		all, after = append(all, page.Events...), page.After
	}
}

// onBothStores runs a test on the default store and on Redis.
func onBothStores(t *testing.T, test func(t *testing.T, store []string)) {
	t.Parallel()
	t.Run("on bolt", func(t *testing.T) {
		t.Parallel()
		test(t, nil)
	})
	t.Run("on Redis", func(t *testing.T) {
		t.Parallel()
		test(t, []string{"--set", "store.url=" + startRedis(t, redisOptions{}).URL})
	})
}

// redisCLI runs one command with redis-cli.
func redisCLI(tb testing.TB, redis *redisProcess, args ...string) string {
	tb.Helper()
	host, port, _ := strings.Cut(redis.Addr, ":")
	return printed(tb, "", "redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
}
