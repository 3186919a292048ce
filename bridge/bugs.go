package bridge

import (
	"context"
	"fmt"
	"time"
)

// Limits of one call of a caller.
const (
	// MaxIDs is how many ids one call may name.
	MaxIDs = 5000
	// MaxIDLength bounds an id in bytes.
	MaxIDLength = 200
	// MaxComments is how many comments one call reads.
	MaxComments = 50_000
)

// Bugs is the result of [Bridge.GetBugs].
type Bugs struct {
	// Time is the tracker's clock, in UTC, when the query began: what the next
	// "modified since" should be.
	Time time.Time
	// Bugs are those that exist, each once, in the order in which they were
	// asked for.
	Bugs []Bug
	// Missing are the ids of bugs that do not exist, as the caller wrote them.
	Missing []string
}

// GetBugs reads bugs, in as few calls as possible.
func (b *Bridge) GetBugs(ctx context.Context, name string, ids []string, level Level) (*Bugs, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	reader, at, err := able[BugReader](ctx, t, "read-bugs")
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, invalid("ids is empty: name at least one bug")
	}
	if err := checkIDs(ids); err != nil {
		return nil, err
	}

	want := ask(ids, reader.BugKey)
	found := make(map[string]Bug, len(want.keys))
	comments := 0
	var clock earliest
	err = Batched(ctx, at.remote, want.keys, func(ctx context.Context, keys []string) (BugBatch, error) {
		return reader.ReadBugs(ctx, keys, level)
	}, func(batch BugBatch) error {
		clock.see(batch.Time)
		for _, bug := range batch.Bugs {
			found[reader.BugKey(bug.ID)] = bug
			comments += len(bug.Comments)
		}
		if comments > MaxComments {
			return TooMany("comments", MaxComments)
		}
		return nil
	})
	if err != nil {
		return nil, classify(err, nil)
	}
	result := &Bugs{Time: clock.time, Bugs: make([]Bug, 0, len(found))}
	exists := make(map[string]bool, len(found))
	for _, key := range want.keys {
		if bug, ok := found[key]; ok {
			exists[key] = true
			result.Bugs = append(result.Bugs, bug)
		}
	}
	result.Missing = want.writtenAs(exists, false)
	return result, nil
}

// Modified is the result of [Bridge.GetModifiedBugs].
type Modified struct {
	Time time.Time // as in [Bugs]
	// IDs are the bugs that were modified, those that do not exist among them:
	// who asked must learn that they are gone. They are as the caller wrote
	// them or, when all bugs were asked for, as the tracker gives them.
	IDs []string
	// Missing are those that do not exist.
	Missing []string
}

// GetModifiedBugs tells which bugs were modified since a time of the tracker's
// clock. Without ids all bugs of the tracker are looked at.
func (b *Bridge) GetModifiedBugs(ctx context.Context, name string, ids []string, since time.Time) (*Modified, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	reader, at, err := able[ModifiedReader](ctx, t, "modified-since")
	if err != nil {
		return nil, err
	}
	if err := checkIDs(ids); err != nil {
		return nil, err
	}

	if len(ids) == 0 {
		batch, err := reader.ModifiedBugs(ctx, nil, since)
		if err != nil {
			return nil, classify(err, nil)
		}
		missing := append([]string{}, batch.Missing...)
		return &Modified{Time: batch.Time, IDs: append(append([]string{}, batch.IDs...), missing...), Missing: missing}, nil
	}
	want := ask(ids, reader.BugKey)
	modified, missing := map[string]bool{}, map[string]bool{}
	var clock earliest
	err = Batched(ctx, at.remote, want.keys, func(ctx context.Context, keys []string) (ModifiedBatch, error) {
		return reader.ModifiedBugs(ctx, keys, since)
	}, func(batch ModifiedBatch) error {
		clock.see(batch.Time)
		for _, id := range batch.IDs {
			modified[reader.BugKey(id)] = true
		}
		for _, id := range batch.Missing {
			modified[reader.BugKey(id)], missing[reader.BugKey(id)] = true, true
		}
		return nil
	})
	if err != nil {
		return nil, classify(err, nil)
	}
	return &Modified{Time: clock.time, IDs: want.writtenAs(modified, true), Missing: want.writtenAs(missing, true)}, nil
}

