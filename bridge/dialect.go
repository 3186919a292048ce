package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
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

// Session is what a log-in gave and what every later call carries. It is
// secret: it prints as REDACTED.
type Session struct {
	// Cookies go with every call below the tracker's base URL. Only name and
	// value are sent.
	Cookies []*http.Cookie
}

// String hides the session from logs.
func (*Session) String() string { return "REDACTED" }

// GoString hides the session from %#v.
func (*Session) GoString() string { return "REDACTED" }

// LogValue hides the session from structured logs.
func (*Session) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var _ slog.LogValuer = (*Session)(nil)

// secrets returns the values that must never appear in an error.
func (s *Session) secrets() []string {
	if s == nil {
		return nil
	}
	values := make([]string, 0, len(s.Cookies))
	for _, c := range s.Cookies {
		values = append(values, c.Value)
	}
	return values
}

// Credentials is what a dialect may log in with. Those that are made are made
// for one log-in and end with it.
type Credentials struct {
	tracker string
	minter  Minter
	revoke  []func(context.Context) error
}

// Token mints a one-time token for the handshake of this tracker. It is revoked
// when the log-in has ended.
func (c *Credentials) Token(ctx context.Context) (string, error) {
	if c.minter == nil {
		return "", apierror.New(apierror.ServerError).WithCause(fmt.Errorf("bridge: tracker %s needs a token and there is no minter", c.tracker))
	}
	token, revoke, err := c.minter.Mint(ctx, c.tracker)
	if err != nil {
		// Not the tracker's failure: an error that is not of the catalogue must
		// not be taken for one.
		return "", apierror.From(fmt.Errorf("minting a token for tracker %s: %w", c.tracker, err))
	}
	if revoke != nil {
		c.revoke = append(c.revoke, revoke)
	}
	return token, nil
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

// BugReader is the capability "read-bugs".
type BugReader interface {
	// BugKey returns the form of the id that the tracker itself uses: two ids
	// name the same bug when their keys are equal.
	BugKey(id string) string
	// ReadBugs reads one batch of bugs, given by their keys. A bug that does not
	// exist is left out.
	ReadBugs(ctx context.Context, keys []string, level Level) (BugBatch, error)
}

// BugBatch is the answer to one question about bugs.
type BugBatch struct {
	// Time is the tracker's clock when the query began, in UTC.
	Time time.Time
	Bugs []Bug
}

// ModifiedReader is the capability "modified-since".
type ModifiedReader interface {
	BugReader
	// ModifiedBugs tells which of one batch of bugs, given by their keys, were
	// modified since, and which do not exist. No keys means all bugs.
	ModifiedBugs(ctx context.Context, keys []string, since time.Time) (ModifiedBatch, error)
}

// ModifiedBatch is the answer of [ModifiedReader]. Bugs that do not exist are
// in Missing alone.
type ModifiedBatch struct {
	Time    time.Time
	IDs     []string
	Missing []string
}

// CommentReader is the capability "read-comments".
type CommentReader interface {
	// ReadComments reads the comments of one bug that have these ids, or all of
	// them when there are no ids, in any order. Ids that name no comment of
	// this bug are left out, and a bug that does not exist is RESOURCE_NOT_FOUND.
	ReadComments(ctx context.Context, bug string, ids []string) (CommentBatch, error)
	// CommentKey returns the form of a comment's id that the tracker itself uses.
	CommentKey(id string) string
}

// CommentBatch is the answer of [CommentReader].
type CommentBatch struct {
	Time     time.Time
	Comments []Comment
}

// CommentWriter is the capability "write-comments".
type CommentWriter interface {
	// WriteComment adds a comment to a bug and returns the comment's id.
	WriteComment(ctx context.Context, bug, text string) (string, error)
}

// Linker is the capability "links".
type Linker interface {
	// ReadLink returns the link of a bug, the zero Link when there is none.
	ReadLink(ctx context.Context, bug string) (Link, error)
	// CheckLink refuses, with INVALID_DATA and without calling the tracker, a
	// link that it cannot hold.
	CheckLink(link Link) error
	// WriteLink replaces the link of a bug; an empty id removes it.
	WriteLink(ctx context.Context, bug string, link Link) error
}

// FaultExplainer is implemented by dialects that know what some faults mean.
type FaultExplainer interface {
	// ExplainFault returns the error of the catalogue that the fault stands
	// for, or nil.
	ExplainFault(fault *xmlrpc.Fault) error
}

// Capabilities names what the dialect can do, in a fixed order.
func Capabilities(d Dialect) []string {
	names := []string{}
	add := func(has bool, name string) {
		if has {
			names = append(names, name)
		}
	}
	_, readsBugs := d.(BugReader)
	_, readsModified := d.(ModifiedReader)
	_, readsComments := d.(CommentReader)
	_, writesComments := d.(CommentWriter)
	_, links := d.(Linker)
	add(readsBugs, "read-bugs")
	add(readsModified, "modified-since")
	add(readsComments, "read-comments")
	add(writesComments, "write-comments")
	add(links, "links")
	return names
}

// able finds a capability of the tracker's dialect, or says that it is lacking.
func able[C any](t *tracker, name string) (C, error) {
	c, ok := t.dialect.(C)
	if !ok {
		return c, apierror.New(apierror.NotSupported).
			WithDetail(fmt.Sprintf("Tracker %s speaks %s, which lacks %s.", t.config.Name, t.dialect.Name(), name))
	}
	return c, nil
}

// invalid is a complaint about what the caller sent.
func invalid(format string, args ...any) error {
	return apierror.New(apierror.InvalidData).WithDetail(fmt.Sprintf(format, args...))
}
