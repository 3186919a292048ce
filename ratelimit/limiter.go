package ratelimit

import (
	"context"
	"slices"
)

// Ask is one question to a [Limiter]: may Caller take N events of Policy? An N
// of zero only looks: it takes nothing, and is refused when not even one event
// is left.
type Ask struct {
	Policy Policy
	Caller Caller
	N      int
}

// Limiter answers questions about limits. Implementations are safe for use by
// many goroutines.
//
// A refusal is a [Decision] and not an error. An error means that no decision
// could be made: the policy is not valid, more than its burst was asked for
// ([ErrOverBurst]), or what counts did not answer; then nothing may be assumed
// about what was taken. A policy that is off allows everything, whatever counts.
type Limiter interface {
	// Take takes n events at once, or none of them. It returns when ctx is done.
	Take(ctx context.Context, p Policy, c Caller, n int) (Decision, error)

	// TakeAll asks several questions together and answers them in order. When
	// one is refused, nothing is taken for any of them, and only the decisions
	// that refuse tell anything: not all questions need have been asked. The
	// refusal of a policy on trial is its own affair and none of the others'. The
	// questions are not one transaction: of two requests at the same moment, one
	// can see what the other takes and gives back.
	TakeAll(ctx context.Context, asks ...Ask) ([]Decision, error)

	// Reset fills the bucket of a caller.
	Reset(ctx context.Context, p Policy, c Caller) error
}

// allowed tells whether no decision refuses that is enforced.
func allowed(decisions []Decision) bool {
	return !slices.ContainsFunc(decisions, Decision.refuses)
}

// State names where decisions come from.
type State string

// The states of a limiter.
const (
	StateRedis State = "redis"
	StateLocal State = "local"
)

// Outcome is what became of one question. The set is closed: metrics use it as
// a label.
type Outcome string

// The outcomes.
const (
	// OutcomeAllowed: what was asked for was taken.
	OutcomeAllowed Outcome = "allowed"
	// OutcomeRefused: nothing was taken and the request was refused.
	OutcomeRefused Outcome = "refused"
	// OutcomeFailover: the question was answered by the in-process limit because
	// Redis is away. It counts beside Allowed or Refused, and for looks as well.
	OutcomeFailover Outcome = "failover"
	// OutcomeUnenforced: a policy on trial would have refused the request.
	OutcomeUnenforced Outcome = "unenforced"
)

// Outcomes returns all outcomes, for metrics that start at zero.
func Outcomes() []Outcome {
	return []Outcome{OutcomeAllowed, OutcomeRefused, OutcomeFailover, OutcomeUnenforced}
}

// Observer is told what limiters do, for metrics. Its methods are called by
// many goroutines and within requests: they must not block.
type Observer interface {
	// Decided is called for every decision, with the name of its policy. A look
	// that passes is no decision. A policy that is off is not observed.
	Decided(policy string, outcome Outcome)
	// Switched is called when the limiter in force changes.
	Switched(to State)
}

// Unobserved is an [Observer] that does nothing.
type Unobserved struct{}

var _ Observer = Unobserved{}

// Decided does nothing.
func (Unobserved) Decided(string, Outcome) {}

// Switched does nothing.
func (Unobserved) Switched(State) {}
