package trac

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
)

// Statuses asks for the statuses of the tracker's workflow.
func (n *native) Statuses(ctx context.Context) ([]string, error) {
	const method = "ticket.status.getAll"
	rpc, err := n.rpc(ctx)
	if err != nil {
		return nil, err
	}
	var answer []any
	if err := rpc.Call(ctx, bridge.Read, method, &answer); err != nil {
		return nil, err
	}
	return wordsIn(method, answer)
}

// wordsIn reads an array of strings.
func wordsIn(method string, list []any) ([]string, error) {
	found := make([]string, len(list))
	for i, v := range list {
		word, ok := v.(string)
		if !ok {
			return nil, bridge.BadShape(method, "member %d is no string", i)
		}
		found[i] = word
	}
	return found, nil
}

// field is what a ticket can hold: any text, or where there are options one of
// them.
type field struct {
	options  []string
	optional bool // may be empty in spite of the options
}

// ticketFields asks which fields tickets have, by their names.
func ticketFields(ctx context.Context, rpc *bridge.Endpoint) (map[string]field, error) {
	const method = "ticket.getTicketFields"
	var answer []any
	if err := rpc.Call(ctx, bridge.Read, method, &answer); err != nil {
		return nil, err
	}
	list, err := structsAt(method, []any{answer}, 0)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]field, len(list))
	for _, m := range list {
		f := field{}
		if options, ok := m["options"].([]any); ok {
			if f.options, err = wordsIn(method, options); err != nil {
				return nil, err
			}
		}
		optional, _ := m["optional"].(bool)
		f.optional = optional || text(m, "optional") == "1"
		fields[text(m, "name")] = f
	}
	return fields, nil
}

// setByTrac are the fields of a new ticket that Trac sets itself, whatever it is
// sent.
var setByTrac = []string{"status", "resolution", "reporter", "time", "changetime"}

// FileBug creates a ticket. Trac takes fields that it does not have, and values
// that they cannot have, without a word (capture 073): they are refused here.
func (n *native) FileBug(ctx context.Context, bug bridge.NewBug) (string, error) {
	const method = "ticket.create"
	rpc, err := n.rpc(ctx)
	if err != nil {
		return "", err
	}
	values, err := ticketValues(bug)
	if err != nil {
		return "", err
	}
	if len(values) > 0 {
		fields, err := ticketFields(ctx, rpc)
		if err != nil {
			return "", err
		}
		if err := checkValues(values, fields); err != nil {
			return "", err
		}
	}
	var answer any
	if err := rpc.Call(ctx, bridge.Write, method, &answer, bug.Title, bug.Description, values); err != nil {
		return "", err
	}
	id, ok := intOf(answer)
	if !ok || id <= 0 {
		// It answered, so it was filed; only under which id is not known.
		return "", apierror.New(apierror.OutcomeUnknown).
			WithDetail("The answer to " + method + " is no number of a ticket.")
	}
	return strconv.FormatInt(id, 10), nil
}

// ticketValues are the fields that a bug is to have beside title and description.
func ticketValues(bug bridge.NewBug) (map[string]any, error) {
	if bug.Product != "" {
		return nil, unfit("Trac has no products: name a component alone.")
	}
	values := make(map[string]any, len(bug.Fields)+1)
	for name, value := range bug.Fields {
		switch {
		case name == "summary" || name == "description":
			return nil, unfit("%s is given twice: it is the bug's own.", name)
		case slices.Contains(setByTrac, name):
			return nil, unfit("%s is set by Trac itself.", name)
		}
		values[name] = value
	}
	if bug.Component != "" {
		if _, twice := values["component"]; twice {
			return nil, unfit("component is given twice.")
		}
		values["component"] = bug.Component
	}
	return values, nil
}

// checkValues compares values with what the tracker has places for.
func checkValues(values map[string]any, fields map[string]field) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f, ok := fields[name]
		value := wordOf(values[name])
		switch {
		case !ok:
			return unfit("The tracker's tickets have no field %s; they have %s.", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case len(f.options) > 0 && !slices.Contains(f.options, value) && (value != "" || !f.optional):
			return unfit("%s cannot be %s: it is one of %s.", name, strconv.Quote(value), strings.Join(f.options, ", "))
		}
	}
	return nil
}

func unfit(format string, args ...any) error {
	return apierror.New(apierror.InvalidData).WithDetail(fmt.Sprintf(format, args...))
}

// FindFiled looks for tickets with a title and a description. By whom they were
// made cannot be told: the account's name at the tracker need not be that with
// which it logs in.
func (n *native) FindFiled(ctx context.Context, bug bridge.NewBug, since time.Time) (bridge.BugBatch, error) {
	begun := n.remote.Now()
	rpc, err := n.rpc(ctx)
	if err != nil {
		return bridge.BugBatch{}, err
	}
	ids, err := query(ctx, rpc, titleQuery(bug.Title)+"created="+since.UTC().Format(queryTime)+"..&max=0")
	if err != nil {
		return bridge.BugBatch{}, err
	}
	var batch bridge.BugBatch
	err = bridge.Batched(ctx, n.remote, words(ids), func(ctx context.Context, keys []string) ([]*ticket, error) {
		return readTickets(ctx, rpc, ticketNumbers(keys), false)
	}, func(tickets []*ticket) error {
		for _, t := range tickets {
			if bridge.SameText(text(t.fields, "summary"), bug.Title) && bridge.SameText(text(t.fields, "description"), bug.Description) && !t.created.Before(since.Truncate(time.Second)) {
				batch.Bugs = append(batch.Bugs, bridge.Bug{ID: strconv.Itoa(t.number), Title: text(t.fields, "summary"), Created: t.created})
			}
		}
		return nil
	})
	batch.Time, _ = n.remote.Clock(begun)
	return batch, err
}

// titleQuery is the part of a query that asks for a title. It is empty, so that
// all titles match, for one that a query could take for something else.
func titleQuery(title string) string {
	title = strings.TrimSpace(title)
	if title == "" || strings.ContainsAny(title, `&|\`) || strings.ContainsAny(title[:1], "!~^$") {
		return ""
	}
	return "summary=" + title + "&"
}
