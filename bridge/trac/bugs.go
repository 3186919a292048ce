package trac

import (
	"context"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// Levels of launchpad.bug_info. Its level 3 has the texts of comments without
// their authors, so it is never asked for: comments come from
// launchpad.get_comments.
const (
	infoIDs        = 0
	infoMetadata   = 1
	infoCommentIDs = 2
)

// missing marks a bug by its status, and a comment by its type, that does not
// exist.
const missing = "missing"

// nobody is the owner of a ticket that nobody took.
const nobody = "< default >"

// BugKey takes leading zeros off a number: the plugin does, and matches by it.
func (l *launchpad) BugKey(id string) string { return ticketKey(id) }

// ReadBugs asks for one batch of bugs, and at the highest level for the comments
// of all of them together.
func (l *launchpad) ReadBugs(ctx context.Context, keys []string, level bridge.Level) (bridge.BugBatch, error) {
	info := infoIDs
	switch level {
	case bridge.LevelMetadata:
		info = infoMetadata
	case bridge.LevelCommentIDs, bridge.LevelFull:
		info = infoCommentIDs
	}
	at, found, err := l.bugInfo(ctx, info, map[string]any{"bugs": keys})
	if err != nil {
		return bridge.BugBatch{}, err
	}
	batch := bridge.BugBatch{Time: at, Bugs: make([]bridge.Bug, 0, len(found))}
	for _, m := range found {
		if text(m, "status") == missing || text(m, "id") == "" {
			continue
		}
		if level == bridge.LevelIDs {
			batch.Bugs = append(batch.Bugs, bridge.Bug{ID: text(m, "id")})
			continue
		}
		bug := l.bug(m)
		if info == infoCommentIDs {
			if bug.CommentIDs, err = commentIDs(m); err != nil {
				return bridge.BugBatch{}, err
			}
		}
		batch.Bugs = append(batch.Bugs, bug)
	}
	if level == bridge.LevelFull {
		return batch, l.addComments(ctx, batch.Bugs)
	}
	return batch, nil
}

// ModifiedBugs asks which bugs changed. The plugin lists those that do not exist
// whatever the time.
func (l *launchpad) ModifiedBugs(ctx context.Context, keys []string, from time.Time) (bridge.ModifiedBatch, error) {
	criteria := map[string]any{"modified_since": from.Unix()}
	if keys != nil {
		criteria["bugs"] = keys
	}
	at, found, err := l.bugInfo(ctx, infoIDs, criteria)
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	batch := bridge.ModifiedBatch{Time: at}
	for _, m := range found {
		if text(m, "status") == missing {
			batch.Missing = append(batch.Missing, text(m, "id"))
		} else if id := text(m, "id"); id != "" {
			batch.IDs = append(batch.IDs, id)
		}
	}
	return batch, nil
}

func (l *launchpad) bugInfo(ctx context.Context, level int, criteria map[string]any) (time.Time, []map[string]any, error) {
	const method = "launchpad.bug_info"
	var answer []any
	if err := l.rpc.Call(ctx, bridge.Read, method, &answer, level, criteria); err != nil {
		return time.Time{}, nil, err
	}
	return readBugs(method, answer)
}

// readBugs reads [UTC epoch, [bug, ...]].
func readBugs(method string, answer []any) (time.Time, []map[string]any, error) {
	at, err := stamped(method, answer, 2)
	if err != nil {
		return time.Time{}, nil, err
	}
	found, err := structsAt(method, answer, 1)
	return at, found, err
}

// bug reads the metadata of a bug.
func (l *launchpad) bug(m map[string]any) bridge.Bug {
	bug := bridge.Bug{
		ID:         text(m, "id"),
		Title:      text(m, "summary"),
		Status:     text(m, "status"),
		Resolution: text(m, "resolution"),
		Priority:   text(m, "priority"),
		Severity:   text(m, "severity"),
		Importance: bridge.ImportanceUnknown,
		Assignee:   text(m, "assignee"),
		Component:  text(m, "component"),
		Created:    timeOf(m["timestamp"]),
		Modified:   timeOf(m["last_modified"]),
	}
	bug.State = state(l.remote, bug.Status, bug.Resolution)
	bug.URL = l.remote.URL("ticket", bug.ID)
	if bug.Assignee == nobody {
		bug.Assignee = ""
	}
	return bug
}

// commentIDs reads the ids of a bug's comments; never nil.
func commentIDs(m map[string]any) ([]string, error) {
	list, ok := m["comments"].([]any)
	if !ok && m["comments"] != nil {
		return nil, bridge.BadShape("launchpad.bug_info", "comments is no array")
	}
	ids := make([]string, 0, len(list))
	for _, v := range list {
		id, ok := v.(string)
		if m, whole := v.(map[string]any); whole { // as at level 3
			id, ok = m["id"].(string)
		}
		if !ok {
			return nil, bridge.BadShape("launchpad.bug_info", "the id of a comment is no string")
		}
		ids = append(ids, id)
	}
	return ids, nil
}
