package bridge

// State is the gateway's own word for where a bug stands.
type State string

// The states. A word of a tracker that no table knows gives [StateUnknown]: a
// state is never guessed.
const (
	StateNew          State = "new"
	StateIncomplete   State = "incomplete"
	StateConfirmed    State = "confirmed"
	StateInProgress   State = "in-progress"
	StateFixCommitted State = "fix-committed"
	StateFixReleased  State = "fix-released"
	StateInvalid      State = "invalid"
	StateWontFix      State = "wont-fix"
	StateExpired      State = "expired"
	StateUnknown      State = "unknown"
)

// Importance is the gateway's own word for how much a bug matters.
type Importance string

// The importances. Words that no table knows give [ImportanceUnknown].
const (
	ImportanceCritical  Importance = "critical"
	ImportanceHigh      Importance = "high"
	ImportanceMedium    Importance = "medium"
	ImportanceLow       Importance = "low"
	ImportanceWishlist  Importance = "wishlist"
	ImportanceUndecided Importance = "undecided"
	ImportanceUnknown   Importance = "unknown"
)

// States lists all states, so that a configuration can be checked.
func States() []State {
	return []State{StateNew, StateIncomplete, StateConfirmed, StateInProgress, StateFixCommitted, StateFixReleased,
		StateInvalid, StateWontFix, StateExpired, StateUnknown}
}

// Importances lists all importances, so that a configuration can be checked.
func Importances() []Importance {
	return []Importance{ImportanceCritical, ImportanceHigh, ImportanceMedium, ImportanceLow, ImportanceWishlist,
		ImportanceUndecided, ImportanceUnknown}
}
