package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// RegisterService adds the XML-RPC methods of the endpoint /audit:
//
//	events(after, limit[, filter]) -> {events, after}
//
// returns entries of the trail behind a position, "" being the beginning, and the
// position from which to go on, as [List] does. The limit is from 1 to [MaxPage].
// The filter is a struct whose members are those that [ParseFilter] knows. An event
// has the members of [Listed.MarshalJSON] and after, those without a value left
// out; time is dateTime.iso8601 in UTC, seq is a string, code an int.
//
// A position that is none, a limit out of bounds and a filter that is not known
// are the fault INVALID_DATA.
func RegisterService(registry *xmlrpc.Registry, store Store) error {
	return registry.Register("events", service{store}.events,
		"Returns entries of the audit trail after a position, and the position after them. The filter may have the members "+
			strings.Join(FilterKeys(), ", ")+".", "after", "limit", "filter")
}

type service struct{ store Store }

func (s service) events(ctx context.Context, after string, limit int, filter *map[string]any) (map[string]any, error) {
	if limit < 1 || limit > MaxPage {
		return nil, invalid(fmt.Sprintf("The limit must be from 1 to %d.", MaxPage))
	}
	texts := map[string]string{}
	if filter != nil {
		for key, value := range *filter {
			text, ok := filterText(value)
			if !ok {
				return nil, invalid(fmt.Sprintf("The filter %q must be a string, an int or a time.", clean(key, MaxText)))
			}
			texts[key] = text
		}
	}
	f, err := ParseFilter(texts)
	if err != nil {
		return nil, invalid(err.Error())
	}
	page, err := List(ctx, s.store, f, after, limit)
	switch {
	case errors.Is(err, ErrPosition):
		return nil, invalid("The position is not one of the trail: use what a call returned, or an empty string to begin.")
	case err != nil:
		return nil, unavailable(err)
	}
	list := make([]any, len(page.Entries))
	for i, e := range page.Entries {
		list[i] = e.members()
	}
	return map[string]any{"events": list, "after": page.After}, nil
}

func invalid(detail string) error { return apierror.New(apierror.InvalidData).WithDetail(detail) }

// filterText returns the text of a filter's value.
func filterText(value any) (string, bool) {
	switch value := value.(type) {
	case string:
		return value, true
	case int, int32, int64:
		return fmt.Sprint(value), true
	case xmlrpc.DateTime:
		return value.Time(time.UTC).UTC().Format(time.RFC3339), true
	default:
		return "", false
	}
}

// members returns the entry as a struct of XML-RPC.
func (l Listed) members() map[string]any {
	e := l.line()
	m := map[string]any{
		"time":  xmlrpc.DateTimeOf(l.Time.UTC()).WithoutZone(),
		"chain": e.Chain.String(), "seq": strconv.FormatUint(l.Seq, 10), "code": int(e.Code), "mac": e.MAC.String(), "after": l.After,
	}
	for name, text := range map[string]string{
		"subsystem": e.Subsystem, "event": e.Event, "outcome": e.Outcome, "reason": e.Reason, "caller": e.Caller, "listener": e.Listener,
		"route": e.Route, "subject": e.Subject, "name": e.Name, "detail": e.Detail,
	} {
		if text != "" {
			m[name] = text
		}
	}
	if len(e.Heads) > 0 {
		m["heads"] = e.Heads
	}
	return m
}
