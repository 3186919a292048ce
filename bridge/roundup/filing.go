package roundup

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// taken are the properties of an issue that a caller cannot give as fields.
var taken = map[string]string{
	"title":    "it is the title",
	"messages": "messages are made of the description",
	"files":    "files cannot be given",
}

// FileBug makes an issue, with the description as its first message. That is made
// first: should the second call fail it belongs to nothing, and no reader sees it.
func (d *dialect) FileBug(ctx context.Context, bug bridge.NewBug) (string, error) {
	values, err := d.issueValues(ctx, bug)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(bug.Description) != "" {
		message, err := d.writeMessage(ctx, bug.Description)
		if err != nil {
			return "", err
		}
		values = append(values, "messages="+message)
	}
	return d.create(ctx, values)
}

// issueValues writes a bug as NAME=VALUE, which Roundup splits at the first =.
func (d *dialect) issueValues(ctx context.Context, bug bridge.NewBug) ([]any, error) {
	switch {
	case strings.TrimSpace(bug.Title) == "": // Roundup takes an issue without one
		return nil, invalid("title is empty: a bug needs a title.")
	case bug.Product != "" || bug.Component != "":
		return nil, invalid("Roundup knows neither product nor component: give what the tracker has instead as fields, by the names of its properties.")
	}
	s, err := d.schema(ctx)
	if err != nil {
		return nil, err
	}
	values := []any{issueClass, "title=" + bug.Title}
	for _, name := range slices.Sorted(maps.Keys(bug.Fields)) {
		value := bug.Fields[name]
		p, ok := s.issues()[name]
		switch why := taken[name]; {
		case !ok:
			return nil, invalid("issues of this tracker have no property " + quote(name) + ": they have " +
				strings.Join(slices.Sorted(maps.Keys(s.issues())), ", ") + ".")
		case why != "":
			return nil, invalid(name + " cannot be given: " + why + ".")
		case p.kind != kindString && strings.ContainsAny(value, "\r\n"):
			return nil, invalid(name + " must be one line.")
		case p.kind == kindMultilink && (strings.Contains(value, ",") || strings.HasPrefix(strings.TrimSpace(value), "+") ||
			strings.HasPrefix(strings.TrimSpace(value), "-")):
			return nil, invalid(name + " must name one item, without a comma, and not begin with + or -: Roundup takes these for something else.")
		}
		values = append(values, name+"="+value)
	}
	return values, nil
}

func invalid(text string) error {
	return apierror.New(apierror.InvalidData).WithDetail(text)
}

// FindFiled looks through the issues that the gateway's account made, or anybody
// where it is not known which that is, with this title and description.
func (d *dialect) FindFiled(ctx context.Context, bug bridge.NewBug, since time.Time) (bridge.BugBatch, error) {
	begun := d.remote.Now()
	own, err := d.ownID(ctx)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	spec := map[string]any{"title": bug.Title} // part of a title is enough to fit
	if from := fromDate(since); from != "" {
		spec["creation"] = from
	}
	if own != "" {
		spec["creator"] = own
	}
	candidates, err := d.find(ctx, filter(nil, spec))
	if err != nil {
		return bridge.BugBatch{}, err
	}
	if err := checkCandidates(candidates); err != nil {
		return bridge.BugBatch{}, err
	}
	var batch bridge.BugBatch
	batch.Time, _ = d.remote.Clock(begun)
	err = bridge.Batched(ctx, d.remote, candidates,
		func(ctx context.Context, ids []string) ([]filed, error) { return d.filed(ctx, ids) },
		func(some []filed) error {
			for _, f := range some {
				if bridge.SameText(f.bug.Title, bug.Title) && !f.bug.Created.Before(since) && (own == "" || f.creator == own) {
					batch.Bugs = append(batch.Bugs, f.bug)
				}
			}
			return nil
		})
	if err != nil {
		return bridge.BugBatch{}, err
	}
	if err := d.addMessages(ctx, batch.Bugs); err != nil {
		return bridge.BugBatch{}, err
	}
	batch.Bugs = slices.DeleteFunc(batch.Bugs, func(b bridge.Bug) bool { return !bridge.SameText(b.Description, bug.Description) })
	return batch, nil
}

// filed is an issue that may be the one that was filed, and who made it.
type filed struct {
	bug     bridge.Bug
	creator string
}

func (d *dialect) filed(ctx context.Context, ids []string) ([]filed, error) {
	calls := make([]bridge.InnerCall, len(ids))
	for i, id := range ids {
		calls[i] = display(issueClass+id, "creation", "creator", "messages", "title")
	}
	replies, err := d.together(ctx, calls)
	if err != nil {
		return nil, err
	}
	var found []filed
	for i, r := range replies {
		if r.err != nil {
			continue // it has gone, or is not for the gateway to see
		}
		m, err := structOf(issueClass+ids[i], r.value)
		if err != nil {
			return nil, err
		}
		found = append(found, filed{creator: idOf(m["creator"]), bug: bridge.Bug{
			ID:         ids[i],
			Title:      textOf(m["title"]),
			Created:    parseDate(textOf(m["creation"])),
			CommentIDs: messageIDs(m["messages"]),
		}})
	}
	return found, nil
}
