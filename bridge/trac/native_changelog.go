package trac

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// The plugin has no ids for comments. Theirs are "TICKET-NUMBER", like those of
// the Launchpad plugin: a comment's number never changes, and the pair is unique
// in the tracker. Numbers have gaps, where a change has no text or a comment was
// deleted.

// Columns of a row of ticket.changeLog.
const (
	rowTime = iota
	rowAuthor
	rowField
	rowOld
	rowNew
	rowLength // without the last one, "permanent"
)

// commentField is the field of a row that holds a comment. Rows of fields that
// begin with "_" are what an edited comment said before.
const commentField = "comment"

// CommentKey takes leading zeros off both numbers.
func (n *native) CommentKey(id string) string {
	bug, no, ok := splitCommentID(id)
	if !ok {
		return id
	}
	return bug + "-" + no
}

// ReadComments reads the change log of one ticket, which has all of them.
func (n *native) ReadComments(ctx context.Context, bug string, ids []string) (bridge.CommentBatch, error) {
	id, ok := ticketNumber(n.BugKey(bug))
	if !ok {
		return bridge.CommentBatch{}, bridge.NoSuchBug()
	}
	begun := n.remote.Now()
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	comments, _, err := changeLog(ctx, rpc, id)
	if err != nil {
		return bridge.CommentBatch{}, err
	}
	if len(ids) > 0 {
		asked := make(map[string]bool, len(ids))
		for _, id := range ids {
			asked[id] = true
		}
		comments = slices.DeleteFunc(comments, func(c bridge.Comment) bool { return !asked[c.ID] })
	}
	at, _ := n.remote.Clock(begun)
	return bridge.CommentBatch{Time: at, Comments: comments}, nil
}

func changeLog(ctx context.Context, rpc *bridge.Endpoint, id int) ([]bridge.Comment, int, error) {
	var rows any
	if err := rpc.Call(ctx, bridge.Read, "ticket.changeLog", &rows, id); err != nil {
		return nil, 0, err
	}
	return readChangeLog(rows, id)
}

// readChangeLog reads the rows of a ticket's change log. It returns the comments,
// never nil and in the order of their numbers, and the highest number of any
// change. The rows are in the order of their times, which an administrator can
// set (capture 066).
func readChangeLog(v any, id int) ([]bridge.Comment, int, error) {
	const method = "ticket.changeLog"
	rows, ok := v.([]any)
	if !ok {
		return nil, 0, bridge.BadShape(method, "it is no array")
	}
	bug := strconv.Itoa(id)
	comments, last, count := []bridge.Comment{}, 0, 0
	for i, v := range rows {
		row, ok := v.([]any)
		if !ok || len(row) < rowLength {
			return nil, 0, bridge.BadShape(method, "row %d is no array of %d", i, rowLength)
		}
		if wordOf(row[rowField]) != commentField {
			continue
		}
		count++
		no := commentNumber(wordOf(row[rowOld]), count)
		last = max(last, no)
		body, ok := row[rowNew].(string)
		if !ok {
			body = wordOf(row[rowNew])
		}
		if strings.TrimSpace(body) == "" {
			continue // a change of fields
		}
		comments = append(comments, bridge.Comment{
			ID:     bug + "-" + strconv.Itoa(no),
			Bug:    bug,
			Number: no,
			Author: wordOf(row[rowAuthor]),
			Text:   bridge.NormalLines(body),
			Time:   momentOf(row[rowTime]),
		})
	}
	slices.SortStableFunc(comments, func(a, b bridge.Comment) int { return cmp.Compare(a.Number, b.Number) })
	return comments, last, nil
}

// commentNumber reads the number of a comment, which for a reply is
// "PARENT.NUMBER". Rows of very old tickets have none: they are counted.
func commentNumber(old string, count int) int {
	n, err := strconv.ParseInt(old[strings.LastIndex(old, ".")+1:], 10, 32)
	if err != nil || n <= 0 {
		return count
	}
	return int(n)
}
