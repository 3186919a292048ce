package bridge

import (
	"context"
	"time"
)

// Kept keeps one answer that many calls of a dialect need, for a while. Of several
// callers that need a new one, one asks and the others wait for it, each as long as
// its context lasts.
type Kept[T any] struct {
	remote *Remote
	life   time.Duration
	turn   chan struct{} // holds one element while nobody asks
	value  T
	asked  time.Time // zero: there is no value
}

// NewKept makes what keeps an answer for so long by the gateway's clock. With a
// life of zero nothing is kept, and callers only take turns.
func NewKept[T any](remote *Remote, life time.Duration) *Kept[T] {
	k := &Kept[T]{remote: remote, life: life, turn: make(chan struct{}, 1)}
	k.turn <- struct{}{}
	return k
}

// Get returns the answer, asking when there is none or it is too old. A failure is
// not kept. What ask does must not lead to another Get of the same: a call that
// may have to log in does, where the log-in needs it.
func (k *Kept[T]) Get(ctx context.Context, ask func() (T, error)) (T, error) {
	select {
	case <-k.turn:
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	defer func() { k.turn <- struct{}{} }()
	begun := k.remote.Now()
	if age := begun.Sub(k.asked); !k.asked.IsZero() && age >= 0 && age < k.life {
		return k.value, nil
	}
	value, err := ask()
	if err == nil {
		k.value, k.asked = value, begun
	}
	return value, err
}

// Put keeps an answer that was had for another reason, unless somebody is asking
// at this moment.
func (k *Kept[T]) Put(value T) {
	select {
	case <-k.turn:
		k.value, k.asked = value, k.remote.Now()
		k.turn <- struct{}{}
	default:
	}
}
