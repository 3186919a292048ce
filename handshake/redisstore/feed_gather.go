package redisstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

// Appends that are gathered into one script have at most so many events and bytes
// together, so that Redis' other callers do not wait long. One that is larger goes
// alone.
const (
	gatherEvents = 256
	gatherSize   = 1 << 20
	// stalled is after what time a script that fails takes those with it that wait
	// for the next: each would wait for so long again.
	stalled = ioTimeout
)

// gatherer gathers the appends that come while a script is under way into the next
// one: most of what a script costs it costs once, however many events it adds.
type gatherer struct {
	mu      sync.Mutex
	waiting []*pending
	running bool
}

// pending is an Append on its way.
type pending struct {
	values []any // a digest and a value for every event
	size   int
	// taken is set when the append goes into a script, or when its caller gives it
	// up: by whoever is the first.
	taken atomic.Bool

	done      chan struct{} // closed when what follows is known
	positions []string
	err       error
}

func newPending(list []feed.New) *pending {
	p := &pending{values: make([]any, 0, 2*len(list)), done: make(chan struct{})}
	for i := range list {
		key := []byte{}
		if digest, ok := list[i].Digest(); ok {
			key = digest[:]
		}
		value := feed.AppendEvent(nil, &list[i].Event)
		p.values = append(p.values, key, value)
		p.size += len(value)
	}
	return p
}

func (p *pending) events() int { return len(p.values) / 2 }

// gather adds events together with those of others.
func (f events) gather(ctx context.Context, p *pending) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g := &f.s.feed.gatherer
	g.mu.Lock()
	if len(g.waiting) >= f.s.queue {
		g.mu.Unlock()
		return nil, handshake.ErrBusy
	}
	g.waiting = append(g.waiting, p)
	if !g.running {
		g.running = true
		go f.sendGathered()
	}
	g.mu.Unlock()
	select {
	case <-p.done:
	case <-ctx.Done():
		if p.taken.CompareAndSwap(false, true) {
			return nil, ctx.Err()
		}
		<-p.done // what comes of it is soon known, and better than to leave it open
	}
	return p.positions, p.err
}

// sendGathered sends what waits, script by script, until nothing does.
func (f events) sendGathered() {
	for {
		batch := f.s.feed.gatherer.take()
		if batch == nil {
			return
		}
		begun := time.Now()
		if err := f.send(batch); err != nil && time.Since(begun) >= stalled {
			f.s.feed.gatherer.refuse(fmt.Errorf("redisstore: Redis does not answer: %w", handshake.ErrBusy))
		}
	}
}

// refuse ends all that wait: nothing was done for them.
func (g *gatherer) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.waiting {
		if p.taken.CompareAndSwap(false, true) {
			p.err = err
			close(p.done)
		}
	}
	g.waiting = nil
}

// take returns what goes into the next script; nil ends the sending.
func (g *gatherer) take() []*pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	var batch []*pending
	count, size, next := 0, 0, 0
	for ; next < len(g.waiting); next++ {
		p := g.waiting[next]
		if len(batch) > 0 && (count+p.events() > gatherEvents || size+p.size > gatherSize) {
			break
		}
		if p.taken.CompareAndSwap(false, true) {
			batch = append(batch, p)
			count, size = count+p.events(), size+p.size
		}
	}
	clear(g.waiting[:next])
	g.waiting = g.waiting[next:]
	if len(batch) == 0 {
		g.waiting, g.running = nil, false
	}
	return batch
}

// send runs the script for a batch, and returns its error. Its outcome is that of
// all.
func (f events) send(batch []*pending) error {
	var values []any
	for _, p := range batch {
		values = append(values, p.values...)
	}
	reply, err := f.add(context.Background(), feed.Lease{}, nil, values)
	var all []string
	if err == nil {
		all, err = positions(reply, len(values)/2)
	}
	for _, p := range batch {
		if p.err = err; err == nil {
			p.positions, all = all[:p.events():p.events()], all[p.events():]
		}
		close(p.done)
	}
	return err
}
