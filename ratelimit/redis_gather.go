package ratelimit

import (
	"context"
	"sync"
	"time"
)

// gatherLimit bounds one question that several requests share. None of them
// waits that long for it: they have contexts of their own.
const gatherLimit = 5 * time.Second

// bucket is one caller's bucket under one policy.
type bucket struct {
	policy Policy
	caller Caller
}

// gather joins the requests that want one event from the same bucket while a
// question about that bucket is under way: the next question asks for all of
// them at once. However many requests one caller makes at a time, they cost Redis
// one script after the other and not one each.
type gather struct {
	mu      sync.Mutex
	waiting map[bucket][]*want // present while a question about the bucket is under way
}

// want is one request for one event.
type want struct {
	ctx      context.Context
	done     chan struct{} // closed once the fields below are set
	decision Decision
	err      error
}

// take takes one event from b. ask takes n events from it, or none.
func (g *gather) take(ctx context.Context, b bucket, ask func(ctx context.Context, n int) (Decision, error)) (Decision, error) {
	g.mu.Lock()
	if queue, busy := g.waiting[b]; busy {
		w := &want{ctx: ctx, done: make(chan struct{})}
		g.waiting[b] = append(queue, w)
		g.mu.Unlock()
		select {
		case <-w.done:
			return w.decision, w.err
		case <-ctx.Done():
			return Decision{}, ctx.Err()
		}
	}
	g.waiting[b] = nil
	g.mu.Unlock()
	defer func() {
		if queue := g.next(b); queue != nil {
			go g.serve(b, queue, ask)
		}
	}()
	return ask(ctx, 1)
}

// next gives the requests that have come meanwhile, and nil when there are none:
// then no question about the bucket is under way any more.
func (g *gather) next(b bucket) []*want {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue := g.waiting[b]
	if queue == nil {
		delete(g.waiting, b)
		return nil
	}
	g.waiting[b] = nil
	return queue
}

// serve answers requests until there are no more.
func (g *gather) serve(b bucket, queue []*want, ask func(ctx context.Context, n int) (Decision, error)) {
	for ; queue != nil; queue = g.next(b) {
		live := queue[:0]
		for _, w := range queue {
			if w.ctx.Err() == nil { // whoever has gone is not charged
				live = append(live, w)
			}
		}
		if len(live) > 0 {
			ctx, cancel := context.WithTimeout(context.Background(), gatherLimit)
			share(ctx, b.policy, live, ask)
			cancel()
		}
	}
}

// share asks for all of queue at once and, where that is more than is left, for
// what is left: the first come first.
func share(ctx context.Context, p Policy, queue []*want, ask func(ctx context.Context, n int) (Decision, error)) {
	granted := min(len(queue), p.Burst)
	d, err := ask(ctx, granted)
	if err == nil && !d.Allowed {
		if granted = min(d.Remaining, granted); granted > 0 {
			d, err = ask(ctx, granted)
		}
		if err == nil && !d.Allowed { // nothing was left, or others took it meanwhile
			granted = 0
		}
	}
	interval := p.Rate.interval()
	reset := d.ResetAfter.Seconds()
	for i, w := range queue {
		switch {
		case err != nil:
			w.err = err
		case i < granted: // as if each had asked by itself, in this order
			w.decision = decide(p, 1, true, reset-float64(granted-1-i)*interval)
		default:
			w.decision = decide(p, 1, false, max(reset, float64(p.Burst-1)*interval+slack))
		}
		close(w.done)
	}
}