// Comments is the result of [Bridge.GetComments].
type Comments struct {
	Time time.Time // as in [Bugs]
	// Comments are in the order in which they were asked for, or of their
	// numbers when all were.
	Comments []Comment
	// Missing are the ids, as the caller wrote them, that name no comment of
	// this bug.
	Missing []string
}

// GetComments reads the comments of one bug that have these ids, or all of them
// when there are no ids. A bug that does not exist is RESOURCE_NOT_FOUND.
func (b *Bridge) GetComments(ctx context.Context, name, bug string, ids []string) (*Comments, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	reader, _, err := able[CommentReader](ctx, t, "read-comments")
	if err != nil {
		return nil, err
	}
	if err := checkLength("bug", bug); err != nil {
		return nil, err
	}
	if err := checkIDs(ids); err != nil {
		return nil, err
	}

	want := ask(ids, reader.CommentKey)
	batch, err := reader.ReadComments(ctx, bug, want.keys)
	if err != nil {
		return nil, classify(err, nil)
	}
	result := &Comments{Time: batch.Time, Comments: make([]Comment, 0, len(batch.Comments)), Missing: []string{}}
	if len(ids) == 0 {
		result.Comments = append(result.Comments, batch.Comments...)
		return result, nil
	}
	found := make(map[string]Comment, len(batch.Comments))
	for _, c := range batch.Comments {
		found[reader.CommentKey(c.ID)] = c
	}
	exists := make(map[string]bool, len(found))
	for _, key := range want.keys {
		if c, ok := found[key]; ok {
			exists[key] = true
			result.Comments = append(result.Comments, c)
		}
	}
	result.Missing = want.writtenAs(exists, false)
	return result, nil
}

// GetLink returns what a bug is linked to, the zero Link when to nothing.
func (b *Bridge) GetLink(ctx context.Context, name, bug string) (Link, error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	linker, err := b.linker(ctx, name, bug)
	if err != nil {
		return Link{}, err
	}
	link, err := linker.ReadLink(ctx, bug)
	return link, classify(err, nil)
}

// SetLink replaces what a bug is linked to and returns what it was linked to
// before. A link with an empty id removes it.
func (b *Bridge) SetLink(ctx context.Context, name, bug string, link Link) (Link, error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	linker, err := b.linker(ctx, name, bug)
	if err != nil {
		return Link{}, err
	}
	if err := linker.CheckLink(link); err != nil {
		return Link{}, err
	}
	previous, err := linker.ReadLink(ctx, bug)
	if err == nil {
		err = linker.WriteLink(ctx, bug, link)
	}
	if err != nil {
		return Link{}, classify(err, nil)
	}
	return previous, nil
}

func (b *Bridge) linker(ctx context.Context, name, bug string) (Linker, error) {
	t, err := b.admitted(ctx, name)
	if err != nil {
		return nil, err
	}
	linker, _, err := able[Linker](ctx, t, "links")
	if err != nil {
		return nil, err
	}
	return linker, checkLength("bug", bug)
}

// checkIDs bounds what a caller names.
func checkIDs(ids []string) error {
	if len(ids) > MaxIDs {
		return invalid("%d ids are more than the %d that one call may name: use several calls", len(ids), MaxIDs)
	}
	for i, id := range ids {
		if err := checkLength(fmt.Sprintf("id number %d", i+1), id); err != nil {
			return err
		}
	}
	return nil
}

// checkLength bounds one id, which the error calls what.
func checkLength(what, id string) error {
	if len(id) > MaxIDLength {
		return invalid("%s has %d bytes, more than the limit of %d", what, len(id), MaxIDLength)
	}
	return nil
}

// earliest keeps the earliest of several times, so that what happened at the
// tracker between the first and the last query is not lost to the next one.
type earliest struct{ time time.Time }

func (e *earliest) see(t time.Time) {
	if !t.IsZero() && (e.time.IsZero() || t.Before(e.time)) {
		e.time = t
	}
}
