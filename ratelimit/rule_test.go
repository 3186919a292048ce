package ratelimit_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

func rule(tb testing.TB, name, rate string, burst int, by ratelimit.By) ratelimit.Rule {
	tb.Helper()
	return ratelimit.Rule{Policy: policy(tb, name, rate, burst), By: by}
}

func at(addr, user, tracker string) ratelimit.Subject {
	s := ratelimit.Subject{User: user, Tracker: tracker}
	if addr != "" {
		s.Addr = netip.MustParseAddr(addr)
	}
	return s
}

func TestARuleCountsByWhatItSays(t *testing.T) {
	const both, joe = ratelimit.ByUser | ratelimit.ByTracker, ";user=78675cc176081372"
	for _, tc := range []struct {
		name    string
		rule    ratelimit.Rule
		subject ratelimit.Subject
		want    ratelimit.Caller // "" when the rule says nothing about it
	}{
		{"an address", ratelimit.Rule{}, at("192.0.2.7", "joe", "gnome"), "192.0.2.7"},
		{"an IPv4 network", ratelimit.Rule{IPv4Bits: 24}, at("192.0.2.7", "", ""), "192.0.2.0/24"},
		{"a mapped address", ratelimit.Rule{IPv4Bits: 24, IPv6Bits: 128}, at("::ffff:192.0.2.7", "", ""), "192.0.2.0/24"},
		{"an IPv6 network", ratelimit.Rule{IPv6Bits: 48}, at("2001:db8:1:2::3", "", ""), "2001:db8:1::/48"},
		{"a whole IPv6 address", ratelimit.Rule{IPv6Bits: 128}, at("2001:db8::3", "", ""), "2001:db8::3/128"},
		{"no address", ratelimit.Rule{}, at("", "", ""), ratelimit.Unknown},
		{"a user", ratelimit.Rule{By: ratelimit.ByUser}, at("192.0.2.7", "joe", ""), "192.0.2.7" + joe},
		{"nobody in particular", ratelimit.Rule{By: ratelimit.ByUser}, at("192.0.2.7", "", ""), ""},
		{"a tracker", ratelimit.Rule{By: ratelimit.ByTracker}, at("192.0.2.7", "", "gnome"), "tracker=gnome"},
		{"no tracker", ratelimit.Rule{By: ratelimit.ByTracker}, at("192.0.2.7", "", ""), ""},
		{"an address and a tracker", ratelimit.Rule{By: ratelimit.ByAddress | ratelimit.ByTracker}, at("192.0.2.7", "joe", "gnome"), "192.0.2.7;tracker=gnome"},
		{"a user and a tracker", ratelimit.Rule{By: both}, at("192.0.2.7", "joe", "gnome"), "192.0.2.7" + joe + ";tracker=gnome"},
		{"a user and no tracker", ratelimit.Rule{By: both}, at("192.0.2.7", "joe", ""), ""},
	} {
		got, holds := tc.rule.Caller(tc.subject)
		if got != tc.want || holds != (tc.want != "") {
			t.Errorf("%s: %q, %v, want %q", tc.name, got, holds, tc.want)
		}
	}
	odd, _ := ratelimit.Rule{By: ratelimit.ByUser}.Caller(at("192.0.2.7", "{}\r\n \x00"+strings.Repeat("x", 5000), ""))
	if len(odd) > 60 || strings.ContainsAny(string(odd), "{} \r\n\x00") {
		t.Errorf("a user of any text is counted as %q", odd)
	}
}

func TestTheSubjectOfARequestIsItsAddressAndItsUser(t *testing.T) {
	r := requestFrom("192.0.2.7")
	if s := (ratelimit.Callers{}).SubjectOf(r); s != at("192.0.2.7", "", "") {
		t.Errorf("%+v", s)
	}
	r.SetBasicAuth("joe", "a password")
	if s := (ratelimit.Callers{}).SubjectOf(r); s != at("192.0.2.7", "joe", "") {
		t.Errorf("%+v", s)
	}
	r.Header.Set("Authorization", "Bearer joe")
	if s := (ratelimit.Callers{}).SubjectOf(r); s.User != "" {
		t.Errorf("%+v", s)
	}
}

