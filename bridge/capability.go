package bridge

import (
	"context"
	"fmt"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

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

// StatusLister is the capability "status-list".
type StatusLister interface {
	// Statuses returns the tracker's own words for where a bug stands, in its
	// order.
	Statuses(ctx context.Context) ([]string, error)
}

// BugFiler is the capability "file-bug".
type BugFiler interface {
	// FileBug files a bug and returns its id. What the tracker has no place for
	// is refused with INVALID_DATA rather than left out.
	FileBug(ctx context.Context, bug NewBug) (string, error)
}

// FiledFinder is implemented by a [BugFiler] that can look whether a bug was
// filed, so that a filing whose outcome is unknown can be repeated with a key.
type FiledFinder interface {
	BugFiler
	// FindFiled returns bugs that may be the one that was to be filed: those with
	// this title that were made by the gateway's account, or by anybody where
	// that cannot be told, at or after a time of the tracker's clock, whose
	// description is that of bug. The batch holds id, title and time of making.
	FindFiled(ctx context.Context, bug NewBug, since time.Time) (BugBatch, error)
}

// FaultExplainer is implemented by dialects that know what some faults mean.
type FaultExplainer interface {
	// ExplainFault returns the error of the catalogue that the fault stands
	// for, or nil.
	ExplainFault(fault *xmlrpc.Fault) error
}

// Proxied is implemented by dialects whose trackers speak XML-RPC, so that the
// tracker's own methods can be called.
type Proxied interface {
	// ProxyRules may ask the tracker, as once for where its endpoint is.
	ProxyRules(ctx context.Context) (ProxyRules, error)
}

// ProxyRules say how the tracker's own methods are called on a caller's behalf.
// Patterns are method names in which * stands for any text.
type ProxyRules struct {
	// Endpoint is where the calls go.
	Endpoint *Endpoint
	// Allow are the methods that are allowed unless the configuration says
	// otherwise.
	Allow []string
	// Reads are those of them that change nothing at the tracker, so that a call
	// may be repeated when its answer is lost. Others never are.
	Reads []string
	// Refuse are the methods that log in and out or hand out credentials. They
	// are refused whatever the configuration says.
	Refuse []string
	// Aliases are further names under which the tracker knows a method, each with
	// the first one. A list that refuses one name of a method refuses all of them;
	// what is allowed is allowed under the very name.
	Aliases map[string]string
	// Credentials are the names of members of the first parameter, a struct,
	// with which a caller could act as somebody else. A call that has one, or
	// has one in its place in an inner call of system.multicall, is refused.
	Credentials []string
	// Check refuses, with FORBIDDEN, a call whose parameters would change accounts or
	// credentials. It is asked about every call that the names allow, inner calls
	// of system.multicall too. Nil: the names tell enough.
	Check func(method string, params []any) error
	// Hide are the names of struct members of answers, at any depth, that say
	// something about the session. They are taken out.
	Hide []string
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
	_, lists := d.(StatusLister)
	_, files := d.(BugFiler)
	add(readsBugs, "read-bugs")
	add(readsModified, "modified-since")
	add(readsComments, "read-comments")
	add(writesComments, "write-comments")
	add(links, "links")
	add(lists, "status-list")
	add(files, "file-bug")
	return names
}

// able finds a capability of what the tracker speaks, or says that it is lacking.
func able[C any](ctx context.Context, t *tracker, name string) (C, *spoken, error) {
	var none C
	s, err := t.speaks(ctx)
	if err != nil {
		return none, nil, err
	}
	c, ok := s.dialect.(C)
	if !ok {
		return none, nil, apierror.New(apierror.NotSupported).
			WithDetail(fmt.Sprintf("Tracker %s speaks %s, which lacks %s.", t.config.Name, s.dialect.Name(), name))
	}
	return c, s, nil
}

// invalid is a complaint about what the caller sent.
func invalid(format string, args ...any) error {
	return apierror.New(apierror.InvalidData).WithDetail(fmt.Sprintf(format, args...))
}
