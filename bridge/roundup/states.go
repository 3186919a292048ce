package roundup

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// states are the mappings that Launchpad has used for the statuses of Roundup's
// classic template, by the word in lower case.
var states = map[string]bridge.State{
	"unread":      bridge.StateNew,
	"deferred":    bridge.StateConfirmed,
	"chatting":    bridge.StateIncomplete,
	"need-eg":     bridge.StateIncomplete,
	"in-progress": bridge.StateInProgress,
	"testing":     bridge.StateInProgress,
	"done-cbb":    bridge.StateFixCommitted,
	"resolved":    bridge.StateFixReleased,
}

// state looks up the status. Templates that have a resolution name it as they
// like, so that only the operator's own words say what one means.
func state(remote *bridge.Remote, status, resolution string) bridge.State {
	if s, ok := remote.State(status, resolution); ok {
		return s
	}
	if s, ok := states[strings.ToLower(strings.TrimSpace(status))]; ok {
		return s
	}
	return bridge.StateUnknown
}

// importance looks up the operator's own words: no table says what Roundup's
// priorities mean, which every tracker names as it likes.
func importance(remote *bridge.Remote, priority, severity string) bridge.Importance {
	if i, ok := remote.Importance(priority, severity); ok {
		return i
	}
	return bridge.ImportanceUnknown
}

// Statuses lists the names of the statuses, in the order that the tracker gives
// them by numbers, where it does.
func (d *dialect) Statuses(ctx context.Context) ([]string, error) {
	replies, err := d.together(ctx, []bridge.InnerCall{
		call("list", "status"),
		call("list", "status", "order"),
	})
	if err != nil {
		return nil, err
	}
	if err := replies[0].err; err != nil {
		return nil, d.explained(err)
	}
	list, ok := replies[0].value.([]any)
	if !ok {
		return nil, bridge.BadShape("list of status", "it is no array")
	}
	type status struct {
		name  string
		order float64
	}
	statuses := make([]status, len(list))
	for i, v := range list {
		statuses[i].name = textOf(v)
	}
	if orders, ok := replies[1].value.([]any); ok && len(orders) == len(list) {
		for i, v := range orders {
			statuses[i].order, _ = v.(float64) // what has no number comes first, as it does in Roundup
		}
		slices.SortStableFunc(statuses, func(a, b status) int { return cmp.Compare(a.order, b.order) })
	}
	words := make([]string, len(statuses))
	for i, s := range statuses {
		words[i] = s.name
	}
	return words, nil
}
