package integration

import (
	"net/http"
	"regexp"
	"testing"
)

// slowHooks gives the policies of hooks these bursts, and a rate at which nothing comes back
// during a test.
func slowHooks(calls, failures string) []string {
	return []string{
		"--set", "limits.hooks.rate=1/h", "--set", "limits.hooks.burst=" + calls,
		"--set", "limits.hook_failures.rate=1/h", "--set", "limits.hook_failures.burst=" + failures,
	}
}

func TestCallsOfHooksAreThrottled(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(with(store, slowHooks("3", "100")...), "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		right := func() httpAnswer { return callHook(t, g, "commits", "--data", "bug=7&token="+token) }
		right().wantAccepted(t)
		callHook(t, g, "nothing", "--data", "").wantCatalogueJSON(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
		callHook(t, g, "commits", "--data", "bug=7").wantInvalid(t, "token")
		answer := right()
		answer.wantCatalogueJSON(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
		wantThrottled(t, answer.Header, "hooks")
		if events := readFeed(t, g, ""); len(events) != 1 {
			t.Errorf("a throttled call was stored: %+v", events)
		}
		text := scrape(t, g)
		if allowed, refused := metric(t, text, `trackgate_throttle_decisions_total{outcome="allowed",policy="hooks"}`),
			metric(t, text, `trackgate_throttle_decisions_total{outcome="refused",policy="hooks"}`); allowed != 3 || refused != 1 {
			t.Errorf("%v allowed and %v refused were counted, want 3 and 1", allowed, refused)
		}
		present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody) // which has limits of its own
	})
}

func TestWrongHookTokensAreThrottledAndOtherErrorsAreNot(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, with(with(store, slowHooks("100", "2")...), "--config", writeConfig(t, commitsHook))...)
		token := createHookToken(t, g.Data)
		for range 4 { // what is no failed authentication costs nothing
			callHook(t, g, "commits", "--data", "bug=x&token="+token).wantInvalid(t, "bug")
			callHook(t, g, "commits", "--data", "bug=7").wantInvalid(t, "token")
			callHook(t, g, "commits", "--data", "bug=7&token="+token).wantAccepted(t)
		}
		callHook(t, g, "commits", "--data", "bug=7&token=wrong").wantMismatch(t, "token")
		callHook(t, g, "commits", "--data", "bug=7&token=wrong").wantMismatch(t, "token")
		// From now on nobody there is told whether a token is right.
		for _, text := range []string{"wrong", token} {
			answer := callHook(t, g, "commits", "--data", "bug=7&token="+text)
			answer.wantCatalogueJSON(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS")
			wantThrottled(t, answer.Header, "hook_failures")
		}
	})
}

func TestTheLimitsOfHooksAreShownAndReset(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(slowHooks("9", "1"), "--config", writeConfig(t, commitsHook))...)
	limits := func(args ...string) string {
		f := runGateway(t, "", nil, append(append([]string{"limits"}, args...), "--data", g.Data)...)
		if f.status != 0 {
			t.Errorf("%q: %+v", args, f)
		}
		return f.stdout
	}
	table := limits("show")
	for _, line := range []string{`(?m)^hooks +hooks +address +1/h +9 +1 +yes$`, `(?m)^hook_failures +hook_failures +address +1/h +1 +1 +yes$`} {
		if !regexp.MustCompile(line).MatchString(table) {
			t.Errorf("%s is not in\n%s", line, table)
		}
	}
	callHook(t, g, "commits", "--data", "bug=7&token=wrong").wantMismatch(t, "token")
	if got := limits("show", "127.0.0.1"); !regexp.MustCompile(`(?m)^hooks +127\.0\.0\.1 +8 +9 `).MatchString(got) ||
		!regexp.MustCompile(`(?m)^hook_failures +127\.0\.0\.1 +0 +1 `).MatchString(got) {
		t.Errorf("the buckets are\n%s", got)
	}
	if answer := callHook(t, g, "commits", "--data", "bug=7&token=wrong"); answer.Status != http.StatusTooManyRequests {
		t.Errorf("the second failure: %s", answer)
	}
	limits("reset", "127.0.0.1")
	callHook(t, g, "commits", "--data", "bug=7&token=wrong").wantMismatch(t, "token")
}
