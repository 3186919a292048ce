package audit

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// rotateEvery is how often it is looked whether old entries must make room.
	rotateEvery = time.Minute
	// dropChunk is how many blocks make room at once.
	dropChunk = 256
	// rotateSlack is the part of a limit, one in so many, by which it is passed before
	// room is made, so that that happens now and then and not all the time.
	rotateSlack = 100
	// clockSlack is how far ahead the clock of another gateway may be. A block that
	// claims to be younger makes room with those around it, or it would stand in the
	// way of all that follow.
	clockSlack = 24 * time.Hour
)

// Reasons of [TrailDropped].
const (
	// ReasonAge and ReasonSize: the limit that was passed.
	ReasonAge  = "age"
	ReasonSize = "size"
	// ReasonCarried: an entry that said up to where a chain had made room made room
	// itself, and this one says it again.
	ReasonCarried = "carried"
	// nameUnverified is the name of entries about chains that could not be verified
	// with a key when they made room. It excuses nothing that is missing from a chain
	// that can.
	nameUnverified = "unverified"
)

// rotating makes room, until the trail is closed.
func (t *Trail) rotating() {
	if t.set.maxAge == 0 && t.set.maxSize == 0 {
		return
	}
	tick := time.NewTicker(rotateEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := t.rotate(t.ctx); err != nil {
				t.warn("the audit trail could not make room", err)
			}
		case <-t.stop:
			return
		}
	}
}

// rotate makes room, chunk by chunk, as much as is to be made when it begins: the
// entries that say so need room themselves.
func (t *Trail) rotate(ctx context.Context) error {
	now := t.set.now()
	size, oldest, err := t.store.Size(ctx)
	if err != nil || size == 0 {
		return err
	}
	var d dropping
	switch {
	case t.set.maxSize > 0 && size > t.set.maxSize:
		d = dropping{reason: ReasonSize, bytes: size - t.set.maxSize + t.set.maxSize/rotateSlack}
	case t.set.maxAge > 0 && oldest.Before(now.Add(-t.set.maxAge-t.set.maxAge/rotateSlack)):
		d = dropping{reason: ReasonAge, bytes: math.MaxInt64, from: now.Add(-t.set.maxAge), to: now.Add(clockSlack)}
	default:
		return nil
	}
	for {
		select {
		case <-t.stop:
			return nil
		default:
		}
		blocks, err := t.store.Read(ctx, "", dropChunk)
		if err != nil {
			return err
		}
		upTo, more := d.take(blocks)
		if upTo == "" {
			return nil
		}
		entries, err := t.dropped(ctx, &d)
		if err != nil {
			return err
		}
		if err := t.store.Drop(ctx, upTo, entries...); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// dropping is what makes room.
type dropping struct {
	reason string
	bytes  int64 // how much is still to make room, at most
	// from and to are the times between which blocks stay; equal ones are none.
	from, to time.Time
	chunk    []Block // what makes room next
}

// take chooses from the oldest blocks, and returns the position up to which they
// make room, "" for none, and whether there may be more.
func (d *dropping) take(blocks []Block) (upTo string, more bool) {
	d.chunk = nil
	for _, b := range blocks {
		// A block that cannot be decoded goes with those around it.
		h, err := ReadHeader(b.Data)
		if d.bytes <= 0 || err == nil && !h.Time.Before(d.from) && h.Time.Before(d.to) {
			return upTo, false
		}
		d.bytes -= int64(len(b.Data))
		d.chunk = append(d.chunk, b)
		upTo = b.After
	}
	return upTo, len(blocks) == dropChunk
}

// dropped returns the entries that say what makes room, with the ends of the
// chains in it, so that what follows can be verified. What is about to go is
// verified for the last time, and the entries tell what was found.
//
// An entry that said the same of earlier chunks may be among what goes. What it
// said is said again: of a chain that goes on, always; of one of which nothing is
// left, once, for the entries that still name it are gone before this one is.
func (t *Trail) dropped(ctx context.Context, d *dropping) ([]Entry, error) {
	heads, err := t.store.Heads(ctx)
	if err != nil {
		return nil, err
	}
	v := newVerifier(t.set.keys, VerifyOptions{AllowUnkeyed: true})
	var said []Entry
	v.heard = func(e Entry) { said = append(said, e) }
	for _, b := range d.chunk {
		v.block(b.Data)
	}
	ends, unverified := v.ends()
	e := Entry{Time: t.set.now(), Subsystem: SubsystemTrail, Code: TrailDropped, Outcome: Done, Reason: d.reason}
	e.Detail = fmt.Sprintf("%d entries", v.report.Entries)
	if problems := len(v.report.Problems) + v.report.MoreProblems; problems > 0 {
		first := v.report.Problems[0].String()
		e.Outcome = Failed
		e.Detail += fmt.Sprintf(", %d problems, the first: %s", problems, first)
		t.set.log.Warn("old entries of the audit trail make room that cannot be verified", "problems", problems, "first", first)
	}
	entries := withHeads(e, ends)
	if len(unverified) > 0 {
		e.Name = nameUnverified
		entries = append(entries, withHeads(e, unverified)...)
	}
	e.Outcome, e.Reason, e.Detail = Done, ReasonCarried, ""
	for _, e.Name = range []string{"", nameUnverified} {
		if again := v.carried(said, e.Name, heads); len(again) > 0 {
			entries = append(entries, withHeads(e, again)...)
		}
	}
	return entries, nil
}

// ends returns the ends of the chains in what was read, each up to the first entry
// that is not what it should be, and apart those that prove nothing: somebody may
// have put them there to excuse what he removed elsewhere.
func (v *verifier) ends() (ends, unverified []Head) {
	for _, c := range v.order {
		end := Head{Chain: c.id, Seq: c.last, MAC: c.mac}
		for _, g := range c.gaps {
			if g.from > 1 && g.from <= end.Seq {
				v.missing(c, g)
				end.Seq, end.MAC = g.from-1, g.before
			}
		}
		switch {
		case !c.strong && v.keyed:
			unverified = append(unverified, end)
		case c.sure >= end.Seq:
			ends = append(ends, end)
		}
	}
	return ends, unverified
}

// carried returns what entries of a name said and must be said again.
func (v *verifier) carried(said []Entry, name string, heads []Head) []Head {
	alive := map[ChainID]bool{}
	for _, h := range heads {
		alive[h.Chain] = h.Seq > 0
	}
	floors := map[ChainID]Head{}
	var order []ChainID
	for _, e := range said {
		if e.Name != name {
			continue
		}
		for _, h := range e.Heads.All() {
			if c, goes := v.chains[h.Chain]; goes && c.last >= h.Seq {
				continue
			}
			if e.Reason == ReasonCarried && !alive[h.Chain] {
				continue
			}
			floor, known := floors[h.Chain]
			if !known {
				order = append(order, h.Chain)
			}
			if h.Seq > floor.Seq {
				floors[h.Chain] = h
			}
		}
	}
	carried := make([]Head, len(order))
	for i, id := range order {
		carried[i] = floors[id]
	}
	return carried
}
