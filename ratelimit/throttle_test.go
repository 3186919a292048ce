package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

// newThrottle is a throttle without jitter.
func newThrottle(tb testing.TB, l ratelimit.Limiter, o ratelimit.Observer, opts ...ratelimit.ThrottleOption) *ratelimit.Throttle {
	tb.Helper()
	opts = append([]ratelimit.ThrottleOption{ratelimit.WithRandom(func() float64 { return 0 })}, opts...)
	th, err := ratelimit.NewThrottle(l, newCallers(tb, "10.0.0.0/8"), o, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return th
}

func newGate(tb testing.TB, th *ratelimit.Throttle, requests, failures ratelimit.Policy) *ratelimit.Gate {
	tb.Helper()
	g, err := th.Gate(rules(requests), rules(failures))
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// rules are policies that count by address.
func rules(policies ...ratelimit.Policy) []ratelimit.Rule {
	var list []ratelimit.Rule
	for _, p := range policies {
		list = append(list, ratelimit.Rule{Policy: p})
	}
	return list
}

func requestFrom(peer string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = peer + ":4711"
	return r
}

func TestAGateRefusesWhoeverSpentItsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { gateTest(t, newLocal(t, 0)) })
}

func TestAGateOverRedisRefusesWhoeverSpentItsFailures(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) { gateTest(t, l) })
}

func gateTest(t *testing.T, l ratelimit.Limiter) {
	t.Helper()
	r := newRecord()
	handshake, failures := policy(t, "handshake", "10/h", 10), policy(t, "handshake_failures", "3/h", 3)
	g := newGate(t, newThrottle(t, l, r), handshake, failures)
	for range 3 {
		h := http.Header{}
		if err := g.Admit(requestFrom("192.0.2.7"), h); err != nil {
			t.Fatal(err)
		}
		if got := h.Get("RateLimit-Policy"); got != `"handshake";q=10;w=3600, "handshake_failures";q=3;w=3600` {
			t.Errorf("RateLimit-Policy: %s", got)
		}
		g.Failed(requestFrom("192.0.2.7"))
	}
	for range 20 {
		h := http.Header{}
		err := g.Admit(requestFrom("192.0.2.7"), h)
		if !apierror.Is(err, apierror.TooManyRequests) || !strings.Contains(err.Error(), `"handshake_failures"`) {
			t.Fatalf("failures spent: %v", err)
		}
		if wait := apierror.From(err).RetryAfter(); wait > 20*time.Minute || wait < 19*time.Minute {
			t.Errorf("come back in %v", wait)
		}
		if got := h.Get("RateLimit"); !strings.HasPrefix(got, `"handshake_failures";r=0;`) {
			t.Errorf("RateLimit: %s", got)
		}
		if h.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		g.Failed(requestFrom("192.0.2.7"))
	}
	// Refusals were not charged to the other policy, and others are not refused.
	if d := take(t, l, handshake, "192.0.2.7", 7); !d.Allowed {
		t.Errorf("what is left of requests: %+v", d)
	}
	if err := g.Admit(requestFrom("192.0.2.8"), http.Header{}); err != nil {
		t.Errorf("another caller: %v", err)
	}
	for _, want := range []struct {
		policy  string
		outcome ratelimit.Outcome
		count   int
	}{
		{"handshake", ratelimit.OutcomeAllowed, 4},
		{"handshake", ratelimit.OutcomeRefused, 0},
		{"handshake_failures", ratelimit.OutcomeAllowed, 3},
		{"handshake_failures", ratelimit.OutcomeRefused, 40},
	} {
		if got := r.count(want.policy, want.outcome); got != want.count {
			t.Errorf("%s %s counted %d times, want %d", want.policy, want.outcome, got, want.count)
		}
	}
}

func TestAGateRefusesWhoeverSpentItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		g := newGate(t, newThrottle(t, newLocal(t, 0), r), policy(t, "handshake", "60/m", 2), ratelimit.Policy{Name: "handshake_failures", Rate: ratelimit.Off})
		for range 2 {
			if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); err != nil {
				t.Fatal(err)
			}
			g.Failed(requestFrom("192.0.2.7"))
		}
		h := http.Header{}
		err := g.Admit(requestFrom("192.0.2.7"), h)
		if !apierror.Is(err, apierror.TooManyRequests) || h.Get("RateLimit") != `"handshake";r=0;t=1` || h.Get("Retry-After") != "1" {
			t.Errorf("%v, %v", err, h)
		}
		if r.count("handshake", ratelimit.OutcomeAllowed) != 2 || r.count("handshake", ratelimit.OutcomeRefused) != 1 || len(r.counts) != 2 {
			t.Errorf("counted %v", r.counts)
		}
	})
}

func TestACallerThatIsRefusedAgainAndAgainCostsRedisLittle(t *testing.T) {
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) {
		g := newGate(t, newThrottle(t, l, nil), policy(t, "handshake", "10/h", 10), policy(t, "handshake_failures", "1/h", 1))
		g.Failed(requestFrom("192.0.2.7"))
		s.do("CONFIG", "RESETSTAT")
		for range 100 {
			if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); !apierror.Is(err, apierror.TooManyRequests) {
				t.Fatal(err)
			}
		}
		if stats := s.do("INFO", "commandstats"); !strings.Contains(stats, "cmdstat_evalsha:calls=102,") {
			t.Errorf("want 102 scripts for 100 refusals:\n%s", stats)
		}
		s.do("DEL", "trackgate:handshake_failures:192.0.2.7")
		for range 9 { // the first refusal cost a full bucket one event
			if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAGateThatIsOffAddsNothing(t *testing.T) {
	off := ratelimit.Policy{Name: "off", Rate: ratelimit.Off}
	offToo := ratelimit.Policy{Name: "off_too", Rate: ratelimit.Off}
	r := newRecord()
	g := newGate(t, newThrottle(t, newLocal(t, 0), r), off, offToo)
	h := http.Header{}
	if err := g.Admit(requestFrom("192.0.2.7"), h); err != nil || len(h) != 0 || len(r.counts) != 0 {
		t.Errorf("%v, %v, %v", err, h, r.counts)
	}
}

func TestACallerThatHangsUpIsChargedForItsFailure(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) {
		g := newGate(t, newThrottle(t, l, nil), policy(t, "handshake", "10/h", 10), policy(t, "handshake_failures", "1/h", 1))
		ctx, hangUp := context.WithCancel(t.Context())
		r := requestFrom("192.0.2.7").WithContext(ctx)
		hangUp()
		g.Failed(r)
		if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); !apierror.Is(err, apierror.TooManyRequests) {
			t.Errorf("the failure was not charged: %v", err)
		}
	})
}

func TestAGateOverADeadRedisNeitherOpensNorShuts(t *testing.T) {
	s := startRedis(t)
	f, r := realFailover(t, s.pipelines())
	g := newGate(t, newThrottle(t, f, r), policy(t, "handshake", "10/h", 10), policy(t, "handshake_failures", "4/h", 4))
	s.kill()
	for range 2 { // half of four
		if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); err != nil {
			t.Fatal(err)
		}
		g.Failed(requestFrom("192.0.2.7"))
	}
	h := http.Header{}
	if err := g.Admit(requestFrom("192.0.2.7"), h); !apierror.Is(err, apierror.TooManyRequests) {
		t.Errorf("after two failures: %v", err)
	}
	if got, want := h.Get("RateLimit-Policy"), `"handshake_failures";q=2;w=3600`; got != want {
		t.Errorf("RateLimit-Policy: %s, want this gateway's half, %s", got, want)
	}
}

