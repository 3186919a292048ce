package bugzilla

import (
	"strings"

	"github.com/trackgate/trackgate/bridge"
)

// The tables are the mappings that Launchpad has used for Bugzilla, by the word in
// lower case.

// closed are the statuses at which the resolution tells the state.
var closed = words("resolved verified closed")

var statusStates = tableOf(map[bridge.State]string{
	bridge.StateInProgress:   "assigned in_progress on_dev fails_qa started",
	bridge.StateIncomplete:   "needinfo needinfo_reporter needsinfo waiting suspended pleasetest",
	bridge.StateFixCommitted: "pendingupload modified release_pending on_qa",
	bridge.StateInvalid:      "rejected",
	bridge.StateConfirmed:    "reopened new confirmed upstream deferred",
	bridge.StateNew:          "unconfirmed",
})

var resolutionStates = tableOf(map[bridge.State]string{
	bridge.StateFixReleased: "code_fix currentrelease errata nextrelease patch_already_available fixed rawhide documented",
	bridge.StateWontFix:     "wontfix will_not_fix notourbug upstream eol deferred",
	bridge.StateExpired:     "obsolete insufficient_data incomplete expired",
	bridge.StateInvalid:     "invalid worksforme notabug cantfix unreproducible duplicate",
})

var importances = tableOf(map[bridge.Importance]string{
	bridge.ImportanceCritical:  "blocker critical immediate urgent p5",
	bridge.ImportanceHigh:      "crash grave major high p4",
	bridge.ImportanceMedium:    "nor normal medium p3",
	bridge.ImportanceLow:       "minor low trivial p2 p1",
	bridge.ImportanceWishlist:  "enhancement wishlist",
	bridge.ImportanceUndecided: "unspecified",
})

func words(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

func tableOf[V comparable](lists map[V]string) map[string]V {
	table := map[string]V{}
	for value, list := range lists {
		for word := range words(list) {
			table[word] = value
		}
	}
	return table
}

// state looks up the status, and at a closed one the resolution.
func state(remote *bridge.Remote, status, resolution string) bridge.State {
	if s, ok := remote.State(status, resolution); ok {
		return s
	}
	word, table := strings.ToLower(strings.TrimSpace(status)), statusStates
	if closed[word] {
		word, table = strings.ToLower(strings.TrimSpace(resolution)), resolutionStates
	}
	if s, ok := table[word]; ok {
		return s
	}
	return bridge.StateUnknown
}

// importance looks up the last known word of priority and severity.
func importance(remote *bridge.Remote, priority, severity string) bridge.Importance {
	list := append(strings.Fields(priority), strings.Fields(severity)...)
	if i, ok := remote.Importance(list...); ok {
		return i
	}
	for n := len(list) - 1; n >= 0; n-- {
		if i, ok := importances[strings.ToLower(list[n])]; ok {
			return i
		}
	}
	return bridge.ImportanceUnknown
}
