package ratelimit

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// Decision is the answer of a [Limiter] to one question.
type Decision struct {
	// Policy is the policy that was in force: while Redis is away this gateway's
	// part of it.
	Policy Policy
	// Allowed tells whether what was asked for was taken or, of a look, whether
	// one event is left.
	Allowed bool
	// Limit is how many events a full bucket holds; zero when the policy is off.
	Limit int
	// Remaining is how many events are left.
	Remaining int
	// RetryAfter is, after a refusal, when the same question can be answered
	// otherwise if nothing is taken until then. It is whole milliseconds,
	// rounded up, and zero when Allowed.
	RetryAfter time.Duration
	// ResetAfter is when the bucket is full again; zero when it is.
	ResetAfter time.Duration
}

// unlimited is the decision of a policy that is off.
func unlimited(p Policy) Decision { return Decision{Policy: p, Allowed: true} }

// decide makes a decision from how long the bucket needs to be full again, in
// seconds, once allowed is settled. n is what was asked for.
func decide(p Policy, n int, allowed bool, reset float64) Decision {
	interval := p.Rate.interval()
	reset = max(reset, 0)
	d := Decision{
		Policy:     p,
		Allowed:    allowed,
		Limit:      p.Burst,
		Remaining:  remaining(p.Burst, reset/interval),
		ResetAfter: seconds(reset),
	}
	if !allowed {
		wait := reset - float64(p.Burst-max(n, 1))*interval
		d.RetryAfter = max(ceilTo(seconds(wait), time.Millisecond), time.Millisecond)
	}
	return d
}

// slack is the part of an event below which a difference is one of rounding:
// Redis answers with 14 digits, and time is counted in nanoseconds.
const slack = 1e-6

// remaining is how many whole events a bucket holds that lacks missing.
func remaining(burst int, missing float64) int {
	left := math.Floor(float64(burst) - missing + slack)
	return int(min(max(left, 0), float64(burst)))
}

// seconds converts to a duration, and to the longest one where it is longer.
func seconds(s float64) time.Duration {
	if s *= float64(time.Second); s < float64(math.MaxInt64) {
		return time.Duration(s)
	}
	return math.MaxInt64
}

func ceilTo(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 && d < math.MaxInt64-unit {
		d += unit - rest
	}
	return d
}

// nextAfter is when one more event will be left than now.
func (d Decision) nextAfter() time.Duration {
	interval := d.Policy.Rate.interval()
	switch {
	case d.Remaining >= d.Limit:
		return 0
	case d.ResetAfter == math.MaxInt64:
		return seconds(interval)
	}
	return max(seconds(d.ResetAfter.Seconds()-float64(d.Limit-d.Remaining-1)*interval), 0)
}

// refuses tells whether the request must be refused.
func (d Decision) refuses() bool { return !d.Allowed && !d.Policy.Trial }

// Err returns nil when the decision allows, and otherwise an [apierror.Error]
// TOO_MANY_REQUESTS that names the policy and says when to come back: in its
// detail, in its extra ("policy", a string, and "retry_after", whole seconds),
// and as its RetryAfter.
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	wait := wholeSeconds(d.RetryAfter)
	return apierror.New(apierror.TooManyRequests).
		WithDetail(fmt.Sprintf("The policy %q allows %s with bursts of %d: try again in %d s.",
			d.Policy.Name, d.Policy.Rate, d.Limit, wait)).
		WithExtra("policy", d.Policy.Name).
		WithExtra("retry_after", wait).
		WithRetryAfter(d.RetryAfter)
}

// Names of the header fields that tell a caller about limits.
const (
	headerPolicy = "Ratelimit-Policy"
	headerLimit  = "Ratelimit"
)

// headerRoom is enough for the fields of two policies with usual names.
const headerRoom = 128

// SetHeaders replaces the RateLimit and RateLimit-Policy fields of h by those
// decisions (draft-ietf-httpapi-ratelimit-headers-10, lists of RFC 9651), and
// sets Retry-After when one refuses: the longest, in whole seconds, rounded up.
//
//	RateLimit-Policy: "mint";q=200;w=20
//	RateLimit: "mint";r=150;t=1
//
// q is the burst, w how long an empty bucket needs to be full, r what remains,
// and t when there will be more or, after a refusal, when to come back; all times
// are whole seconds, rounded up. A policy that is off or on trial is left out, and
// h is not touched when all are.
func SetHeaders(h http.Header, decisions ...Decision) { setHeaders(h, decisions, 0) }

// setHeaders is SetHeaders with the decisions in turn from first on.
func setHeaders(h http.Header, decisions []Decision, first int) {
	var policyRoom, limitRoom [headerRoom]byte // keeps the text of usual headers off the heap
	policies, limits := policyRoom[:0], limitRoom[:0]
	var retry time.Duration
	for i := range decisions {
		d := &decisions[(first+i)%len(decisions)]
		if d.Limit == 0 || d.Policy.Trial {
			continue
		}
		if len(limits) > 0 {
			policies, limits = append(policies, ", "...), append(limits, ", "...)
		}
		window := seconds(float64(d.Limit) * d.Policy.Rate.interval())
		policies = appendItem(policies, d.Policy.Name, ";q=", int64(d.Limit), ";w=", wholeSeconds(window))
		next := d.nextAfter()
		if !d.Allowed {
			next = d.RetryAfter // the two fields should mean the same point in time
			retry = max(retry, d.RetryAfter)
		}
		limits = appendItem(limits, d.Policy.Name, ";r=", int64(d.Remaining), ";t=", wholeSeconds(next))
	}
	if len(limits) == 0 {
		return
	}
	values := []string{string(policies), string(limits)}
	h[headerPolicy] = values[:1:1]
	h[headerLimit] = values[1:]
	apierror.SetRetryAfter(h, retry)
}

// appendItem writes one item of a structured list. The name of a policy needs
// no escapes in a structured string.
func appendItem(b []byte, name, key1 string, value1 int64, key2 string, value2 int64) []byte {
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"')
	b = append(b, key1...)
	b = strconv.AppendInt(b, value1, 10)
	b = append(b, key2...)
	return strconv.AppendInt(b, value2, 10)
}

// Jitter of what refused callers are told to wait: a tenth of the wait within
// these bounds, so that those who were refused together do not come back together.
const (
	leastJitter = time.Second
	mostJitter  = 30 * time.Second
)

// spread is when a caller that must wait is told to come back: in whole seconds,
// never before it can succeed. random is in [0, 1).
func spread(wait time.Duration, random float64) time.Duration {
	if wait > math.MaxInt64-mostJitter {
		return wait
	}
	jitter := min(max(wait/10, leastJitter), mostJitter)
	return ceilTo(wait+time.Duration(random*float64(jitter)), time.Second)
}

func wholeSeconds(d time.Duration) int64 {
	return int64(ceilTo(d, time.Second) / time.Second)
}
