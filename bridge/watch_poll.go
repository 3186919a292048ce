package bridge

import (
	"context"
	"slices"
	"time"
)

const (
	// WatchBatch is how many bugs are read, and how many changes are stored, at a time.
	WatchBatch = 100
	// MaxClockStep is by how much a tracker's clock can be set back without a change
	// being missed that was made since the last poll. More is taken for an error of
	// the gateway's own clock.
	MaxClockStep = 24 * time.Hour
	// clockLag is for how long a dialect may go on by what a tracker's clock showed.
	clockLag = time.Minute
	// settling is how near to the tracker's present a change is left to the next poll:
	// times are in whole seconds, and another change may follow within the same.
	settling = 2 * time.Second
	// maxPostponed is how often a bug is, which may be modified again and again.
	maxPostponed = 3
)

// poll asks once what was modified, and stores it.
func (t *tenure) poll(ctx context.Context) (err error) {
	begun, stored := time.Now(), 0
	defer func() { t.observer.WatchPolled(t.Name, t.Tracker, outcomeOf(err), stored, time.Since(begun)) }()
	defer caught(t.logger, t.Tracker, &err)
	if err := t.renew(ctx); err != nil {
		return err
	}
	if t.unable {
		// What it speaks is kept until somebody asks anew, as after an upgrade.
		if _, err := t.bridge.Probe(ctx, t.Tracker); err != nil {
			return err
		}
	}
	if t.at.unset() {
		return t.begin(ctx)
	}
	q, err := t.ask(ctx)
	if err != nil {
		return err
	}
	r := &reading{tenure: t}
	if err := r.all(ctx, q.ids, q.at); err != nil {
		return err
	}
	sightings := t.sift(r, q)
	return t.store(ctx, q, r, sightings, &stored)
}

// begin makes the tracker's present the position.
func (t *tenure) begin(ctx context.Context) error {
	asked := t.bridge.options.now()
	found, err := t.bridge.GetModifiedBugs(ctx, t.Tracker, t.Bugs, asked)
	if err != nil {
		return err
	}
	at := found.Time
	if at.IsZero() {
		t.noClock()
		at = asked
	}
	return t.advance(ctx, position{Time: at, Asked: asked, Begun: at}, nil)
}

// noClock says, once, that the tracker does not tell its time. Then the times of its
// changes are what a watch goes by.
func (t *tenure) noClock() {
	if !t.clockless {
		t.logger.Warn("a tracker that is watched does not tell its time: if its clock is slow, changes may be missed at the beginning")
	}
	t.clockless = true
}

// question is what a tracker answered to "modified since".
type question struct {
	ids   []string
	base  time.Time // all that is earlier is stored
	at    time.Time // the tracker's clock; zero: not told
	asked time.Time // the gateway's
	begun time.Time
}

// ask asks what was modified since a little before the last position. A tracker whose
// clock was set back gives later changes earlier times: it is asked again, from the
// time that its clock may have shown at the last poll.
func (t *tenure) ask(ctx context.Context) (*question, error) {
	q := &question{base: t.at.Time, begun: t.at.Begun, asked: t.bridge.options.now()}
	found, err := t.bridge.GetModifiedBugs(ctx, t.Tracker, t.Bugs, q.base.Add(-t.Overlap))
	if err != nil {
		return nil, err
	}
	if found.Time.IsZero() {
		t.noClock()
	} else {
		passed := min(max(q.asked.Sub(t.at.Asked), 0), MaxClockStep)
		if before := found.Time.Add(-passed); before.Before(q.base.Add(-t.Overlap)) {
			t.logger.Warn("the clock of a tracker that is watched was set back", "position", t.at.Time, "clock", found.Time)
			q.base, q.asked = before.Add(-clockLag), t.bridge.options.now()
			if q.base.Before(q.begun) {
				q.begun = q.base
			}
			if err := t.renew(ctx); err != nil {
				return nil, err
			}
			if found, err = t.bridge.GetModifiedBugs(ctx, t.Tracker, t.Bugs, q.base.Add(-t.Overlap)); err != nil {
				return nil, err
			}
		}
	}
	q.at = found.Time
	if !q.at.IsZero() && q.at.Before(q.base) {
		q.base = q.at
	}
	missing := make(map[string]bool, len(found.Missing))
	for _, id := range found.Missing {
		missing[id] = true
		t.notThere(id)
	}
	for _, id := range found.IDs {
		switch {
		case missing[id]:
		case id == "" || len(id) > MaxIDLength:
			t.notThere(id)
		default:
			q.ids = append(q.ids, id)
		}
	}
	return q, nil
}

