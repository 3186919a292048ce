package trac

import (
	"strconv"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/xmlrpc"
)

// ticket is what the plugin says about a ticket.
type ticket struct {
	number   int
	created  time.Time
	modified time.Time
	fields   map[string]any
	comments []bridge.Comment // only where the change log was asked for
	last     int              // the highest number of a change, in the same case
}

// stamp is the token with which an update says what it was made on the ground
// of: the time of the last change in microseconds, as text. Old plugins have
// none.
func (t *ticket) stamp() string { return text(t.fields, "_ts") }

// ticketNumber reads an id as the plugin's int. What is none names no ticket.
func ticketNumber(id string) (int, bool) {
	digits, ok := bridge.Digits(id)
	n, err := strconv.ParseInt(digits, 10, 32)
	return int(n), ok && err == nil && n > 0
}

// ticketNumbers are the ids that can be those of tickets. The others are not
// asked for: they do not exist.
func ticketNumbers(ids []string) []int {
	numbers := make([]int, 0, len(ids))
	for _, id := range ids {
		if n, ok := ticketNumber(id); ok {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// readTicket reads [id, created, changed, {fields}].
func readTicket(where string, v any) (*ticket, error) {
	parts, ok := v.([]any)
	if !ok || len(parts) < 4 {
		return nil, bridge.BadShape(where, "a ticket is no array of four")
	}
	id, ok := intOf(parts[0])
	if !ok || id <= 0 {
		return nil, bridge.BadShape(where, "the id of a ticket is no number")
	}
	fields, ok := parts[3].(map[string]any)
	if !ok {
		return nil, bridge.BadShape(where, "the fields of ticket %d are no struct", id)
	}
	return &ticket{number: int(id), created: momentOf(parts[1]), modified: momentOf(parts[2]), fields: fields}, nil
}

// titleMissing is what Trac calls the failure of a call for a ticket that does
// not exist, in English.
const titleMissing = "Invalid ticket number"

// isMissing tells whether a call within system.multicall failed because there is
// no such ticket. A failure is not a struct of faultCode and faultString, as
// elsewhere, but one of what Trac's exception holds: _message, title and
// show_traceback (capture 005). Both are understood.
func isMissing(a bridge.InnerAnswer) bool {
	code, _ := intOf(a.Failed["faultCode"])
	return a.Failed != nil && (code == faultMissing || text(a.Failed, "title") == titleMissing)
}

// momentOf reads a dateTime, which is in UTC and has no zone, or as of old
// plugins epoch seconds. The zero time stands for none.
func momentOf(v any) time.Time {
	if d, ok := v.(xmlrpc.DateTime); ok {
		return d.Time(time.UTC).UTC()
	}
	return timeOf(v)
}

// bug makes the gateway's bug of a ticket.
func (n *native) bug(t *ticket, level bridge.Level) bridge.Bug {
	bug := bridge.Bug{ID: strconv.Itoa(t.number)}
	if level == bridge.LevelIDs {
		return bug
	}
	bug.Title = text(t.fields, "summary")
	bug.Status = text(t.fields, "status")
	bug.Resolution = text(t.fields, "resolution")
	bug.State = state(n.remote, bug.Status, bug.Resolution)
	bug.Priority = text(t.fields, "priority")
	bug.Severity = text(t.fields, "severity")
	bug.Importance = importance(n.remote, bug.Priority, bug.Severity)
	bug.Assignee = owner(text(t.fields, "owner"))
	bug.Component = text(t.fields, "component")
	bug.Created, bug.Modified = t.created, t.modified
	bug.Link = parseLink(text(t.fields, LinkField)).ID
	bug.URL = n.remote.URL("ticket", bug.ID)
	if level >= bridge.LevelCommentIDs {
		bug.CommentIDs = make([]string, len(t.comments))
		for i := range t.comments {
			bug.CommentIDs[i] = t.comments[i].ID
		}
	}
	if level == bridge.LevelFull {
		bug.Description = bridge.NormalLines(text(t.fields, "description"))
		bug.Comments = t.comments
	}
	return bug
}

// owner is the account that took a ticket, "" when nobody did.
func owner(name string) string {
	if name == nobody {
		return ""
	}
	return name
}

// importance is what the operator's words say: no table for Trac is in use.
func importance(remote *bridge.Remote, priority, severity string) bridge.Importance {
	if i, ok := remote.Importance(priority, severity); ok {
		return i
	}
	return bridge.ImportanceUnknown
}
