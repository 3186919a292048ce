package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// TrialLogEvery is how often a policy on trial that refuses is logged at most.
const TrialLogEvery = time.Minute

// Throttle charges requests to their callers. It is safe for use by many
// goroutines.
type Throttle struct {
	limiter  Limiter
	callers  Callers
	observer Observer
	exempt   []netip.Prefix
	random   func() float64
	log      *slog.Logger
	trials   sync.Map // name of a policy to its *trial
}

// ThrottleOption changes a [Throttle] that [NewThrottle] makes.
type ThrottleOption func(*Throttle)

// WithExempt sets the networks whose addresses are neither counted nor refused.
// A network too many lets whoever is in it do what he likes.
func WithExempt(networks []netip.Prefix) ThrottleOption {
	return func(t *Throttle) { t.exempt = networks }
}

// WithRandom sets where the jitter of Retry-After comes from: numbers from 0 to
// below 1, by default those of math/rand.
func WithRandom(random func() float64) ThrottleOption { return func(t *Throttle) { t.random = random } }

// WithLog sets where it is told what policies on trial would have refused, by
// default nowhere. Each of them is told of once in [TrialLogEvery] at most.
func WithLog(log *slog.Logger) ThrottleOption { return func(t *Throttle) { t.log = log } }

// NewThrottle returns a Throttle. A nil observer observes nothing.
func NewThrottle(limiter Limiter, callers Callers, observer Observer, opts ...ThrottleOption) (*Throttle, error) {
	if limiter == nil {
		return nil, errors.New("ratelimit: a throttle needs a limiter")
	}
	if observer == nil {
		observer = Unobserved{}
	}
	t := &Throttle{limiter: limiter, callers: callers, observer: observer, random: rand.Float64, log: slog.New(slog.DiscardHandler)}
	for _, opt := range opts {
		opt(t)
	}
	var err error
	if t.exempt, err = plainNetworks(t.exempt); err != nil {
		return nil, fmt.Errorf("ratelimit: exempt networks: %w", err)
	}
	return t, nil
}

// Charge takes the cost of one request from the buckets that the subject has
// under the rules, all together or none, in one round trip, and returns nil or
// why the request is refused, which is always an [apierror.Error]:
// TOO_MANY_REQUESTS, or SERVER_ERROR when a policy is not valid. It sets the
// RateLimit header fields of h, the headers of the answer, and Retry-After on a
// refusal. Of several calls for one answer, the last one's RateLimit fields stay;
// h must not be used by others meanwhile. A nil h is left alone.
//
// As a hook before an XML-RPC call it makes the refusal the fault 429.
func (t *Throttle) Charge(ctx context.Context, h http.Header, s Subject, rules ...Rule) error {
	if t.exempts(s) {
		return nil
	}
	if len(rules) == 1 { // the usual case needs no lists
		c, holds := rules[0].Caller(s)
		if !holds {
			return nil
		}
		d, err := t.limiter.Take(ctx, rules[0].Policy, c, rules[0].Policy.cost())
		if err != nil {
			return undecided(err)
		}
		return t.settle(h, []Ask{{rules[0].Policy, c, 1}}, []Decision{d}, 0)
	}
	asks := charges(nil, s, rules)
	if len(asks) == 0 {
		return nil
	}
	decisions, err := t.limiter.TakeAll(ctx, asks...)
	if err != nil {
		return undecided(err)
	}
	return t.settle(h, asks, decisions, 0)
}

// charges adds what a request of a subject costs under rules.
func charges(asks []Ask, s Subject, rules []Rule) []Ask {
	for _, r := range rules {
		if c, holds := r.Caller(s); holds {
			asks = append(asks, Ask{r.Policy, c, r.Policy.cost()})
		}
	}
	return asks
}

func (t *Throttle) exempts(s Subject) bool {
	return len(t.exempt) > 0 && within(t.exempt, plain(s.Addr))
}

// settle observes decisions, of which the first ones are looks, sets the headers
// of the answer, and returns the refusal that lasts longest, if there is one.
func (t *Throttle) settle(h http.Header, asks []Ask, decisions []Decision, looks int) error {
	if allowed(decisions) {
		for i, d := range decisions {
			t.observe(asks[i], d)
		}
		if h != nil {
			setHeaders(h, decisions, looks) // what was charged stands first
		}
		return nil
	}
	var longest Decision
	refusals := make([]Decision, 0, len(decisions))
	random := t.random()
	for i, d := range decisions {
		if !d.refuses() {
			continue
		}
		t.observe(asks[i], d)
		d.RetryAfter = spread(d.RetryAfter, random)
		refusals = append(refusals, d)
		if d.RetryAfter > longest.RetryAfter {
			longest = d
		}
	}
	if h != nil {
		SetHeaders(h, refusals...)
	}
	return longest.Err()
}

