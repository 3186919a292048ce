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

// gather joins the requests that ask the same of one bucket. The first asks by
// itself; those that come while it does share one question after the other, each
// for all who have come before it is asked. However many requests one caller
// makes at a time, they cost Redis two questions at a time and not one each. No
// request gets an answer to a question that was asked before it came.
type gather struct {
	// ask asks for all requests of a round that have not gone, and answers each.
	ask func(ctx context.Context, b bucket, requests []request) error

	mu sync.Mutex
	// rounds has the buckets about which a question is under way, each with the
	// requests for the next one, or nil where only requests by themselves ask.
	rounds map[bucket]*round
}

// round is a question that requests share.
type round struct {
	requests []request
	done     chan struct{} // closed once all else is set
	err      error
}

// request is one of them. It is small because a flood makes many.
type request struct {
	ctx    context.Context
	gone   bool
	answer answer
}

func newGather(ask func(ctx context.Context, b bucket, requests []request) error) gather {
	return gather{ask: ask, rounds: map[bucket]*round{}}
}

// place is that of a request in a round.
type place struct {
	round *round
	index int
}

// join gives a request a place, unless nobody asks about the bucket: then the
// request must ask by itself, and leave afterwards.
func (g *gather) join(ctx context.Context, b bucket) (p place, shared bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, busy := g.rounds[b]
	if !busy {
		g.rounds[b] = nil
		return place{}, false
	}
	if r == nil {
		r = newRound(1)
		g.rounds[b] = r
		go g.serve(b)
	}
	r.requests = append(r.requests, request{ctx: ctx})
	return place{r, len(r.requests) - 1}, true
}

// leave ends a question that a request asked by itself.
func (g *gather) leave(b bucket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rounds[b] == nil {
		delete(g.rounds, b)
	}
}

// wait waits for the answer as long as ctx lasts, which is the request's.
func (p place) wait(ctx context.Context) (answer, error) {
	if err := ended(ctx, p.round.done); err != nil {
		return answer{}, err
	}
	r := &p.round.requests[p.index]
	if r.gone {
		return answer{}, ctx.Err()
	}
	return r.answer, p.round.err
}

func newRound(room int) *round {
	return &round{requests: make([]request, 0, room), done: make(chan struct{})}
}

// next takes the requests that wait about a bucket, or ends the serving when
// there are none.
func (g *gather) next(b bucket) *round {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rounds[b]
	if len(r.requests) == 0 {
		delete(g.rounds, b)
		return nil
	}
	g.rounds[b] = newRound(len(r.requests)) // as many as these will come again
	return r
}

// serve answers rounds until nobody is in the next.
func (g *gather) serve(b bucket) {
	for r := g.next(b); r != nil; r = g.next(b) {
		g.round(b, r)
	}
}

func (g *gather) round(b bucket, r *round) {
	defer close(r.done)
	stays := false
	for i := range r.requests {
		r.requests[i].gone = r.requests[i].ctx.Err() != nil
		stays = stays || !r.requests[i].gone
	}
	if !stays {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), gatherLimit)
	defer cancel()
	r.err = g.ask(ctx, b, r.requests)
}
