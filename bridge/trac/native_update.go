package trac

import (
	"context"
	"errors"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// maxCollisions is how often one update is made again because somebody else had
// changed the ticket.
const maxCollisions = 4

// Texts of fault 1, in English: other languages have others, so that nothing
// but a saved look rests on the first. The second Trac does not translate.
const (
	textCollision = "has been modified since you started"
	textNoAction  = "invalid action"
)

// WriteComment adds a comment. The answer does not say which number it got: the
// change log tells. The author's name must be in the text, for Trac replaces
// another author by the account without a word.
func (n *native) WriteComment(ctx context.Context, bug, body string) (string, error) {
	id, ok := ticketNumber(n.BugKey(bug))
	if !ok {
		return "", bridge.NoSuchBug()
	}
	rpc, err := n.rpc(ctx)
	if err != nil {
		return "", err
	}
	before, err := look(ctx, rpc, id)
	if err != nil {
		return "", err
	}
	before, err = update(ctx, rpc, before, body, nil, func(before, now *ticket) bool { return written(before, now.comments, body) != "" })
	if err != nil {
		return "", err
	}
	comments, _, err := changeLog(ctx, rpc, id)
	if err != nil {
		return "", apierror.New(apierror.OutcomeUnknown).WithCause(err).
			WithDetail("The comment was written, but its number could not be read.")
	}
	if found := written(before, comments, body); found != "" {
		return found, nil
	}
	return "", apierror.New(apierror.OutcomeUnknown).
		WithDetail("The tracker says that the comment was written, but its change log does not show it.")
}

// written finds the comment with a text, or at least the only one, among those
// that are newer than what was seen of the ticket before. It returns its id.
func written(before *ticket, comments []bridge.Comment, body string) string {
	var newer []bridge.Comment
	for _, c := range comments {
		if c.Number <= before.last {
			continue
		}
		if bridge.SameText(c.Text, body) {
			return c.ID
		}
		newer = append(newer, c)
	}
	if len(newer) == 1 && strings.ContainsFunc(body, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }) {
		return newer[0].ID // characters that XML cannot carry were replaced on the way
	}
	return ""
}

// look reads a ticket with its change log, in one call.
func look(ctx context.Context, rpc *bridge.Endpoint, id int) (*ticket, error) {
	tickets, unclear, err := tryTickets(ctx, rpc, []int{id}, true)
	switch {
	case err != nil && !brokenMulticall(err):
		return nil, err
	case err != nil, len(unclear) > 0:
		return readOne(ctx, rpc, id, true)
	case len(tickets) == 0:
		return nil, bridge.NoSuchBug()
	}
	return tickets[0], nil
}

// update changes a ticket and returns what had been seen of it before. When the
// ticket was changed in between it is looked at again, and the update repeated on
// the ground of that, a bounded number of times.
//
// Fault 1 does not say by its code whether it is about a collision, and its text
// may be in any language; but of a collision the ticket's stamp tells. It would
// also change if the update was made and the fault is of what came after: done
// looks for that.
func update(ctx context.Context, rpc *bridge.Endpoint, seen *ticket, comment string, changes map[string]string, done func(before, now *ticket) bool) (*ticket, error) {
	oldStyle := false
	for collisions := 0; ; collisions++ {
		var answer any
		err := rpc.Call(ctx, bridge.Write, "ticket.update", &answer, seen.number, comment, attributes(seen, changes, oldStyle))
		if !apierror.Is(err, apierror.TrackerFault) || collisions == maxCollisions {
			return seen, err
		}
		fault := apierror.From(err).FaultString()
		if strings.Contains(fault, textNoAction) && !oldStyle {
			oldStyle = true // its workflow cannot leave a ticket as it is
			continue
		}
		now, lookErr := look(ctx, rpc, seen.number)
		if lookErr != nil {
			return seen, errors.Join(err, lookErr)
		}
		if now.stamp() == seen.stamp() {
			return seen, err
		}
		if !strings.Contains(fault, textCollision) && done(seen, now) {
			return seen, nil
		}
		seen = now
	}
}

// attributes are what is sent with an update: the changes and, but for the
// deprecated way, that the ticket is to stay where it is in its workflow and on
// the ground of which state of it this was decided.
func attributes(seen *ticket, changes map[string]string, oldStyle bool) map[string]any {
	a := map[string]any{}
	for name, value := range changes {
		a[name] = value
	}
	if stamp := seen.stamp(); stamp != "" && !oldStyle {
		a["action"], a["_ts"] = "leave", stamp
	}
	return a
}
