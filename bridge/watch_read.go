package bridge

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

const (
	// owedTries is how often a bug that cannot be read is tried before it is given up.
	owedTries = 5
	// owedAtOnce is how many of those are tried in one poll.
	owedAtOnce = 5
	// maxFutile is how many questions about bugs fail, while none has succeeded, before
	// a poll is given up: it is not the bugs then.
	maxFutile = 32
)

// reading is the reading of the bugs of one poll.
type reading struct {
	*tenure
	bugs   []readBug
	owed   []owed // when all of the bugs are stored
	paid   []owed // what was owed, and is among the bugs
	futile int
	some   bool // something was read
}

// readBug is a bug, and the tracker's clock before it was read; zero: not told.
type readBug struct {
	bug Bug
	at  time.Time
}

// all reads the bugs, and some of those that are owed. One that cannot be read is
// owed from then on, and in nobody's way: it is neither asked for together with others,
// nor waited for.
func (r *reading) all(ctx context.Context, ids []string, at time.Time) error {
	owing := make(map[string]bool, len(r.at.Owed))
	for _, o := range r.at.Owed {
		owing[o.ID] = true
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return owing[id] })
	if at.IsZero() {
		at = r.at.Time
	}
	var unread []string
	for batch := range slices.Chunk(ids, WatchBatch) {
		failed, err := r.batch(ctx, batch)
		if err != nil {
			return err
		}
		unread = append(unread, failed...)
	}
	if err := r.retry(ctx, at); err != nil {
		return err
	}
	for _, id := range unread {
		if len(r.owed)+len(r.paid) >= maxOwed {
			r.logger.Error("too many bugs that are watched cannot be read: a change is lost", "bug", quoted(id))
			continue
		}
		r.owed = append(r.owed, owed{ID: id, Tries: 1, Found: at})
	}
	return nil
}

// batch reads bugs together and, when that fails for a reason that may be one bug's,
// by halves. It returns those that cannot be read.
func (r *reading) batch(ctx context.Context, ids []string) ([]string, error) {
	err := r.read(ctx, ids)
	if err == nil || !perhapsOfBugs(ctx, err) {
		return nil, err
	}
	if r.futile++; !r.some && r.futile >= maxFutile {
		return nil, err
	}
	if len(ids) == 1 {
		r.logger.Warn("a bug that is watched cannot be read, and is tried again later", "bug", quoted(ids[0]), "error", err)
		return ids, nil
	}
	first, err := r.batch(ctx, ids[:len(ids)/2])
	if err != nil {
		return nil, err
	}
	second, err := r.batch(ctx, ids[len(ids)/2:])
	return append(first, second...), err
}

// read reads bugs.
func (r *reading) read(ctx context.Context, ids []string) error {
	if err := r.renew(ctx); err != nil {
		return err
	}
	found, err := r.bridge.GetBugs(ctx, r.Tracker, ids, LevelMetadata)
	if err != nil {
		return err
	}
	r.some = true
	for _, id := range found.Missing {
		r.notThere(id)
	}
	for _, bug := range found.Bugs {
		if len(bug.ID) > MaxIDLength {
			r.notThere(bug.ID)
			continue
		}
		r.bugs = append(r.bugs, readBug{bug, found.Time})
	}
	return nil
}

// retry tries the first of the bugs that are owed, each by itself. One that fails goes
// to the end of the line, and out of it once it has failed often enough and its change
// is too old to be found again by itself.
func (r *reading) retry(ctx context.Context, at time.Time) error {
	due := min(owedAtOnce, len(r.at.Owed))
	r.owed = slices.Clone(r.at.Owed[due:])
	for _, o := range r.at.Owed[:due] {
		err := r.read(ctx, []string{o.ID})
		switch {
		case err == nil:
			r.paid = append(r.paid, o)
			continue
		case !perhapsOfBugs(ctx, err):
			return err
		}
		o.Tries++
		if o.Tries >= owedTries && at.Sub(o.Found).Abs() > r.Overlap+r.Interval {
			r.logger.Error("a bug that is watched cannot be read: its change is lost", "bug", quoted(o.ID), "error", err)
			continue
		}
		r.owed = append(r.owed, o)
	}
	return nil
}

// owing is what is owed while not all of the bugs are stored.
func (r *reading) owing() []owed { return slices.Concat(r.paid, r.owed) }

// perhapsOfBugs tells whether a question may have failed because of what it was about,
// so that another question has another answer.
func perhapsOfBugs(ctx context.Context, err error) bool {
	trouble := new(logTrouble)
	if ctx.Err() != nil || errors.As(err, &trouble) {
		return false
	}
	switch apierror.From(err).Name() {
	case apierror.TrackerFault, apierror.TrackerBadAnswer, apierror.TrackerTimeout, apierror.Forbidden,
		apierror.ResourceNotFound, apierror.InvalidData, apierror.ServerError:
		return true
	}
	return false
}
