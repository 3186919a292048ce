package bugzilla

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// newBugDefaults are members that Bug.create demands where the site has no default
// of its own (captures 104 to 106), with the words of a new installation. A caller's
// own take their place.
var newBugDefaults = map[string]string{"version": "unspecified", "op_sys": "All", "platform": "All"}

// reservedFields are members that have a place of their own in a [bridge.NewBug].
var reservedFields = []string{"summary", "description", "product", "component", "comment"}

// filedFields are the members of a bug that may be the one that was filed.
var filedFields = []string{"id", "alias", "summary", "creation_time"}

// FileBug files a bug with Bug.create. Fields are passed on by Bugzilla's names, each
// as a string; of lists, such as cc, one value can be given.
func (s *site) FileBug(ctx context.Context, bug bridge.NewBug) (string, error) {
	if bug.Product == "" || bug.Component == "" {
		return "", invalid("Bugzilla files a bug under a product and a component: give both.")
	}
	if err := checkText("title", bug.Title); err != nil {
		return "", err
	}
	if err := checkText("description", bug.Description); err != nil {
		return "", err
	}
	params := map[string]any{}
	for name, value := range newBugDefaults {
		params[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(bug.Fields)) {
		switch {
		case slices.Contains(credentialMembers, strings.TrimSpace(name)):
			return "", invalid("A bug cannot be filed with a member " + quoted(name) + ": the gateway has credentials of its own.")
		case slices.Contains(reservedFields, name):
			return "", invalid("Give title, description, product and component under these names, not " + quoted(name) + " beside them.")
		}
		if err := checkText(name, bug.Fields[name]); err != nil {
			return "", err
		}
		params[name] = bug.Fields[name]
	}
	params["product"], params["component"] = bug.Product, bug.Component
	params["summary"], params["description"] = bug.Title, bug.Description
	return s.write(ctx, "Bug.create", "id", params)
}

// FindFiled looks for bugs with this title and description, by whomever: that the
// name under which we log in is the one that the tracker shows as a bug's creator is
// not certain.
func (s *site) FindFiled(ctx context.Context, bug bridge.NewBug, since time.Time) (bridge.BugBatch, error) {
	const method = "Bug.search"
	at, err := s.now(ctx)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	answer, err := s.read(ctx, method, map[string]any{
		"summary": strings.TrimSpace(bug.Title), "product": bug.Product, "creation_time": since.UTC(), "include_fields": filedFields,
	})
	if err != nil {
		return bridge.BugBatch{}, err
	}
	found, err := structs(method, answer, "bugs")
	if err != nil {
		return bridge.BugBatch{}, err
	}
	// It lists those whose summaries contain the title.
	found = slices.DeleteFunc(found, func(m map[string]any) bool {
		return oneLine(text(m, "summary")) != oneLine(bug.Title) || timeOf(m["creation_time"]).Before(since.Truncate(time.Second))
	})
	batch := bridge.BugBatch{Time: at}
	if len(found) == 0 {
		return batch, nil
	}
	if len(found) > s.remote.BatchSize() {
		found = found[len(found)-s.remote.BatchSize():] // the last ones: they come in the order of their numbers
	}
	comments, err := s.commentsOf(ctx, found, commentFields)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	for _, m := range found {
		list := comments[text(m, "id")]
		if len(list) == 0 || list[0].Number != 0 || strings.TrimSpace(list[0].Text) != strings.TrimSpace(bridge.NormalLines(bug.Description)) {
			continue
		}
		batch.Bugs = append(batch.Bugs, bridge.Bug{ID: text(m, "id"), Title: bug.Title, Created: timeOf(m["creation_time"])})
	}
	return batch, nil
}

// oneLine leaves aside what Bugzilla may have changed about the blanks of a summary.
func oneLine(title string) string { return strings.Join(strings.Fields(title), " ") }

// Statuses asks for the values of the field, in the order of their sort keys. The
// first has no name and stands for a bug that is being filed. Before 3.6 there is
// no Bug.fields.
func (s *site) Statuses(ctx context.Context) ([]string, error) {
	const method = "Bug.fields"
	answer, err := s.read(ctx, method, map[string]any{"names": []string{"bug_status"}})
	if apierror.Is(err, apierror.NotSupported) {
		return s.legalStatuses(ctx)
	}
	if err != nil {
		return nil, err
	}
	fields, err := structs(method, answer, "fields")
	if err != nil || len(fields) == 0 {
		return nil, cmp.Or(err, bridge.BadShape(method, "there is no field"))
	}
	values, err := structs(method, fields[0], "values")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(values, func(a, b map[string]any) int { return cmp.Compare(sortKey(a), sortKey(b)) })
	names := []string{}
	for _, m := range values {
		if name := text(m, "name"); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

// sortKey reads the key of a value, whose name has changed with the versions.
func sortKey(m map[string]any) int {
	for _, name := range []string{"sort_key", "sortkey"} {
		if n, ok := numberOf(m[name]); ok {
			return n
		}
	}
	return 0
}

func (s *site) legalStatuses(ctx context.Context) ([]string, error) {
	const method = "Bug.legal_values"
	answer, err := s.read(ctx, method, map[string]any{"field": "bug_status"})
	if err != nil {
		return nil, err
	}
	if _, ok := answer["values"].([]any); !ok {
		return nil, bridge.BadShape(method, "values is no array")
	}
	return wordsOf(answer["values"]), nil
}
