package integration

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lineOf is an entry without what differs from run to run.
func (e trailEntry) lineOf() string {
	words := []string{e.Subsystem + "." + e.Event, e.Outcome, e.Reason, e.Caller, e.Listener, e.Route, e.Name, e.Detail}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), " ")
}

// TestEverythingThatHappensStandsInTheTrailOnce does everything of which the trail
// tells, and reads all of it.
func TestEverythingThatHappensStandsInTheTrailOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		path := writeConfig(t, commitsHook+"\n[[tracker]]\nname = \"kde\"\nurl = \"http://127.0.0.1:9\"\ndialect = \"trac-launchpad\"\nallow_private = true\n")
		args := with(store, "--config", path, "--set", "gateway.id=here", "--set", "audit.key_file="+auditKeyFile(t, "entries"),
			"--set", "limits.mint.rate=1/h", "--set", "limits.mint.burst=2", "--set", "limits.handshake.rate=1/h", "--set", "limits.handshake.burst=4",
			"--set", "limits.hooks.rate=1/h", "--set", "limits.hooks.burst=2", "--set", "limits.tracker_calls.rate=1/h", "--set", "limits.tracker_calls.burst=2",
			"--set", "limits.login.rate=1/h", "--set", "limits.login.burst=1",
			"--set", "public.trusted_proxies=127.0.0.1")
		g := startGateway(t, args...)
		from := "X-Forwarded-For: 192.0.2.7"
		token := mint(t, g, "kde")
		present(t, g, token, "--header", from).wantText(t, http.StatusOK, validatedBody)
		present(t, g, token, "--header", from)
		present(t, g, "made%0Aup", "--header", from)
		curl(t, "--header", from, "http://"+g.Public+callback("", token))
		curl(t, "--header", from, "--request", "POST", "http://"+g.Public+callback("/for/nobody", token))
		if answer := present(t, g, token, "--header", from); answer.Status != http.StatusTooManyRequests {
			t.Fatalf("not throttled: %s", answer)
		}
		mint(t, g)
		call(t, g, "bugs.newBugTrackerToken").wantFault(t, 429, "TOO_MANY_REQUESTS")
		call(t, g, "trackers.getBugs", "kde", []string{"1"}).wantFault(t, 2001, "TRACKER_UNAVAILABLE")
		// The second log-in is one too many, and the third call.
		if answer := call(t, g, "trackers.getBugs", "kde", []string{"1"}); answer.Fault == nil {
			t.Errorf("a call without a session: %s", answer)
		}
		call(t, g, "trackers.getBugs", "kde", []string{"1"}).wantFault(t, 429, "TOO_MANY_REQUESTS")

		secret := createHookToken(t, g.Data, with(args, "--hook", "commits")...)
		callHook(t, g, "commits", "--header", from, "--data", "token="+secret+"&bug=7").wantAccepted(t)
		callHook(t, g, "commits", "--header", from, "--data", "token=wrong&bug=7").wantMismatch(t, "token")
		if answer := callHook(t, g, "commits", "--header", from, "--data", "token=wrong&bug=7"); answer.Status != http.StatusTooManyRequests {
			t.Fatalf("not throttled: %s", answer)
		}
		for _, command := range [][]string{
			{"token", "mint", "--tracker", "kde"}, {"token", "mint", "--tracker", "none"}, {"limits", "reset", "192.0.2.7"}, {"hook-token", "revoke", "--hook", "commits"},
		} {
			runGateway(t, "", nil, with(command, with([]string{"--data", g.Data}, args...)...)...)
		}
		fingerprint := ""
		for _, e := range exportTrail(t, g.Data, args, "--event", "minted", "--listener", "control") {
			fingerprint = e.Subject
		}
		for _, command := range []string{"show", "revoke"} {
			if f := runGateway(t, "", nil, with([]string{"token", command, "--data", g.Data}, with(args, fingerprint)...)...); f.status != 0 {
				t.Errorf("token %s: %+v", command, f)
			}
		}
		if status := g.Stop(); status != 0 {
			t.Errorf("the gateway ended with %d", status)
		}
		// Without a gateway there is a chain for the command.
		if f := runGateway(t, "", nil, with([]string{"token", "revoke", "--data", g.Data}, with(args, fingerprint)...)...); f.status != 0 {
			t.Errorf("token revoke without a gateway: %+v", f)
		}

		var got []string
		digest := ""
		for _, e := range exportTrail(t, g.Data, args) {
			if e.Event == "started" {
				digest, e.Detail = e.Detail, ""
			}
			if e.Time == "" || e.Seq == 0 || e.Code == 0 || len(e.MAC) != 64 {
				t.Errorf("an entry is not whole: %+v", e)
			}
			concerned := e.Subsystem == "token" && e.Reason != "malformed" || e.Subsystem == "throttle" && e.Listener == "public" && e.Route == "handshake" || e.Subsystem == "hook"
			if concerned && e.Event != "refused" && len(e.Subject) != 16 {
				t.Errorf("an entry has no fingerprint: %+v", e)
			}
			got = append(got, e.lineOf())
		}
		if !strings.Contains(digest, "configuration sha256:") {
			t.Errorf("the start tells %q of the configuration", digest)
		}
		want := []string{
			"gateway.started done here", "trail.witnessed done here",
			"token.minted done 127.0.0.1 private /bugs kde",
			"token.consumed intended 192.0.2.7 public handshake kde", "token.consumed done 192.0.2.7 public handshake kde",
			"token.refused refused used 192.0.2.7 public handshake kde",
			"token.refused refused malformed 192.0.2.7 public handshake",
			"token.refused refused method_not_allowed 192.0.2.7 public handshake",
			"token.refused refused unknown_root 192.0.2.7 public handshake",
			"throttle.refused refused too_many_requests 192.0.2.7 public handshake handshake",
			"token.minted done 127.0.0.1 private /bugs",
			"throttle.refused refused too_many_requests 127.0.0.1 private /RPC2 mint",
			"token.minted done kde", "tracker.login failed unavailable kde", "token.revoked intended", "token.revoked done kde",
			"throttle.refused refused too_many_requests login kde",
			"throttle.refused refused too_many_requests 127.0.0.1 private /RPC2 tracker_calls kde",
			"operator.command intended control hook-token create commits", "hook.token_created intended control commits",
			"hook.token_created done control commits", "operator.command done control hook-token create commits",
			"hook.authentication_failed refused mismatch 192.0.2.7 public /hooks/{name} commits field",
			"throttle.refused refused too_many_requests 192.0.2.7 public /hooks/{name} hooks",
			"operator.command intended control token mint kde", "token.minted done control kde", "operator.command done control token mint kde",
			"operator.command intended control token mint none", "operator.command failed resource_not_found control token mint none",
			"operator.command intended control limits reset 192.0.2.7", "operator.command done control limits reset 192.0.2.7",
			"operator.command intended control hook-token revoke commits", "hook.token_revoked intended control commits",
			"hook.token_revoked done control commits", "operator.command done control hook-token revoke commits",
			"operator.command intended control token show", "operator.command done control token show",
			"operator.command intended control token revoke", "token.revoked intended control", "token.revoked done control kde", "operator.command done control token revoke",
			"gateway.stopped done here",
			"gateway.started done here", "trail.witnessed done here",
			"operator.command intended control token revoke", "token.revoked intended control", "token.revoked refused revoked control kde", "operator.command done control token revoke",
			"gateway.stopped done here",
		}
		slices.Sort(got)
		slices.Sort(want)
		if missing, more := without(want, got), without(got, want); len(missing)+len(more) > 0 {
			t.Errorf("missing:\n%s\nnot expected:\n%s", strings.Join(missing, "\n"), strings.Join(more, "\n"))
		}
		verifyTrail(t, g.Data, args).wantWhole(t, 2)
	})
}

