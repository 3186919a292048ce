package ratelimit

import (
	"errors"
	"fmt"
	"strings"
)

// Limits on the numbers of a [Policy].
const (
	// MaxBurst is the largest burst of a policy.
	MaxBurst = 1_000_000
	// MaxReplicas is the largest number of gateways that share a policy.
	MaxReplicas = 10_000
	// maxPolicyName is the longest name of a policy, in bytes.
	maxPolicyName = 64
)

// ErrOverBurst is what asking for more than the burst of a policy gives: it can
// never succeed, however long one waits.
var ErrOverBurst = errors.New("more than the burst is asked for")

// Policy is one named limit: a bucket for each caller that holds Burst events,
// is full at first, and fills again at Rate.
type Policy struct {
	// Name is one of lower-case letters, digits, '_' and '-', and begins with a
	// letter. It is part of the key in Redis, of the headers and of the labels
	// of metrics.
	Name string
	// Rate is how fast the bucket fills. [Off] limits nothing, and then Burst
	// and Cost have no meaning.
	Rate Rate
	// Burst is how many events are allowed at once, from 1 to [MaxBurst].
	Burst int
	// Cost is how many events one request is worth, from 1 to Burst. Zero means 1.
	Cost int
	// Trial makes the policy count and refuse nothing: its refusals are decisions
	// that nobody enforces, so that a limit can be tried before it holds.
	Trial bool
}

// Validate tells what is wrong with the policy, and what to do.
func (p Policy) Validate() error {
	if err := validName(p.Name); err != nil {
		return err
	}
	if p.Rate.IsOff() {
		return nil
	}
	switch {
	case p.Rate.IsZero():
		return p.errorf(`it has no rate: write one like "60/m", or "off" for no limit`)
	case p.Burst < 1 || p.Burst > MaxBurst:
		return p.errorf("its burst is %d: it must be from 1 to %d", p.Burst, MaxBurst)
	case p.Cost < 0:
		return p.errorf("its cost is %d: it must be from 1 to the burst", p.Cost)
	case p.Cost > p.Burst:
		return p.errorf("one request costs %d, its burst is %d: no request would ever pass: %w", p.Cost, p.Burst, ErrOverBurst)
	}
	return nil
}

func validName(name string) error {
	valid := len(name) > 0 && len(name) <= maxPolicyName && name[0] >= 'a' && name[0] <= 'z'
	for i := 0; valid && i < len(name); i++ {
		c := name[i]
		valid = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !valid {
		return fmt.Errorf("ratelimit: policy name %.70q: it must be 1 to %d lower-case letters, digits, '_' or '-', a letter first", name, maxPolicyName)
	}
	return nil
}

func (p Policy) errorf(format string, args ...any) error {
	return fmt.Errorf("ratelimit: policy "+p.Name+": "+format, args...)
}

// Divided returns the part of the policy that one of n gateways may spend when
// they cannot ask each other: the n-th part of rate and burst, the burst
// rounded down, but never below one request. An n below 2 changes nothing.
func (p Policy) Divided(n int) Policy {
	if n < 2 || p.Rate.IsOff() {
		return p
	}
	p.Rate = p.Rate.divided(n)
	p.Burst = max(p.Burst/n, p.cost())
	return p
}

func (p Policy) cost() int { return max(p.Cost, 1) }

// Key returns the key under which a caller is counted in Redis,
// "trackgate:POLICY:CALLER".
func (p Policy) Key(c Caller) string {
	return strings.Join([]string{keyPrefix, p.Name, string(c)}, ":")
}

// keyPrefix begins every key of the limiter in Redis.
const keyPrefix = "trackgate"

// check tells whether n events can be asked of the policy at all.
func (p Policy) check(n int) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if n < 0 {
		return p.errorf("%d events are asked for: ask for none to look, or for more to take", n)
	}
	if !p.Rate.IsOff() && n > p.Burst {
		return p.errorf("%d events are asked for, its burst is %d: ask for fewer or raise the burst: %w", n, p.Burst, ErrOverBurst)
	}
	return nil
}