func TestAGateWithWrongPoliciesIsRefused(t *testing.T) {
	th := newThrottle(t, newLocal(t, 0), nil)
	good := policy(t, "p", "1/m", 5)
	dear := policy(t, "dear", "1/m", 5)
	dear.Cost = 2
	for name, pair := range map[string][2]ratelimit.Policy{
		"no requests":    {{Name: "p"}, good},
		"no failures":    {good, {Name: "p"}},
		"dear failures":  {good, dear},
		"no policy name": {good, {Rate: ratelimit.Off}},
		"the same name":  {good, good},
	} {
		if _, err := th.Gate(rules(pair[0]), rules(pair[1])); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := th.Gate(rules(dear), rules(good)); err != nil {
		t.Errorf("dear requests: %v", err)
	}
	if _, err := ratelimit.NewThrottle(nil, ratelimit.Callers{}, nil); err == nil {
		t.Error("a throttle without a limiter")
	}
}

func TestAChargeCostsWhatThePolicySaysToWhoeverIsBehindTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecord()
		th := newThrottle(t, newLocal(t, 0), r)
		p := policy(t, "mint", "60/m", 5)
		p.Cost = 2
		charge := func(client string) (http.Header, error) {
			req := requestFrom("10.0.0.1")
			req.Header.Set("X-Forwarded-For", client)
			h := http.Header{}
			return h, th.Charge(req.Context(), h, newCallers(t, "10.0.0.0/8").SubjectOf(req), rules(p)...)
		}
		for _, left := range []string{"r=3", "r=1"} {
			if h, err := charge("192.0.2.7"); err != nil || !strings.Contains(h.Get("RateLimit"), left) {
				t.Errorf("%v, %v, want %s", err, h, left)
			}
		}
		h, err := charge("192.0.2.7")
		if !apierror.Is(err, apierror.TooManyRequests) || apierror.From(err).FaultCode() != 429 || h.Get("Retry-After") != "1" {
			t.Errorf("%v, %v", err, h)
		}
		if _, err := charge("192.0.2.8"); err != nil {
			t.Errorf("another client of the proxy: %v", err)
		}
		if r.count("mint", ratelimit.OutcomeAllowed) != 3 || r.count("mint", ratelimit.OutcomeRefused) != 1 {
			t.Errorf("counted %v", r.counts)
		}
	})
}

func TestAHandlerAnswersARefusalInTextAndJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(t, newLocal(t, 0), nil)
		served := 0
		handler, err := th.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }), rules(policy(t, "hooks", "60/m", 1))...)
		if err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			accept string
			status int
			body   string
		}{
			{"", 200, ""},
			{"", 429, "Too many requests. Please try again later."},
			{"application/json", 429, `"code":"TOO_MANY_REQUESTS"`},
		} {
			w, r := httptest.NewRecorder(), requestFrom("192.0.2.7")
			r.Header.Set("Accept", tc.accept)
			handler.ServeHTTP(w, r)
			if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.body) || w.Header().Get("RateLimit") == "" {
				t.Errorf("Accept %q: %d %s %v", tc.accept, w.Code, w.Body, w.Header())
			}
			if (w.Header().Get("Retry-After") == "1") != (tc.status == 429) {
				t.Errorf("Accept %q: Retry-After %q", tc.accept, w.Header().Get("Retry-After"))
			}
		}
		if served != 1 {
			t.Errorf("served %d times", served)
		}
		if _, err := th.Handler(nil, ratelimit.Rule{}); err == nil {
			t.Error("a handler with no policy")
		}
	})
}

func TestALimiterThatCannotDecideIsAServerErrorThatShowsNothing(t *testing.T) {
	primary := &unsteady{Limiter: newLocal(t, 0)}
	primary.fails.Store(true)
	th := newThrottle(t, primary, nil)
	p := policy(t, "p", "1/m", 1)
	g := newGate(t, th, p, policy(t, "p_failures", "1/m", 1))
	r := requestFrom("192.0.2.7")
	g.Failed(r)
	for _, err := range []error{
		th.Charge(r.Context(), http.Header{}, ratelimit.Callers{}.SubjectOf(r), rules(p)...),
		g.Admit(r, http.Header{}),
	} {
		e := apierror.From(err)
		if e.Name() != apierror.ServerError || !errors.Is(err, errUnsteady) || strings.Contains(e.FaultString(), "refused") {
			t.Errorf("%v: %s", err, e.FaultString())
		}
	}
}