// without returns what of some lines is not among others, each counted.
func without(lines, others []string) []string {
	count := map[string]int{}
	for _, line := range others {
		count[line]++
	}
	var left []string
	for _, line := range lines {
		if count[line]--; count[line] < 0 {
			left = append(left, line)
		}
	}
	return left
}

// TestATokenThatExpiresUnusedStandsInTheTrail waits for the store's own look at it.
func TestATokenThatExpiresUnusedStandsInTheTrail(t *testing.T) {
	t.Parallel()
	args := []string{"--set", "token.lifetime=1s"}
	g := startGateway(t, args...)
	mint(t, g)
	g.await(t, func() bool { return len(exportTrail(t, g.Data, args, "--event", "expired")) > 0 })
	if entries := exportTrail(t, g.Data, args, "--event", "expired"); len(entries) != 1 || len(entries[0].Subject) != 16 {
		t.Errorf("the entries are %+v", entries)
	}
}

func TestTheTrailIsReadOverXMLRPCPageByPage(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, store...)
		for range 3 {
			mint(t, g)
		}
		var page struct {
			Events []map[string]any
			After  string
		}
		after, minted := "", 0
		for {
			(<-beginCall(t, g, "/audit", "events", after, 1, map[string]any{"subsystem": "token", "outcome": "done"})).result(t, &page)
			if len(page.Events) == 0 {
				break
			}
			e := page.Events[0]
			if e["event"] != "minted" || e["caller"] != "127.0.0.1" || e["listener"] != "private" || e["seq"] == "" {
				t.Errorf("the event is %v", e)
			}
			minted++
			after = page.After
		}
		if minted != 3 {
			t.Errorf("%d events were read, want 3", minted)
		}
		call(t, g, "audit.events", "no position", 1).wantFault(t, 400, "INVALID_DATA")
		call(t, g, "audit.events", "", 0).wantFault(t, 400, "INVALID_DATA")
		call(t, g, "audit.events", "", 1, map[string]any{"nonsense": "x"}).wantFault(t, 400, "INVALID_DATA", "nonsense")
	})
}

func TestWrongUsageOfTheAuditCommandsIsTold(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, command := range [][]string{
		{}, {"nonsense"}, {"list", "--limit", "0"}, {"list", "--caller", "nobody"}, {"export", "--since", "yesterday"}, {"verify", "more"}, {"checkpoint", "--json"},
	} {
		if f := auditCommand(t, data, nil, command...); f.status != 2 || f.stdout != "" {
			t.Errorf("%q: %+v, want status 2", command, f)
		}
	}
	for _, flags := range [][]string{{"--from", filepath.Join(data, "none")}, {"--set", "audit.key_file=" + filepath.Join(data, "none")}} {
		if f := auditCommand(t, data, flags, "verify"); f.status != 1 || f.stdout != "" {
			t.Errorf("%q: %+v, want status 1", flags, f)
		}
	}
}
