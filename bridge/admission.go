package bridge

import "context"

// Admission guards the trackers from outside: a throttle, as a rule. Its errors
// are of package apierror and are what the caller gets; then no tracker is called.
type Admission interface {
	// Call is asked for each call of a caller to a tracker, of a multicast once for
	// each tracker. ctx is the caller's. It is called by many goroutines.
	Call(ctx context.Context, tracker string) error
	// Login is asked before each log-in, which is made for all callers that wait
	// for it. ctx is none of theirs.
	Login(ctx context.Context, tracker string) error
}

// WithAdmission sets what is asked before trackers are called; without it every
// call and log-in is made.
func WithAdmission(a Admission) Option { return func(o *options) { o.admission = a } }

type admitAll struct{}

var _ Admission = admitAll{}

func (admitAll) Call(context.Context, string) error  { return nil }
func (admitAll) Login(context.Context, string) error { return nil }

// admitted finds the tracker that a caller wants to call, if it may.
func (b *Bridge) admitted(ctx context.Context, name string) (*tracker, error) {
	t, err := b.tracker(name)
	if err != nil {
		return nil, err
	}
	if err := b.options.admission.Call(ctx, name); err != nil {
		return nil, err
	}
	return t, nil
}
