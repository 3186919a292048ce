package handshake

import "strconv"

// Kind says what a token is for. A token is accepted only where its own kind
// is asked for. The numbers are stored: they never change their meaning.
type Kind uint8

// BugTracker is the kind of the tokens that the gateway shows to bug trackers.
const BugTracker Kind = 1

var kinds = map[Kind]struct{ name, title string }{
	BugTracker: {"BUGTRACKER", "The gateway is authenticating itself with a remote bug tracker."},
}

// String returns the name of the kind, "KIND-7" for one that this version does
// not know.
func (k Kind) String() string {
	if entry, ok := kinds[k]; ok {
		return entry.name
	}
	return "KIND-" + strconv.Itoa(int(k))
}

// Title says in one sentence what a token of this kind is for.
func (k Kind) Title() string {
	if entry, ok := kinds[k]; ok {
		return entry.title
	}
	return "A token of a kind that this version of the gateway does not know."
}
