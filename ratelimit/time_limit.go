package ratelimit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// sharers is into how many parts a time limit is cut: requests that begin within
// one part share its end.
const sharers = 10

// timeLimits gives requests a time limit without a timer for each: whatever
// begins within a tenth of the limit ends together with what began first. None
// waits longer than the limit, and none less than nine tenths of it.
type timeLimits struct {
	length time.Duration
	latest atomic.Pointer[timeLimit]
	making sync.Mutex
}

// timeLimit is the end that some requests share.
type timeLimit struct {
	joinable time.Time     // those that begin until then share it
	end      time.Time     // when they end
	over     chan struct{} // closed then
}

// now returns the time limit of what begins now.
func (l *timeLimits) now() *timeLimit {
	now := time.Now()
	if t := l.latest.Load(); t != nil && now.Before(t.joinable) {
		return t
	}
	l.making.Lock()
	defer l.making.Unlock()
	if t := l.latest.Load(); t != nil && now.Before(t.joinable) {
		return t
	}
	t := &timeLimit{joinable: now.Add(l.length / sharers), end: now.Add(l.length), over: make(chan struct{})}
	time.AfterFunc(l.length, func() { close(t.over) })
	l.latest.Store(t)
	return t
}

// limited is the context of a request that ends with a time limit as well. The
// two ends are joined only for those who ask for Done: that costs as much as a
// timer, and whoever waits by [ended] does without.
type limited struct {
	context.Context
	limit *timeLimit

	mu     sync.Mutex
	joined context.Context // nil until Done is asked for
	cancel context.CancelFunc
}

var _ context.Context = (*limited)(nil)

// release frees what joining the ends may have cost. The question must be over.
func (c *limited) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements [context.Context].
func (c *limited) Deadline() (time.Time, bool) {
	if own, ok := c.Context.Deadline(); ok && own.Before(c.limit.end) {
		return own, true
	}
	return c.limit.end, true
}

// Done implements [context.Context].
func (c *limited) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined == nil {
		c.joined, c.cancel = context.WithDeadline(c.Context, c.limit.end)
	}
	return c.joined.Done()
}

// Err implements [context.Context]. It agrees with what Done has returned.
func (c *limited) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.joined != nil {
		return c.joined.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	select {
	case <-c.limit.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// ended waits until done is closed, and returns an error when ctx ended before.
func ended(ctx context.Context, done <-chan struct{}) error {
	l, ok := ctx.(*limited)
	if !ok {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-done:
		return nil
	case <-l.Context.Done():
		return l.Context.Err()
	case <-l.limit.over:
		return context.DeadlineExceeded
	}
}
