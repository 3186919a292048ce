package trac

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// A comment's id is "BUG-NUMBER". Numbers have gaps: changes of fields without a
// text are no comments.

// CommentKey takes leading zeros off both numbers.
func (l *launchpad) CommentKey(id string) string {
	bug, no, ok := splitCommentID(id)
	if !ok {
		return id
	}
	return bug + "-" + no
}

func splitCommentID(id string) (bug, no string, ok bool) {
	bug, no, _ = strings.Cut(strings.TrimSpace(id), "-")
	bug, bugOK := bridge.Digits(bug)
	no, noOK := bridge.Digits(no)
	return bug, no, bugOK && noOK
}

// ReadComments reads comments of one bug. The plugin would give those of any
// bug: ids of others are not asked for.
func (l *launchpad) ReadComments(ctx context.Context, bug string, ids []string) (bridge.CommentBatch, error) {
	key := l.BugKey(bug)
	if len(ids) == 0 {
		at, ids, err := l.commentsOf(ctx, key)
		if err != nil {
			return bridge.CommentBatch{}, err
		}
		comments, err := l.comments(ctx, ids)
		return bridge.CommentBatch{Time: at, Comments: comments.list}, err
	}
	own := make([]string, 0, len(ids))
	for _, id := range ids {
		if of, _, ok := splitCommentID(id); ok && of == key {
			own = append(own, id)
		}
	}
	comments, err := l.comments(ctx, own)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	comments.list = slices.DeleteFunc(comments.list, func(c bridge.Comment) bool { return c.Bug != key })
	if len(comments.list) == 0 {
		// Nothing says yet that there is such a bug.
		at, _, err := l.commentsOf(ctx, key)
		return bridge.CommentBatch{Time: at}, err
	}
	return bridge.CommentBatch{Time: comments.at, Comments: comments.list}, nil
}

// commentsOf lists the ids of a bug's comments.
func (l *launchpad) commentsOf(ctx context.Context, key string) (time.Time, []string, error) {
	at, found, err := l.bugInfo(ctx, infoCommentIDs, map[string]any{"bugs": []string{key}})
	if err != nil {
		return at, nil, err
	}
	for _, m := range found {
		if text(m, "status") != missing && l.BugKey(text(m, "id")) == key {
			ids, err := commentIDs(m)
			return at, ids, err
		}
	}
	return at, nil, bridge.NoSuchBug()
}

// addComments fills in the comments of bugs whose comments' ids are known.
func (l *launchpad) addComments(ctx context.Context, bugs []bridge.Bug) error {
	var ids []string
	for i := range bugs {
		ids = append(ids, bugs[i].CommentIDs...)
	}
	comments, err := l.comments(ctx, ids)
	if err != nil {
		return err
	}
	byBug := map[string][]bridge.Comment{}
	for _, c := range comments.list {
		byBug[c.Bug] = append(byBug[c.Bug], c)
	}
	for i := range bugs {
		bugs[i].Comments = append([]bridge.Comment{}, byBug[l.BugKey(bugs[i].ID)]...)
	}
	return nil
}

// commentList is the answer to all batches of one question about comments.
type commentList struct {
	at   time.Time // the earliest; zero when there was no question
	list []bridge.Comment
}

// comments reads comments, in as few calls as possible, and sorts them by bug
// and number: the plugin puts what it found first, in an order of its own. Those
// that do not exist are left out.
func (l *launchpad) comments(ctx context.Context, ids []string) (commentList, error) {
	var all commentList
	if len(ids) > bridge.MaxComments {
		return all, bridge.TooMany("comments", bridge.MaxComments)
	}
	err := bridge.Batched(ctx, l.remote, ids, l.commentBatch, func(batch commentList) error {
		if all.at.IsZero() || batch.at.Before(all.at) {
			all.at = batch.at
		}
		all.list = append(all.list, batch.list...)
		return nil
	})
	slices.SortFunc(all.list, func(a, b bridge.Comment) int {
		return cmp.Or(cmp.Compare(len(a.Bug), len(b.Bug)), cmp.Compare(a.Bug, b.Bug), cmp.Compare(a.Number, b.Number))
	})
	return all, err
}

func (l *launchpad) commentBatch(ctx context.Context, ids []string) (commentList, error) {
	const method = "launchpad.get_comments"
	var answer []any
	if err := l.rpc.Call(ctx, bridge.Read, method, &answer, ids); err != nil {
		return commentList{}, err
	}
	return readComments(method, answer)
}

// readComments reads [UTC epoch, [comment, ...]].
func readComments(method string, answer []any) (commentList, error) {
	at, err := stamped(method, answer, 2)
	if err != nil {
		return commentList{}, err
	}
	found, err := structsAt(method, answer, 1)
	if err != nil {
		return commentList{}, err
	}
	batch := commentList{at: at}
	for _, m := range found {
		if text(m, "type") == missing {
			continue
		}
		bug, no, ok := splitCommentID(text(m, "id"))
		n, err := strconv.Atoi(no)
		if !ok || err != nil {
			return commentList{}, bridge.BadShape(method, "the id of a comment is not of the form bug-number")
		}
		batch.list = append(batch.list, bridge.Comment{
			ID:     text(m, "id"),
			Bug:    bug,
			Number: n,
			Author: text(m, "user"),
			Text:   bridge.NormalLines(text(m, "comment")),
			Time:   timeOf(m["timestamp"]),
		})
	}
	return batch, nil
}

// WriteComment adds a comment.
func (l *launchpad) WriteComment(ctx context.Context, bug, body string) (string, error) {
	const method = "launchpad.add_comment"
	var answer []any
	if err := l.rpc.Call(ctx, bridge.Write, method, &answer, l.BugKey(bug), body); err != nil {
		return "", err
	}
	if len(answer) < 2 || wordOf(answer[1]) == "" {
		// It answered, so it was written; only under which id is not known.
		return "", apierror.New(apierror.OutcomeUnknown).
			WithDetail("The answer to " + method + " holds no id of a comment.")
	}
	return wordOf(answer[1]), nil
}
