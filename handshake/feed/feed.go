// Package feed keeps what happened at the trackers in one durable, ordered feed:
// what hooks were told, and what watching found. Whoever reads it polls or waits,
// from where he stopped.
package feed

import (
	"context"
	"errors"
	"time"
)

// Event is one change. An event is stored once, in order, and read at least once.
type Event struct {
	// After is the position behind the event, from which a reader goes on. It is
	// opaque; a store sets it.
	After string
	// Time is when the event was accepted or found, in milliseconds, UTC.
	Time time.Time
	// Source is "hook:NAME" or "watch:TRACKER".
	Source string
	// Kind says what happened, as the source names it: "bug.modified" for what
	// watching finds.
	Kind string
	// Tracker and Bug are empty where the source does not tell them.
	Tracker, Bug string
	// Data is a JSON object, or empty.
	Data []byte
}

// New is an event on its way into the feed.
type New struct {
	Event
	// Key recognises an event that comes again: of all with the same Source and Key
	// the first is stored, for as long as keys are kept. "" is never recognised.
	Key string
}

// Page is a part of the feed.
type Page struct {
	Events []Event
	// After is the position behind the last of the events, or, where there are none,
	// the position that was asked for; the end of the feed where that position is beyond
	// it, because the database has lost events.
	After string
	// Truncated is whether events after the position that was asked for had been
	// dropped already, by age or number, or lost.
	Truncated bool
}

// Lease is the right to be the one that watches. Its zero value is none.
type Lease struct {
	Name string
	// Holder is who has it.
	Holder string
	// Fence grows with every holder: a change under an old fence is refused.
	Fence uint64
	// Position is what the last holder left.
	Position []byte
}

// Store is the feed as a database keeps it. Its implementations are safe for
// concurrent use; what handshake.Store says of durability, blocking and errors
// holds of them.
type Store interface {
	// Append adds events in their order, in one atomic step, leaving out those whose
	// key is known, and returns the position of each, in the order of the arguments:
	// for one that was left out, that of the first with its key (as far as it is still
	// there, else ""). What [Check] refuses is refused, and nothing was added.
	Append(ctx context.Context, events ...New) ([]string, error)

	// Read returns the events after a position, the oldest first, limit at most; ""
	// is the beginning. Fewer than limit, when there are more, come where they are
	// large ([MaxPageSize]); a limit below 1 is 1, one above [MaxPage] is MaxPage. A text that is no position is [ErrPosition]. An event that Read
	// has not shown is never before one that it has: who goes on from Page.After misses
	// none.
	Read(ctx context.Context, after string, limit int) (Page, error)

	// Wait returns when there may be events after a position, or with the context's
	// error, or when the store is closed. Events of other gateways wake it too. It
	// goes on waiting while the database is away, if it was there at the beginning.
	Wait(ctx context.Context, after string) error

	// Lease takes or prolongs a lease for ttl, by the database's clock. It fails with
	// [ErrLeased] while somebody else has it. The same holder keeps its fence, also
	// when it comes late and nobody else has had the lease meanwhile; not after
	// Release. What no store gives is said at [CheckLease].
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (Lease, error)

	// Advance does what Append does and replaces the lease's position, both in one
	// atomic step, and only while the lease's fence is the latest; otherwise nothing
	// happened and the error is [ErrLeaseLost]. That the lease's time has passed does
	// not matter as long as nobody else has taken it.
	Advance(ctx context.Context, l Lease, position []byte, events ...New) error

	// Release ends a lease early. One that is no longer held is no error.
	Release(ctx context.Context, l Lease) error
}

// The errors of a [Store], to be tested with errors.Is.
var (
	ErrPosition  = errors.New("not a position of the feed")
	ErrLeased    = errors.New("somebody else has the lease")
	ErrLeaseLost = errors.New("the lease is somebody else's by now")
	ErrTooLarge  = errors.New("the event is too large for the feed")
)

// Limits of events, pages and leases.
const (
	// MaxText is the longest Source, Kind, Tracker and Bug in bytes.
	MaxText = 1024
	// MaxData is the largest Data in bytes.
	MaxData = 1 << 20
	// MaxKey is the longest key in bytes.
	MaxKey = 256
	// MaxAppend is how many events one Append or Advance takes.
	MaxAppend = 1000
	// MaxAppendSize is how many bytes all events of one Append or Advance have at
	// most, so that none holds up the others.
	MaxAppendSize = 8 << 20
	// MaxPage is how many events one Read returns at most.
	MaxPage = 1000
	// MaxPageSize is how many bytes of events one Read returns at most; the first
	// comes however large it is.
	MaxPageSize = 4 << 20
	// MaxLeasePosition is the largest position that a lease keeps, in bytes.
	MaxLeasePosition = 1 << 20
)

// Bounds of a feed.
const (
	// DefaultMaxEvents is how many events are kept.
	DefaultMaxEvents = 100_000
	// DefaultMaxAge is how long an event is kept.
	DefaultMaxAge = 7 * 24 * time.Hour
	// DefaultKeyAge is how long a key is recognised.
	DefaultKeyAge = 3 * 24 * time.Hour
	// DefaultMaxKeys is how many keys are recognised: beyond it the oldest are
	// forgotten early, so that a sender that goes wild fills no disk.
	DefaultMaxKeys = 1_000_000
)

// Bounds are what a feed keeps; a zero field means its default.
type Bounds struct {
	MaxEvents int
	MaxAge    time.Duration
	KeyAge    time.Duration
	MaxKeys   int
}
