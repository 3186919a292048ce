package roundup

import (
	"context"
	"time"
)

// How long answers are kept that many calls need.
const (
	// schemaTime is for the classes and their properties, which change when an
	// administrator changes the tracker.
	schemaTime = 5 * time.Minute
	// nameTime is for the names of statuses, priorities and users.
	nameTime = 5 * time.Minute
	// clockTime is for the tracker's clock. Were that set back meanwhile, a time
	// could be given that is too late.
	clockTime = 30 * time.Second
)

// kept keeps one answer for a while. Of several callers that need a new one, one
// asks and the others wait for it, each as long as its context lasts.
type kept[T any] struct {
	turn  chan struct{} // holds one element while nobody asks
	time  time.Duration
	value T
	asked time.Time // zero: there is no value
}

func newKept[T any](d time.Duration) *kept[T] {
	k := &kept[T]{turn: make(chan struct{}, 1), time: d}
	k.turn <- struct{}{}
	return k
}

// get returns the answer, asking when there is none or it is too old. A failure
// is not kept.
func (k *kept[T]) get(ctx context.Context, now func() time.Time, ask func() (T, error)) (T, error) {
	select {
	case <-k.turn:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	defer func() { k.turn <- struct{}{} }()
	begun := now()
	if !k.asked.IsZero() && begun.Sub(k.asked) < k.time && !begun.Before(k.asked) {
		return k.value, nil
	}
	value, err := ask()
	if err == nil {
		k.value, k.asked = value, begun
	}
	return value, err
}

// now is the gateway's clock.
func (d *dialect) now() time.Time {
	t, _ := d.remote.Midway(func() error { return nil }) // nothing is asked, so nothing fails
	return t
}
