package roundup

import (
	"context"
	"slices"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// fields are the properties of issues that are read, by what they mean. Templates
// differ in which of them they have; a property that is not there is "".
type fields struct {
	title, status, resolution, priority, severity, assignee, superseder, messages, link string

	schema schema
}

// fieldsOf finds the properties in the schema, each only where it is of a type
// that can be read.
func fieldsOf(s schema) fields {
	find := func(kinds []string, names ...string) string {
		for _, name := range names {
			if slices.Contains(kinds, s.issues()[name].kind) {
				return name
			}
		}
		return ""
	}
	link, text := []string{kindLink}, []string{kindString}
	return fields{
		title:      find(text, "title"),
		status:     find(link, "status"),
		resolution: find(link, "resolution"),
		priority:   find(link, "priority"),
		severity:   find(link, "severity"),
		assignee:   find(link, "assignedto", "assignee"),
		superseder: find([]string{kindMultilink, kindLink}, "superseder"),
		messages:   find([]string{kindMultilink}, "messages"),
		link:       find(text, LinkProperty),
		schema:     s,
	}
}

// names lists the properties to display. Every class has creation and activity.
func (f fields) names(level bridge.Level) []string {
	names := []string{"creation", "activity", f.title, f.status, f.resolution, f.priority, f.severity, f.assignee, f.superseder, f.link}
	if level >= bridge.LevelCommentIDs {
		names = append(names, f.messages)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// links are the properties of a bug that lead to something with a name.
func (f fields) links() []string {
	return slices.DeleteFunc([]string{f.status, f.resolution, f.priority, f.severity, f.assignee},
		func(name string) bool { return name == "" })
}

// ReadBugs asks for one batch of bugs in one call, and in further ones for names
// that are not known yet and, at the highest level, for messages. Which issues
// there are, filter tells: display would show those that are retired.
func (d *dialect) ReadBugs(ctx context.Context, keys []string, level bridge.Level) (bridge.BugBatch, error) {
	begun := d.remote.Now()
	bugs, err := d.readBugs(ctx, possible(keys), level)
	at, _ := d.remote.Clock(begun)
	return bridge.BugBatch{Time: at, Bugs: bugs}, err
}

func (d *dialect) readBugs(ctx context.Context, ids []string, level bridge.Level) ([]bridge.Bug, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	if level == bridge.LevelIDs {
		found, err := d.find(ctx, filter(ids, map[string]any{}))
		bugs := make([]bridge.Bug, len(found))
		for i, id := range found {
			bugs[i].ID = id
		}
		return bugs, err
	}
	issues, f, err := d.issues(ctx, ids, level)
	if err != nil {
		return nil, err
	}
	bugs, err := d.bugs(ctx, issues, f, level)
	if err == nil && level == bridge.LevelFull {
		err = d.addMessages(ctx, bugs)
	}
	return bugs, err
}

// issue is an issue as display gives it.
type issue struct {
	id      string
	members map[string]any
}

// issues reads those of the issues that there are.
func (d *dialect) issues(ctx context.Context, ids []string, level bridge.Level) ([]issue, fields, error) {
	s, err := d.schema(ctx)
	if err != nil {
		return nil, fields{}, err
	}
	f := fieldsOf(s)
	calls := []bridge.InnerCall{filter(ids, map[string]any{})}
	for _, id := range ids {
		calls = append(calls, display(issueClass+id, f.names(level)...))
	}
	replies, err := d.together(ctx, calls)
	if err != nil {
		return nil, f, err
	}
	exists, err := d.found(replies[0])
	if err != nil {
		return nil, f, err
	}
	var issues []issue
	for i, r := range replies[1:] {
		switch {
		case !exists[ids[i]], isMissing(r.err):
			continue
		case isUnreadable(r.err):
			return nil, f, unreadable(issueClass+ids[i], r.err)
		case r.err != nil:
			return nil, f, d.explained(r.err)
		}
		members, err := structOf(issueClass+ids[i], r.value)
		if err != nil {
			return nil, f, err
		}
		issues = append(issues, issue{ids[i], members})
	}
	return issues, f, nil
}

// found is the set of ids that a filter gave.
func (d *dialect) found(r reply) (map[string]bool, error) {
	if r.err != nil {
		return nil, d.explained(r.err)
	}
	ids, err := readFound(r.value)
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, err
}

// bugs makes bugs of issues.
func (d *dialect) bugs(ctx context.Context, issues []issue, f fields, level bridge.Level) ([]bridge.Bug, error) {
	want := wanted{}
	for _, is := range issues {
		for _, property := range f.links() {
			want.want(f.schema, f.schema.issues()[property].to, idOf(is.members[property]))
		}
	}
	name, err := d.learn(ctx, want)
	if err != nil {
		return nil, err
	}
	bugs := make([]bridge.Bug, len(issues))
	for i, is := range issues {
		word := func(property string) string {
			if property == "" {
				return ""
			}
			return name(f.schema.issues()[property].to, idOf(is.members[property]))
		}
		bug := bridge.Bug{
			ID:         is.id,
			Title:      textOf(is.members[f.title]),
			Status:     word(f.status),
			Resolution: word(f.resolution),
			Priority:   word(f.priority),
			Severity:   word(f.severity),
			Assignee:   word(f.assignee),
			Created:    parseDate(textOf(is.members["creation"])),
			Modified:   parseDate(textOf(is.members["activity"])),
			Link:       parseLink(textOf(is.members[f.link])).ID,
			URL:        d.remote.URL(issueClass + is.id),
		}
		bug.State = state(d.remote, bug.Status, bug.Resolution)
		bug.Importance = importance(d.remote, bug.Priority, bug.Severity)
		if by := idsOf(is.members[f.superseder]); f.superseder != "" && len(by) > 0 {
			bug.DuplicateOf = by[0]
		}
		if level >= bridge.LevelCommentIDs {
			bug.CommentIDs = messageIDs(is.members[f.messages])
		}
		bugs[i] = bug
	}
	return bugs, nil
}

// ModifiedBugs asks a filter for what may have changed, and then for the dates.
// The filter alone cannot be trusted: it reads a date in a time zone that nothing
// tells, and lets all pass when it cannot read it.
func (d *dialect) ModifiedBugs(ctx context.Context, keys []string, since time.Time) (bridge.ModifiedBatch, error) {
	begun := d.remote.Now()
	spec := map[string]any{}
	if from := fromDate(since); from != "" {
		spec["activity"] = from
	}
	var batch bridge.ModifiedBatch
	var candidates []string
	var err error
	if keys == nil {
		candidates, err = d.find(ctx, filter(nil, spec))
	} else {
		candidates, batch.Missing, err = d.changed(ctx, keys, spec)
	}
	if err == nil {
		err = checkCandidates(candidates)
	}
	if err != nil {
		return bridge.ModifiedBatch{}, err
	}
	err = bridge.Batched(ctx, d.remote, candidates,
		func(ctx context.Context, ids []string) ([]string, error) { return d.activeSince(ctx, ids, since) },
		func(ids []string) error {
			batch.IDs = append(batch.IDs, ids...)
			return nil
		})
	batch.Time, _ = d.remote.Clock(begun)
	return batch, err
}

// changed asks in one call which issues there are and which of them fit.
func (d *dialect) changed(ctx context.Context, keys []string, spec map[string]any) (candidates, missing []string, err error) {
	exists, fit := map[string]bool{}, map[string]bool{}
	if ids := possible(keys); len(ids) > 0 {
		replies, err := d.together(ctx, []bridge.InnerCall{filter(ids, map[string]any{}), filter(ids, spec)})
		if err != nil {
			return nil, nil, err
		}
		if exists, err = d.found(replies[0]); err != nil {
			return nil, nil, err
		}
		if fit, err = d.found(replies[1]); err != nil {
			return nil, nil, err
		}
	}
	for _, key := range keys {
		switch {
		case !exists[key]:
			missing = append(missing, key)
		case fit[key]:
			candidates = append(candidates, key)
		}
	}
	return candidates, missing, nil
}

// activeSince asks for the dates. An issue whose date cannot be read counts as
// changed: better twice than never.
func (d *dialect) activeSince(ctx context.Context, ids []string, since time.Time) ([]string, error) {
	calls := make([]bridge.InnerCall, len(ids))
	for i, id := range ids {
		calls[i] = display(issueClass+id, "activity")
	}
	replies, err := d.together(ctx, calls)
	if err != nil {
		return nil, err
	}
	var active []string
	for i, r := range replies {
		members, _ := r.value.(map[string]any)
		if date := parseDate(textOf(members["activity"])); date.IsZero() || !date.Before(since) {
			active = append(active, ids[i])
		}
	}
	return active, nil
}