func TestWrongRulesAreRefused(t *testing.T) {
	p := policy(t, "p", "1/m", 5)
	dear := p
	dear.Cost = 6
	for name, r := range map[string]ratelimit.Rule{
		"no policy":             {},
		"a cost over the burst": {Policy: dear},
		"nothing to count by":   {Policy: p, By: 64},
		"a long IPv4 prefix":    {Policy: p, IPv4Bits: 33},
		"a negative prefix":     {Policy: p, IPv4Bits: -1},
		"a long IPv6 prefix":    {Policy: p, IPv6Bits: 129},
	} {
		if r.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, text := range []string{"address", "user", "tracker", "address+tracker", "user+tracker"} {
		if by, err := ratelimit.ParseBy(text); err != nil || by.String() != text {
			t.Errorf("%s: %v, %v", text, by, err)
		}
	}
	if _, err := ratelimit.ParseBy("colour"); err == nil {
		t.Error("a colour can be counted by")
	}
}

func TestSeveralRulesAreAskedInOneRoundTrip(t *testing.T) {
	s := startRedis(t)
	proxy := startSayingProxy(t, s.addr)
	l := ratelimit.NewRedis(proxy.pipelines(t))
	th := newThrottle(t, l, nil)
	all := []ratelimit.Rule{
		rule(t, "calls", "1/h", 10, ratelimit.ByAddress), rule(t, "calls_user", "1/h", 3, ratelimit.ByUser), rule(t, "calls_tracker", "1/h", 5, ratelimit.ByTracker),
	}
	subject := at("192.0.2.7", "joe", "gnome")
	if err := th.Charge(t.Context(), nil, subject, all...); err != nil {
		t.Fatal(err)
	}
	// From here on Redis gets nothing of a connection before all three have come.
	proxy.together.Store(3)
	h := http.Header{}
	if err := th.Charge(t.Context(), h, subject, all...); err != nil {
		t.Fatal(err)
	}
	if got, want := h.Get("RateLimit-Policy"), `"calls";q=10;w=36000, "calls_user";q=3;w=10800, "calls_tracker";q=5;w=18000`; got != want {
		t.Errorf("RateLimit-Policy: %s, want %s", got, want)
	}
	proxy.together.Store(0)
	if err := th.Charge(t.Context(), nil, subject, all...); err != nil {
		t.Fatal(err)
	}
	h = http.Header{}
	err := th.Charge(t.Context(), h, subject, all...)
	if !apierror.Is(err, apierror.TooManyRequests) || !strings.Contains(err.Error(), "calls_user") || !strings.HasPrefix(h.Get("RateLimit"), `"calls_user";r=0;`) {
		t.Errorf("%v, %v", err, h)
	}
	// What the refusal had taken of the others is given back.
	if d, _, err := th.Look(t.Context(), subject, all[2]); err != nil || d.Remaining != 2 {
		t.Errorf("%+v, %v", d, err)
	}
	// Another user at the same address has the rest, and one who names nobody too.
	for _, user := range []string{"jane", ""} {
		if err := th.Charge(t.Context(), nil, at("192.0.2.7", user, "gnome"), all...); err != nil {
			t.Errorf("%q: %v", user, err)
		}
	}
	if err := th.Charge(t.Context(), nil, at("192.0.2.8", "", "gnome"), all...); err == nil {
		t.Error("the tracker has been called five times and is called again")
	}
}

func TestExemptNetworksAreNeitherCountedNorRefused(t *testing.T) {
	r := newRecord()
	th := newThrottle(t, newLocal(t, 0), r, ratelimit.WithExempt(prefixes(t, "192.0.2.0/24", "::ffff:198.51.100.0/120", "2001:db8::/32")))
	p := policy(t, "p", "1/h", 1)
	g := newGate(t, th, p, policy(t, "p_failures", "1/h", 1))
	for range 5 {
		for _, addr := range []string{"192.0.2.7", "::ffff:192.0.2.7", "198.51.100.9", "2001:db8::1"} {
			h := http.Header{}
			if err := th.Charge(t.Context(), h, at(addr, "", ""), rules(p)...); err != nil || len(h) != 0 {
				t.Errorf("%s: %v, %v", addr, err, h)
			}
		}
		if err := g.Admit(requestFrom("192.0.2.7"), http.Header{}); err != nil {
			t.Error(err)
		}
		g.Failed(requestFrom("192.0.2.7"))
	}
	if len(r.counts) != 0 {
		t.Errorf("counted %v", r.counts)
	}
	for range 2 {
		_ = th.Charge(t.Context(), nil, at("192.0.3.7", "", ""), rules(p)...)
	}
	if r.count("p", ratelimit.OutcomeRefused) != 1 {
		t.Errorf("somebody else: %v", r.counts)
	}
	if _, err := ratelimit.NewThrottle(newLocal(t, 0), ratelimit.Callers{}, nil, ratelimit.WithExempt([]netip.Prefix{{}})); err == nil {
		t.Error("a network that is none")
	}
}

func TestAPolicyOnTrialCountsAndLogsAndRefusesNothing(t *testing.T) {
	t.Run("in the process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { trialTest(t, newLocal(t, 0), time.Sleep) })
	})
	t.Run("in Redis", func(t *testing.T) {
		overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) { trialTest(t, l, nil) })
	})
}

