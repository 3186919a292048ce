package bugzilla

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// MaxCommentLength bounds a comment, and the description of a bug, in characters
// after blanks at its end are taken off: Bugzilla refuses longer ones (capture
// 087).
const MaxCommentLength = 65535

// CommentKey takes leading zeros off a number.
func (s *site) CommentKey(id string) string {
	key, _ := bridge.Digits(strings.TrimSpace(id))
	return key
}

// readComment reads a comment of a bug. Versions differ in the names of members:
// creator or author, count or number, time or creation_time.
func readComment(method, bug string, m map[string]any, position int) (bridge.Comment, error) {
	id := text(m, "id")
	if id == "" {
		return bridge.Comment{}, bridge.BadShape(method, "a comment of bug %s has no id", bug)
	}
	if of := text(m, "bug_id"); of != "" {
		bug = of
	}
	number := position // before 4.4 nothing tells but the order
	for _, name := range []string{"count", "number"} {
		if n, ok := numberOf(m[name]); ok {
			number = n
		}
	}
	comment := bridge.Comment{
		ID:     id,
		Bug:    bug,
		Number: number,
		Author: cmp.Or(text(m, "creator"), text(m, "author")),
		Text:   bridge.NormalLines(text(m, "text")),
		Time:   timeOf(m["time"]),
	}
	if comment.Time.IsZero() {
		comment.Time = timeOf(m["creation_time"])
	}
	return comment, nil
}

// readComments reads the comments of one bug, in the order of their numbers.
func readComments(method, bug string, v any) ([]bridge.Comment, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, bridge.BadShape(method, "the comments of bug %s are no array", bug)
	}
	comments := make([]bridge.Comment, 0, len(list))
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return nil, bridge.BadShape(method, "a comment of bug %s is no struct", bug)
		}
		comment, err := readComment(method, bug, m, i)
		if err != nil {
			return nil, err
		}
		comments = append(comments, comment)
	}
	slices.SortStableFunc(comments, func(a, b bridge.Comment) int { return cmp.Compare(a.Number, b.Number) })
	return comments, nil
}

// only returns the one list of comments in an answer about one bug, which has the
// bug's number as its key whatever the bug was called in the question.
func only(method string, all map[string][]bridge.Comment) ([]bridge.Comment, error) {
	if len(all) > 1 {
		return nil, bridge.BadShape(method, "it is about %d bugs instead of one", len(all))
	}
	for _, list := range all {
		return list, nil
	}
	return nil, nil
}

// among keeps the comments that have one of these ids, or all without ids.
func among(comments []bridge.Comment, ids []string) []bridge.Comment {
	if len(ids) == 0 {
		return comments
	}
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	return slices.DeleteFunc(comments, func(c bridge.Comment) bool { return !wanted[c.ID] })
}

// bounded refuses more comments than one call may cost.
func bounded(comments []bridge.Comment) ([]bridge.Comment, error) {
	if len(comments) > bridge.MaxComments {
		return nil, bridge.TooMany("comments", bridge.MaxComments)
	}
	return comments, nil
}

// writeComment adds a comment by a method whose answer tells the comment's id in a
// member.
func (s *site) writeComment(ctx context.Context, method, answerID, bug, body string) (string, error) {
	id, ok := bugID(s.BugKey(bug))
	if !ok {
		return "", bridge.NoSuchBug()
	}
	if err := checkText("text", body); err != nil {
		return "", err
	}
	if strings.TrimSpace(body) == "" {
		return "", invalid("text is blank: Bugzilla takes no such comment.")
	}
	return s.write(ctx, method, answerID, map[string]any{"id": id, "comment": body})
}

// wireIDs are ids of comments as they are sent; those that can be no comment's are
// left out.
func wireIDs(ids []string) []any {
	numbers := make([]any, 0, len(ids))
	for _, id := range ids {
		if n, ok := wireID(id); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// write calls a method that makes something and answers with its id in a member.
func (s *site) write(ctx context.Context, method, answerID string, params map[string]any) (string, error) {
	var answer map[string]any
	if err := s.rpc.Call(ctx, bridge.Write, method, &answer, params); err != nil {
		return "", err
	}
	made := text(answer, answerID)
	if made == "" {
		// It answered, so it was written; only under which id is not known.
		return "", apierror.New(apierror.OutcomeUnknown).
			WithDetail(fmt.Sprintf("The answer to %s has no %s.", method, answerID))
	}
	return made, nil
}

// checkText refuses a text that Bugzilla would refuse, or that could not be found
// there again. It cannot be sent control characters: its answer to them is a fault
// about the whole document (capture 167).
func checkText(what, body string) error {
	if n := utf8.RuneCountInString(strings.TrimRight(body, " \t\r\n\f\v")); n > MaxCommentLength {
		return invalid(fmt.Sprintf("%s has %d characters, and Bugzilla takes no more than %d: split it.", what, n, MaxCommentLength))
	}
	if i := strings.IndexFunc(body, forbidden); i >= 0 {
		r, _ := utf8.DecodeRuneInString(body[i:])
		return invalid(fmt.Sprintf("%s has the character U+%04X, which XML has no form for: leave it out.", what, r))
	}
	return nil
}

// forbidden tells whether XML 1.0 has no form for a character.
func forbidden(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}
