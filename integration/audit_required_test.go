package integration

import (
	"net/http"
	"strings"
	"testing"
)

// trailTrouble is a Redis that refuses to write the trail, and nothing else of what a
// gateway does.
func trailTrouble(tb testing.TB) (r *redisProcess, begin, end func()) {
	tb.Helper()
	r = startRedis(tb, redisOptions{})
	// Only the trail and the feed are streams, and only the trail is written here.
	allow := func(xadd string) func() {
		return func() {
			tb.Helper()
			if said := redisCLI(tb, r, "ACL", "SETUSER", "default", xadd); said != "OK" {
				tb.Fatal(said)
			}
		}
	}
	return r, allow("-xadd"), allow("+xadd")
}

func TestWhatTheTrailCannotRecordIsRefused(t *testing.T) {
	t.Parallel()
	redis, begin, end := trailTrouble(t)
	path := writeConfig(t, commitsHook)
	args := with(unlimited, "--config", path, "--set", "store.url="+redis.URL, "--set", "audit.key_file="+auditKeyFile(t, "required"))
	g := startGateway(t, args...)
	secret := createHookToken(t, g.Data, with(args, "--hook", "commits")...)
	token := mint(t, g)
	before := len(redisKeys(t, redis.Addr, "trackgate:*token*"))

	begin()
	call(t, g, "bugs.newBugTrackerToken").wantFault(t, 503, "STORE_UNAVAILABLE")
	for range 2 {
		if answer := present(t, g, token); answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("a callback: %s", answer)
		}
	}
	callHook(t, g, "commits", "--data", "token=wrong&bug=7").wantCatalogueJSON(t, http.StatusServiceUnavailable, "STORE_UNAVAILABLE")
	for _, command := range [][]string{{"token", "mint"}, {"hook-token", "create", "--hook", "commits"}, {"hook-token", "revoke", "--hook", "commits"}, {"limits", "reset"}} {
		run := with(command, with([]string{"--data", g.Data}, args...)...)
		if command[0] == "limits" {
			run = append(run, "192.0.2.7")
		}
		if f := runGateway(t, "", nil, run...); f.status == 0 || f.stdout != "" {
			t.Errorf("%q: %+v", command, f)
		}
	}
	if f := runGateway(t, token+"\n", nil, with([]string{"token", "revoke", "--data", g.Data}, args...)...); f.status == 0 {
		t.Errorf("token revoke: %+v", f)
	}
	if now := len(redisKeys(t, redis.Addr, "trackgate:*token*")); now != before {
		t.Errorf("Redis had %d keys of tokens and has %d", before, now)
	}

	end()
	// Nothing of it has happened: the token is good, and so is that of the hook.
	g.await(t, func() bool { return call(t, g, "bugs.newBugTrackerToken").Fault == nil })
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	callHook(t, g, "commits", "--data", "token="+secret+"&bug=7").wantAccepted(t)
	g.Stop()
	verifyTrail(t, g.Data, args).wantWhole(t, 1)
	consumed := 0
	for _, e := range exportTrail(t, g.Data, args, "--event", "consumed", "--outcome", "done") {
		if e.Subject == fingerprintOf(t, token) {
			consumed++
		}
	}
	if consumed != 1 {
		t.Errorf("by the trail the token was consumed %d times", consumed)
	}
}

func TestATrailThatIsNotRequiredIsMadeUpForLater(t *testing.T) {
	t.Parallel()
	redis, begin, end := trailTrouble(t)
	args := with(unlimited, "--config", writeConfig(t, commitsHook), "--set", "store.url="+redis.URL, "--set", "audit.required=false")
	g := startGateway(t, args...)
	createHookToken(t, g.Data, with(args, "--hook", "commits")...)
	begin()
	token := mint(t, g)
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	callHook(t, g, "commits", "--data", "token=wrong&bug=7").wantMismatch(t, "token")
	if f := runGateway(t, "", nil, with([]string{"token", "mint", "--data", g.Data}, args...)...); f.status != 0 {
		t.Errorf("token mint: %+v", f)
	}
	g.await(t, func() bool {
		return strings.Contains(g.Output(), "level=WARN") && strings.Contains(g.Output(), "audit")
	})
	end()
	g.Stop()
	verifyTrail(t, g.Data, args).wantWhole(t, 1)
	entries := exportTrail(t, g.Data, args)
	told := map[string]int{}
	for _, e := range entries {
		if e.Subject == fingerprintOf(t, token) || e.Event == "authentication_failed" || e.Name == "token mint" {
			told[e.Event+" "+e.Outcome]++
		}
	}
	for _, want := range []string{"minted done", "consumed done", "authentication_failed refused", "command intended", "command done"} {
		// What Redis did not confirm is written again, and may stand there twice.
		if told[want] == 0 {
			t.Errorf("the trail does not tell %q: %v", want, told)
		}
	}
}