// Handler returns a handler that charges every request by the rules and hands to
// next those that are not refused. A refusal is answered as [apierror.Write] does.
func (t *Throttle) Handler(next http.Handler, rules ...Rule) (http.Handler, error) {
	if err := validAll(rules); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := t.Charge(r.Context(), w.Header(), t.callers.SubjectOf(r), rules...); err != nil {
			apierror.Write(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

// Look tells how a subject stands under a rule, without taking anything. It is
// false when the rule says nothing about the subject.
func (t *Throttle) Look(ctx context.Context, s Subject, r Rule) (Decision, bool, error) {
	c, holds := r.Caller(s)
	if !holds {
		return Decision{}, false, nil
	}
	d, err := t.limiter.Take(ctx, r.Policy, c, 0)
	return d, true, err
}

// Reset fills the bucket that a subject has under a rule.
func (t *Throttle) Reset(ctx context.Context, s Subject, r Rule) error {
	c, holds := r.Caller(s)
	if !holds {
		return nil
	}
	return t.limiter.Reset(ctx, r.Policy, c)
}

// observe tells of one decision. A look that passes is none.
func (t *Throttle) observe(a Ask, d Decision) {
	switch {
	case d.Policy.Rate.IsOff():
	case d.Allowed && a.N == 0:
	case d.Allowed:
		t.observer.Decided(d.Policy.Name, OutcomeAllowed)
	case d.Policy.Trial:
		t.observer.Decided(d.Policy.Name, OutcomeUnenforced)
		t.tried(a, d)
	default:
		t.observer.Decided(d.Policy.Name, OutcomeRefused)
	}
}

// trial is what is known of a policy on trial since it was last told of.
type trial struct {
	mu     sync.Mutex
	told   time.Time
	silent int // refusals since then
}

// tried logs that a policy on trial would have refused, unless it was logged
// lately.
func (t *Throttle) tried(a Ask, d Decision) {
	known, _ := t.trials.LoadOrStore(d.Policy.Name, &trial{})
	state := known.(*trial)
	state.mu.Lock()
	defer state.mu.Unlock()
	now := time.Now()
	if !state.told.IsZero() && now.Sub(state.told) < TrialLogEvery {
		state.silent++
		return
	}
	t.log.Warn("a limit that is not enforced would have refused a request",
		"policy", d.Policy.Name, "caller", string(a.Caller), "rate", d.Policy.Rate.String(), "burst", d.Policy.Burst, "others_since_last_line", state.silent)
	state.told, state.silent = now, 0
}

func undecided(err error) error {
	return apierror.New(apierror.ServerError).WithCause(fmt.Errorf("no decision about a limit: %w", err))
}

// Gate guards a route on which failures count more than successes: every
// request is charged by one list of rules, and those that failed by a second one
// besides, which refuses a caller that has spent it before its next request is
// looked at.
type Gate struct {
	throttle *Throttle
	requests []Rule
	failures []Rule
}

// Gate returns a gate with those rules. Any of them may be off. A failure costs
// one event: a look would not notice that what is left is not enough for a
// dearer one.
func (t *Throttle) Gate(requests, failures []Rule) (*Gate, error) {
	all := append(append([]Rule(nil), requests...), failures...)
	if err := validAll(all); err != nil {
		return nil, err
	}
	for _, r := range failures {
		if r.Policy.cost() != 1 {
			return nil, r.Policy.errorf("a failure costs %d: it must cost 1", r.Policy.cost())
		}
	}
	return &Gate{throttle: t, requests: requests, failures: failures}, nil
}

// Admit decides about r before anything else is done for it: refused when the
// failures of its caller are spent, and then nothing is charged, or else when
// its requests are. It returns and sets what [Throttle.Charge] does; the header
// fields tell about all policies, and on a refusal about those that refuse.
// With Redis all questions share a round trip.
func (g *Gate) Admit(r *http.Request, h http.Header) error {
	t := g.throttle
	s := t.callers.SubjectOf(r)
	if t.exempts(s) {
		return nil
	}
	asks := make([]Ask, 0, len(g.failures)+len(g.requests))
	for _, rule := range g.failures {
		if c, holds := rule.Caller(s); holds {
			asks = append(asks, Ask{rule.Policy, c, 0})
		}
	}
	looks := len(asks)
	asks = charges(asks, s, g.requests)
	d, err := t.limiter.TakeAll(r.Context(), asks...)
	if err != nil {
		return undecided(err)
	}
	return t.settle(h, asks, d, looks)
}

// Failed charges a failure of r to its caller: call it once the request has
// failed. A caller that has gone away meanwhile is charged all the same. One that
// has spent its failures has no more to lose: that is no error.
func (g *Gate) Failed(r *http.Request) {
	t := g.throttle
	s := t.callers.SubjectOf(r)
	if t.exempts(s) {
		return
	}
	ctx := context.WithoutCancel(r.Context())
	for _, a := range charges(nil, s, g.failures) {
		d, err := t.limiter.Take(ctx, a.Policy, a.Caller, 1)
		if err != nil {
			return // the request is answered already; Admit meets the same error on the next one
		}
		t.observe(a, d)
	}
}
