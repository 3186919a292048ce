package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Constructor makes the dialect of one tracker. It must not call the tracker.
type Constructor func(*Remote) (Dialect, error)

// Dialect is one way in which trackers speak, at work for one tracker. What it
// can do beyond this interface is told by the capability interfaces that it
// implements. Its methods are called concurrently.
type Dialect interface {
	// Name is the name of the dialect in the configuration.
	Name() string
	// Detect asks the tracker, without a session, whether it speaks this
	// dialect. A tracker that answers but does not speak it is a [Detection],
	// one that cannot be asked an error.
	Detect(ctx context.Context) (Detection, error)
	// Login makes a session. A [RefusedError] begins the back-off; no other
	// error does.
	Login(ctx context.Context, credentials *Credentials) (*Session, error)
	// Expired tells whether err, the failure of a call that carried a session,
	// says that the session is over and proves that the call was not executed.
	Expired(err error) bool
	// About asks for versions and time, with a session. It fails where no call
	// with the session succeeds.
	About(ctx context.Context) (About, error)
}

// Detection is what [Dialect.Detect] found.
type Detection struct {
	// Found is true when the tracker speaks the dialect.
	Found bool
	// Reason says in one sentence why the dialect was found or not.
	Reason string
}

// About is what a tracker says about itself.
type About struct {
	// Versions holds the tracker's own version under "tracker", and those of
	// what else it names.
	Versions map[string]string
	// UTC is the tracker's clock; zero when it does not tell.
	UTC time.Time
	// At is the gateway's clock at the same moment, as [Remote.Midway] of the
	// one question for UTC tells.
	At time.Time
}

// Level is how much of a bug is asked for.
type Level int

// The levels, each with all of those before it.
const (
	LevelIDs        Level = iota // the id alone
	LevelMetadata                // and everything but comments
	LevelCommentIDs              // and the ids of its comments
	LevelFull                    // and description and comments
)

var levelNames = []string{LevelIDs: "ids", LevelMetadata: "metadata", LevelCommentIDs: "comment-ids", LevelFull: "full"}

// String returns the name that callers use.
func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levelNames[l]
}

// ParseLevel finds a level by its name. The empty name is "metadata".
func ParseLevel(name string) (Level, error) {
	if name == "" {
		return LevelMetadata, nil
	}
	for l, n := range levelNames {
		if n == name {
			return Level(l), nil
		}
	}
	return 0, invalid("level %s is unknown: use %s", quoted(name), strings.Join(levelNames, ", "))
}

// Bug is one bug. Members without a value are zero. Words of the tracker stand
// as it gave them; State and Importance are the gateway's own.
type Bug struct {
	ID          string
	Title       string
	Status      string
	Resolution  string
	State       State
	Priority    string
	Severity    string
	Importance  Importance
	Assignee    string
	Product     string
	Component   string
	DuplicateOf string
	Created     time.Time
	Modified    time.Time
	// CommentIDs is nil below [LevelCommentIDs] and empty, not nil, from there
	// on when there is no comment.
	CommentIDs  []string
	Description string
	// Comments is nil below [LevelFull] and empty, not nil, when there is none.
	Comments []Comment
	Link     string
	URL      string
}

// Comment is one comment of a bug.
type Comment struct {
	ID     string
	Bug    string
	Number int
	Author string
	Text   string // with line ends of one LF
	Time   time.Time
}

// Link is the other side's bug that a bug of the tracker is linked to. The zero
// value is no link.
type Link struct {
	ID  string
	URL string
}
