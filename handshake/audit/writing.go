package audit

import (
	"context"
	"fmt"
	"time"
)

const (
	// noteBatch is how many entries one Append takes.
	noteBatch = 256
	// firstBackoff is how long the writer waits when the store failed, twice as long
	// each time, up to maxBackoff.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// suppressedEvery is how often it is told what was counted.
	suppressedEvery = time.Minute
	// witnessEvery is how often at least the heads of the chains are written down:
	// another gateway's chain that was cut off shows by them. It is several times in
	// the age that is kept, so that a gateway that has nothing to say does not vanish
	// as its old entries make room.
	witnessEvery    = time.Hour
	witnessesPerAge = 4
	// maxWitnessed is how many heads are written down at once.
	maxWitnessed = 64 * MaxHeads
)

// enqueue lets an entry wait to be written.
func (t *Trail) enqueue(e Entry) {
	e = cleaned(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || len(t.waiting) >= t.set.queue {
		t.lost.add(&e)
		return
	}
	t.waiting = append(t.waiting, e)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// writing writes what waits, until the trail is closed.
func (t *Trail) writing() {
	minute := time.NewTicker(suppressedEvery)
	defer minute.Stop()
	every := witnessEvery
	if t.set.maxAge > 0 {
		every = max(min(every, t.set.maxAge/witnessesPerAge), suppressedEvery)
	}
	witness := time.NewTicker(every)
	defer witness.Stop()
	for {
		select {
		case <-t.wake:
		case <-minute.C:
			t.tell()
		case <-witness.C:
			t.due = true
		case <-t.stop:
			t.tell()
			t.closeErr = t.drain(Entry{Time: t.set.now(), Subsystem: SubsystemGateway, Code: GatewayStopped, Outcome: Done, Name: t.set.gateway})
			return
		}
		t.flush()
	}
}

// tell lets what was counted be written. It stands in the queue even when that is
// full: it is one entry a minute at most, and the only one about what it counts.
func (t *Trail) tell() {
	counted := t.crowd.take()
	if counted.total == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, counted.entry(ReasonFlood, t.set.now()))
}

// flush writes everything that waits, for as long as it takes or until the trail
// is closed.
func (t *Trail) flush() {
	for backoff := firstBackoff; t.waits(); {
		err := t.write(t.ctx, nil)
		if err == nil {
			backoff = firstBackoff
			continue
		}
		t.warn("the audit trail cannot be written: entries wait", err)
		if !t.pause(backoff) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// pause waits, and returns false when the trail is closed meanwhile.
func (t *Trail) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.stop:
		return false
	}
}

// drain writes what waits and the last entry, for as long as Close allows.
func (t *Trail) drain(last Entry) error {
	for {
		var tail *Entry
		if t.length() <= noteBatch {
			tail = &last
		}
		err := t.write(t.ctx, tail)
		switch {
		case err == nil && tail != nil:
			return nil
		case err == nil:
			continue
		}
		timer := time.NewTimer(firstBackoff)
		select {
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
			return fmt.Errorf("audit: %d entries and the end of the chain could not be written: %w", t.length(), err)
		}
	}
}

func (t *Trail) length() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

func (t *Trail) waits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due || len(t.waiting) > 0 || t.lost.total > 0
}

// write writes one batch of what waits, and a last entry behind it. What could not
// be written waits on. Only the writer calls it, and Open before there is one.
func (t *Trail) write(ctx context.Context, last *Entry) error {
	var batch []Entry
	var seen map[ChainID]uint64
	if t.due {
		heads, err := t.store.Heads(ctx)
		if err != nil {
			return err
		}
		batch, seen = t.witness(heads)
	}
	t.mu.Lock()
	n := min(len(t.waiting), noteBatch)
	batch = append(batch, t.waiting[:n]...)
	lost := t.lost
	t.lost = tally{}
	t.mu.Unlock()
	if lost.total > 0 {
		batch = append(batch, lost.entry(ReasonQueue, t.set.now()))
	}
	if last != nil {
		batch = append(batch, *last)
	}
	if len(batch) == 0 {
		return nil
	}
	err := t.store.Append(ctx, batch...)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.lost.join(lost)
		return err
	}
	if t.waiting = t.waiting[n:]; len(t.waiting) == 0 {
		t.waiting = nil // or the entries that were written would be kept
	}
	if seen != nil {
		t.seen, t.due = seen, false
	}
	return nil
}

// witness returns the entries that write down the heads of the chains that have
// moved since the last time, and what to remember of them.
func (t *Trail) witness(heads []Head) ([]Entry, map[ChainID]uint64) {
	seen := make(map[ChainID]uint64, len(heads))
	var moved []Head
	for _, h := range heads {
		if h.Seq > 0 && t.seen[h.Chain] != h.Seq {
			moved = append(moved, h)
		}
		seen[h.Chain] = h.Seq
	}
	detail := ""
	if len(moved) > maxWitnessed {
		detail = fmt.Sprintf("%d more chains are not listed", len(moved)-maxWitnessed)
		moved = moved[:maxWitnessed]
	}
	e := Entry{Time: t.set.now(), Subsystem: SubsystemTrail, Code: TrailWitnessed, Outcome: Done, Name: t.set.gateway, Detail: detail}
	return withHeads(e, moved), seen
}

// withHeads returns an entry with heads, as several where one has no room for all.
func withHeads(e Entry, heads []Head) []Entry {
	var entries []Entry
	for {
		n := min(len(heads), MaxHeads)
		e.Heads = PackHeads(heads[:n]...)
		entries = append(entries, e)
		if heads = heads[n:]; len(heads) == 0 {
			return entries
		}
	}
}
