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

// ImportanceUnknown is the importance of a bug whose tracker's words no table
// knows.
const ImportanceUnknown Importance = "unknown"
