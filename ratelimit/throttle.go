package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/trackgate/trackgate/apierror"
)

// Throttle charges requests to their callers. It is safe for use by many
// goroutines.
type Throttle struct {
	limiter  Limiter
	callers  Callers
	observer Observer
}

// NewThrottle returns a Throttle. A nil observer observes nothing.
func NewThrottle(limiter Limiter, callers Callers, observer Observer) (*Throttle, error) {
	if limiter == nil {
		return nil, errors.New("ratelimit: a throttle needs a limiter")
	}
	if observer == nil {
		observer = Unobserved{}
	}
	return &Throttle{limiter: limiter, callers: callers, observer: observer}, nil
}

// Charge takes the cost of one request from the bucket of whoever made r, and
// returns nil or why the request is refused, which is always an
// [apierror.Error]: TOO_MANY_REQUESTS, or SERVER_ERROR when the policy is not
// valid. It sets the RateLimit header fields of h, the headers of the answer, and
// Retry-After on a refusal. Of several calls for one answer, the last one's
// RateLimit fields stay; h must not be used by others meanwhile.
//
// As a hook before an XML-RPC call it makes the refusal the fault 429.
func (t *Throttle) Charge(ctx context.Context, r *http.Request, h http.Header, p Policy) error {
	d, err := t.limiter.Take(ctx, p, t.callers.Caller(r), p.cost())
	if err != nil {
		return undecided(err)
	}
	t.observe(d)
	SetHeaders(h, d)
	return d.Err()
}

// Handler returns a handler that charges every request to p and hands to next
// those that are not refused. A refusal is answered as [apierror.Write] does.
func (t *Throttle) Handler(p Policy, next http.Handler) (http.Handler, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := t.Charge(r.Context(), r, w.Header(), p); err != nil {
			apierror.Write(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	}), nil
}

func (t *Throttle) observe(d Decision) {
	switch {
	case d.Policy.Rate.IsOff():
	case d.Allowed:
		t.observer.Decided(d.Policy.Name, OutcomeAllowed)
	default:
		t.observer.Decided(d.Policy.Name, OutcomeRefused)
	}
}

func undecided(err error) error {
	return apierror.New(apierror.ServerError).WithCause(fmt.Errorf("no decision about a limit: %w", err))
}

// Gate guards a route on which failures count more than successes: every
// request is charged to one policy, and those that failed to a second one
// besides, which refuses a caller that has spent it before its next request is
// looked at.
type Gate struct {
	throttle *Throttle
	requests Policy
	failures Policy
}

// Gate returns a gate with those two policies. Either may be off. A failure
// costs one event: a look would not notice that what is left is not enough for
// a dearer one.
func (t *Throttle) Gate(requests, failures Policy) (*Gate, error) {
	for _, p := range []Policy{requests, failures} {
		if err := p.Validate(); err != nil {
			return nil, err
		}
	}
	if failures.cost() != 1 {
		return nil, failures.errorf("a failure costs %d: it must cost 1", failures.cost())
	}
	return &Gate{throttle: t, requests: requests, failures: failures}, nil
}

// Admit decides about r before anything else is done for it: refused when the
// failures of its caller are spent, and then nothing is charged, or else when
// its requests are. It returns and sets what [Throttle.Charge] does; the header
// fields tell about both policies, and on a refusal about the one that refuses.
// With Redis both questions share a round trip.
func (g *Gate) Admit(r *http.Request, h http.Header) error {
	t := g.throttle
	c := t.callers.Caller(r)
	d, err := t.limiter.TakeAll(r.Context(), Ask{g.failures, c, 0}, Ask{g.requests, c, g.requests.cost()})
	if err != nil {
		return undecided(err)
	}
	failures, requests := d[0], d[1]
	switch {
	case !failures.Allowed:
		t.observe(failures)
		SetHeaders(h, failures)
		return failures.Err()
	case !requests.Allowed:
		t.observe(requests)
		SetHeaders(h, requests)
		return requests.Err()
	}
	t.observe(requests)
	SetHeaders(h, requests, failures)
	return nil
}

// Failed charges a failure of r to its caller: call it once the request has
// failed. A caller that has gone away meanwhile is charged all the same. One that
// has spent its failures has no more to lose: that is no error.
func (g *Gate) Failed(r *http.Request) {
	t := g.throttle
	ctx := context.WithoutCancel(r.Context())
	d, err := t.limiter.Take(ctx, g.failures, t.callers.Caller(r), 1)
	if err != nil {
		return // the request is answered already; Admit meets the same error on the next one
	}
	t.observe(d)
}