func trialTest(t *testing.T, l ratelimit.Limiter, sleep func(time.Duration)) {
	t.Helper()
	r := newRecord()
	th := newThrottle(t, l, r, ratelimit.WithLog(slog.New(slog.NewTextHandler(r, nil))))
	tried, held := rule(t, "tried", "1/h", 2, ratelimit.ByAddress), rule(t, "held", "1/h", 10, ratelimit.ByAddress)
	tried.Policy.Trial = true
	charge := func() (http.Header, error) {
		h := http.Header{}
		return h, th.Charge(t.Context(), h, at("192.0.2.7", "", ""), tried, held)
	}
	for i := range 10 {
		if h, err := charge(); err != nil || !strings.HasPrefix(h.Get("RateLimit"), `"held";r=`+strconv.Itoa(9-i)) || strings.Contains(h.Get("RateLimit"), "tried") {
			t.Errorf("request %d: %v, %v", i+1, err, h)
		}
	}
	if _, err := charge(); !apierror.Is(err, apierror.TooManyRequests) || !strings.Contains(err.Error(), `"held"`) {
		t.Errorf("the policy that holds: %v", err)
	}
	if a, u, n := r.count("tried", ratelimit.OutcomeAllowed), r.count("tried", ratelimit.OutcomeUnenforced), r.count("tried", ratelimit.OutcomeRefused); a != 2 || u != 8 || n != 0 {
		t.Errorf("%d allowed, %d unenforced, %d refused; want 2, 8, 0", a, u, n)
	}
	const line = "a limit that is not enforced would have refused a request"
	if r.lines(line) != 1 || r.lines("caller=192.0.2.7") != 1 {
		t.Errorf("%d lines:\n%s", r.lines(line), r.log.String())
	}
	if sleep == nil {
		return
	}
	sleep(ratelimit.TrialLogEvery)
	th2 := held
	th2.Policy.Name = "other"
	if err := th.Charge(t.Context(), nil, at("192.0.2.7", "", ""), tried, th2); err != nil {
		t.Error(err)
	}
	if r.lines(line) != 2 || r.lines("others_since_last_line=7") != 1 {
		t.Errorf("after a minute:\n%s", r.log.String())
	}
}

func TestRetryAfterHasJitterAndIsNeverTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := 0.0
		for _, tc := range []struct {
			rate   string
			random float64
			want   int64
		}{
			{"5/s", 0, 1}, {"5/s", 0.5, 1}, {"5/s", 0.9, 2},
			{"60/m", 0, 1}, {"60/m", 0.01, 2}, {"60/m", 0.999, 2},
			{"1/m", 0, 60}, {"1/m", 0.5, 63}, {"1/m", 0.999, 66},
			{"1/h", 0, 3600}, {"1/h", 0.5, 3615}, {"1/h", 0.999, 3630},
		} {
			th := newThrottle(t, newLocal(t, 0), nil, ratelimit.WithRandom(func() float64 { return random }))
			random = tc.random
			p := rules(policy(t, "p", tc.rate, 1))
			_ = th.Charge(t.Context(), nil, at("192.0.2.7", "", ""), p...)
			h := http.Header{}
			err := th.Charge(t.Context(), h, at("192.0.2.7", "", ""), p...)
			want := strconv.FormatInt(tc.want, 10)
			body, _ := json.Marshal(apierror.From(err))
			if h.Get("Retry-After") != want || h.Get("RateLimit") != `"p";r=0;t=`+want ||
				apierror.From(err).RetryAfter() != time.Duration(tc.want)*time.Second || !strings.Contains(string(body), `"retry_after":`+want+`}`) {
				t.Errorf("%s, %v: %v, %s; want %s", tc.rate, tc.random, h, body, want)
			}
			time.Sleep(time.Duration(tc.want) * time.Second)
			if err := th.Charge(t.Context(), nil, at("192.0.2.7", "", ""), p...); err != nil {
				t.Errorf("%s: who waits as long as told is refused: %v", tc.rate, err)
			}
			synctest.Wait()
		}
	})
}