// maxGone bounds the bugs about which it is remembered that a line was logged.
const maxGone = MaxIDs

// notThere says, once, that a bug cannot be told of.
func (t *tenure) notThere(id string) {
	if t.gone[id] {
		return
	}
	if len(t.gone) >= maxGone {
		clear(t.gone)
	}
	if len(id) <= MaxIDLength {
		t.gone[id] = true
	}
	t.logger.Info("a bug that is watched is not there, or its id is of no use: it is left out", "bug", quoted(id))
}

// sift takes out what is not to be told, or not yet, and puts the rest into order.
func (t *tenure) sift(r *reading, q *question) []sighting {
	sightings := make([]sighting, 0, len(r.bugs))
	named := make(map[string]bool, len(r.bugs))
	postponed := map[string]int{}
	for _, found := range r.bugs {
		bug := found.bug
		switch {
		case named[bug.ID]: // by another of its names
			continue
		case !bug.Modified.IsZero() && bug.Modified.Before(q.begun):
			continue
		case unsettled(bug.Modified, found.at) && t.postponed[bug.ID] < maxPostponed:
			postponed[bug.ID] = t.postponed[bug.ID] + 1
			continue
		}
		named[bug.ID] = true
		sightings = append(sightings, sight(bug))
	}
	t.postponed = postponed
	slices.SortFunc(sightings, compareSightings)
	return sightings
}

// unsettled tells whether a bug may be modified once more within the second in which
// it was modified when it was read.
func unsettled(modified, at time.Time) bool {
	return !at.IsZero() && !modified.Before(at.Truncate(time.Second)) && modified.Before(at.Add(settling))
}

// store puts what is new into the log, a batch at a time, each with the position to
// which it leads.
func (t *tenure) store(ctx context.Context, q *question, r *reading, sightings []sighting, stored *int) error {
	known := make(map[string]bool, len(t.at.Seen))
	for _, mark := range t.at.Seen {
		known[mark] = true
	}
	var fresh []sighting
	var seen []string
	for _, s := range sightings {
		seen = append(seen, s.mark)
		if !known[s.mark] {
			fresh = append(fresh, s)
		}
	}
	if len(r.owed) > 0 { // one that could not be read now may be in the log already
		again := slices.Clone(t.at.Seen)
		seen = append(slices.DeleteFunc(again, func(mark string) bool { return slices.Contains(seen, mark) }), seen...)
	}
	// What is owed stays so until the last batch: it may not be among the first.
	owing := r.owing()
	behind := t.at.Seen
	for len(fresh) > WatchBatch {
		batch := fresh[:WatchBatch]
		fresh = fresh[WatchBatch:]
		behind = slices.Clone(behind)
		for _, s := range batch {
			behind = append(behind, s.mark)
		}
		behind = lastSeen(behind)
		to := position{Begun: q.begun, Seen: behind, Owed: owing}
		to.Time, to.Asked = q.reached(batch[len(batch)-1].bug.Modified)
		if err := t.advance(ctx, to, t.changes(batch)); err != nil {
			return err
		}
		*stored += len(batch)
	}
	to := position{Begun: q.begun, Seen: lastSeen(seen), Owed: r.owed, Time: q.at, Asked: q.asked}
	if q.at.IsZero() {
		to.Time = q.base
		if n := len(sightings); n > 0 {
			to.Time, to.Asked = q.reached(sightings[n-1].bug.Modified)
		}
	}
	if err := t.advance(ctx, to, t.changes(fresh)); err != nil {
		return err
	}
	*stored += len(fresh)
	return nil
}

// reached is how far a watch came when all is stored that was modified before a time,
// by the tracker's clock and by the gateway's.
func (q *question) reached(modified time.Time) (at, asked time.Time) {
	now := q.at
	if now.IsZero() {
		now = q.asked
	}
	at = modified
	if at.Before(q.base) {
		at = q.base
	}
	if at.After(now) {
		at = now
	}
	return at, q.asked.Add(at.Sub(now))
}

func (t *tenure) changes(of []sighting) []Change {
	at := t.bridge.options.now()
	changes := make([]Change, len(of))
	for i := range of {
		changes[i] = of[i].change(t.Tracker, at)
	}
	return changes
}
