package bugzilla

import (
	"context"
	"strconv"
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

const (
	// maxRounds is how often comments of a batch of bugs are asked for while bugs in
	// it vanish: the next time without those that are gone.
	maxRounds = 3
	// maxQuestions bounds the calls about one batch of bugs to a tracker that fails
	// them as a whole because of a bug that does not exist, and knows no "permissive".
	maxQuestions = 40
)

// Members that are asked for.
var (
	idFields  = []string{"id", "alias"}
	bugFields = []string{"id", "alias", "summary", "status", "resolution", "priority", "severity", "product", "component",
		"assigned_to", "creation_time", "last_change_time", "dupe_of", "see_also"}
	commentIDFields = []string{"id", "count", "number"}
	commentFields   = []string{"id", "bug_id", "count", "number", "creator", "author", "text", "time", "creation_time"}
)

// BugKey takes leading zeros off a number. An alias is its own key: only the tracker
// knows whose it is.
func (s *site) BugKey(id string) string {
	key, _ := bridge.Digits(strings.TrimSpace(id))
	return key
}

// ReadBugs asks for one batch of bugs, and from LevelCommentIDs on for the comments
// of all of them together. A bug that was asked for by its alias has the alias as
// its ID. One that the gateway's account may not see is left out like one that does
// not exist. Comment number 0, whose text is the description, is a comment like the
// others.
func (s *site) ReadBugs(ctx context.Context, keys []string, level bridge.Level) (bridge.BugBatch, error) {
	at, err := s.now(ctx)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	batch := bridge.BugBatch{Time: at}
	ids := bugIDs(keys)
	if len(ids) == 0 {
		return batch, nil
	}
	fields := idFields
	if level > bridge.LevelIDs {
		fields = bugFields
	}
	found, err := s.findBugs(ctx, ids, fields)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	comments := map[string][]bridge.Comment{}
	switch level {
	case bridge.LevelCommentIDs:
		comments, err = s.commentsOf(ctx, found, commentIDFields)
	case bridge.LevelFull:
		comments, err = s.commentsOf(ctx, found, commentFields)
	}
	if err != nil {
		return bridge.BugBatch{}, err
	}
	byKey := index(found)
	for _, key := range keys {
		m, ok := byKey[strings.ToLower(key)]
		if !ok {
			continue
		}
		bug := bridge.Bug{ID: key}
		if level > bridge.LevelIDs {
			bug = s.bug(m)
			bug.ID = key
		}
		if level >= bridge.LevelCommentIDs {
			list, still := comments[text(m, "id")]
			if !still { // it went between the two questions
				continue
			}
			addComments(&bug, list, level)
		}
		batch.Bugs = append(batch.Bugs, bug)
	}
	return batch, nil
}

// findBugs asks for bugs and leaves out those that do not exist. Where one of them
// fails the question all the same, it is asked again in halves.
func (s *site) findBugs(ctx context.Context, ids []any, fields []string) ([]map[string]any, error) {
	var found []map[string]any
	questions := 0
	for parts := [][]any{ids}; len(parts) > 0; {
		part := parts[0]
		parts = parts[1:]
		questions++
		list, err := s.wire.askBugs(ctx, part, fields)
		switch {
		case err == nil:
			found = append(found, list...)
		case !gone(err) || questions+len(parts) >= maxQuestions:
			return nil, err
		case len(part) > 1:
			parts = append(parts, part[:len(part)/2], part[len(part)/2:])
		}
	}
	return found, nil
}

// index finds bugs by their numbers and by their aliases, in lower case.
func index(found []map[string]any) map[string]map[string]any {
	byKey := make(map[string]map[string]any, len(found))
	for _, m := range found {
		for _, alias := range wordsOf(m["alias"]) {
			if _, isNumber := bridge.Digits(alias); !isNumber {
				byKey[strings.ToLower(alias)] = m
			}
		}
	}
	for _, m := range found {
		if number := text(m, "id"); number != "" {
			byKey[number] = m
		}
	}
	return byKey
}

// bug reads the metadata of a bug.
func (s *site) bug(m map[string]any) bridge.Bug {
	bug := bridge.Bug{
		ID:          text(m, "id"),
		Title:       text(m, "summary"),
		Status:      text(m, "status"),
		Resolution:  text(m, "resolution"),
		Priority:    text(m, "priority"),
		Severity:    text(m, "severity"),
		Assignee:    text(m, "assigned_to"),
		Product:     text(m, "product"),
		Component:   text(m, "component"),
		DuplicateOf: text(m, "dupe_of"),
		Created:     timeOf(m["creation_time"]),
		Modified:    timeOf(m["last_change_time"]),
		URL:         s.bugURL(text(m, "id")),
		Link:        s.linkOf(m).ID,
	}
	bug.State = state(s.remote, bug.Status, bug.Resolution)
	bug.Importance = importance(s.remote, bug.Priority, bug.Severity)
	return bug
}

// addComments fills in what the level demands.
func addComments(bug *bridge.Bug, list []bridge.Comment, level bridge.Level) {
	bug.CommentIDs = make([]string, len(list))
	for i := range list {
		bug.CommentIDs[i] = list[i].ID
	}
	if level < bridge.LevelFull {
		return
	}
	bug.Comments = append([]bridge.Comment{}, list...)
	for i := range bug.Comments {
		bug.Comments[i].Bug = bug.ID
		if bug.Comments[i].Number == 0 {
			bug.Description = bug.Comments[i].Text
		}
	}
}

// commentsOf asks for the comments of bugs that were just found. Each that is there
// has an entry, and one that has gone meanwhile has none: it would fail the whole
// question, which is then asked again without it.
func (s *site) commentsOf(ctx context.Context, found []map[string]any, fields []string) (map[string][]bridge.Comment, error) {
	for round := 1; ; round++ {
		ids := numbersOf(found)
		if len(ids) == 0 {
			return nil, nil
		}
		comments, err := s.wire.askComments(ctx, ids, fields)
		if err == nil {
			for _, id := range ids {
				number := strconv.Itoa(id.(int))
				comments[number] = append([]bridge.Comment{}, comments[number]...)
			}
			return comments, nil
		}
		if !gone(err) || round == maxRounds {
			return nil, err
		}
		if found, err = s.findBugs(ctx, ids, []string{"id"}); err != nil {
			return nil, err
		}
	}
}

// numbersOf lists the numbers of bugs, each once.
func numbersOf(found []map[string]any) []any {
	ids := make([]any, 0, len(found))
	seen := make(map[int]bool, len(found))
	for _, m := range found {
		if n, ok := numberOf(m["id"]); ok && !seen[n] {
			seen[n] = true
			ids = append(ids, n)
		}
	}
	return ids
}