func TestAResetBucketIsFullAndNotFuller(t *testing.T) {
	reset := func(t *testing.T, l ratelimit.Limiter) {
		p := policy(t, "p", "1/h", 5)
		for range 3 {
			if d := take(t, l, p, "a", 5); !d.Allowed {
				t.Errorf("%+v", d)
			}
			take(t, l, p, "b", 5)
			if err := l.Reset(t.Context(), p, "a"); err != nil {
				t.Fatal(err)
			}
			if d := take(t, l, p, "a", 0); d.Remaining != 5 || d.ResetAfter != 0 {
				t.Errorf("%+v", d)
			}
			if d := take(t, l, p, "b", 1); d.Allowed {
				t.Errorf("somebody else: %+v", d)
			}
		}
		if err := l.Reset(t.Context(), ratelimit.Policy{Name: "off", Rate: ratelimit.Off}, "a"); err != nil {
			t.Error(err)
		}
	}
	synctest.Test(t, func(t *testing.T) { reset(t, newLocal(t, 0)) })
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) { reset(t, l) })
	overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
		reset(t, f)
		s.kill()
		spendLocally(t, f, r, "c")
		if err := f.Reset(t.Context(), policy(t, "p", "1/h", 20), "c"); err == nil {
			t.Error("Redis is away and its bucket was reset")
		}
		if d := take(t, f, policy(t, "p", "1/h", 20), "c", 0); d.Remaining != 10 {
			t.Errorf("what this process counted was not reset: %+v", d)
		}
	})
}

func TestOperatorsNameSubjectsInAFewWays(t *testing.T) {
	known := func(name string) bool { return name == "gnome" || name == "192.0.2.9" }
	for text, want := range map[string]ratelimit.Subject{
		"192.0.2.7":           at("192.0.2.7", "", ""),
		"2001:db8::7":         at("2001:db8::7", "", ""),
		"::ffff:192.0.2.7":    at("192.0.2.7", "", ""),
		"joe@192.0.2.7":       at("192.0.2.7", "joe", ""),
		"joe@work@192.0.2.7":  at("192.0.2.7", "joe@work", ""),
		"gnome":               at("", "", "gnome"),
		"192.0.2.7+gnome":     at("192.0.2.7", "", "gnome"),
		"joe@192.0.2.7+gnome": at("192.0.2.7", "joe", "gnome"),
		"192.0.2.9":           at("192.0.2.9", "", "192.0.2.9"),
	} {
		if got, err := ratelimit.ParseSubject(text, known); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "kde", "192.0.2.7+kde", "joe@gnome", "+gnome", "192.0.2.0/24", "\x00"} {
		if got, err := ratelimit.ParseSubject(text, known); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	f.Add("joe@192.0.2.7+gnome")
	f.Add("gnome")
	f.Add("[2001:db8::7]:1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ratelimit.ParseSubject(text, func(name string) bool { return name == "gnome" })
		if err == nil && !s.Addr.IsValid() && s.Tracker == "" {
			t.Errorf("%q names nobody: %+v", text, s)
		}
		if s.Tracker != "" && s.Tracker != "gnome" {
			t.Errorf("%q names the tracker %q", text, s.Tracker)
		}
	})
}

func TestTheClockOfRedisIsComparedWithOurs(t *testing.T) {
	s := startRedis(t)
	for _, off := range []time.Duration{-time.Hour, -3 * time.Second, 0, 3 * time.Second, time.Hour} {
		skew, err := ratelimit.ClockSkew(t.Context(), s.client(), func() time.Time { return time.Now().Add(-off) })
		if err != nil || (skew-off).Abs() > 500*time.Millisecond || off == 0 && skew.Abs() > 50*time.Millisecond {
			t.Errorf("a clock that is %v ahead: %v, %v", off, skew, err)
		}
	}
	// What the round trip can explain is no skew: of ten seconds it explains half.
	calls := 0
	slow := func() time.Time { calls++; return time.Now().Add(time.Duration(calls-1) * 10 * time.Second) }
	if skew, err := ratelimit.ClockSkew(t.Context(), s.client(), slow); err != nil || skew != 0 {
		t.Errorf("over a slow connection: %v, %v", skew, err)
	}
	s.kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := ratelimit.ClockSkew(ctx, s.client(), time.Now); err == nil {
		t.Error("no server, and no error")
	}
}
