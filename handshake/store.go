package handshake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/feed"
)

// Claim is one presentation of a token: which, as what, and when.
type Claim struct {
	ID   ID
	Kind Kind
	// Tracker is the tracker that the token must be bound to; "" is nobody.
	Tracker string
	// At is the time of the presentation by the gateway's clock.
	At time.Time
	// Note, when it is set, goes into the trail: as [audit.Intended] before a claim
	// is granted, and with what came of it after that. A claim that is refused
	// without a change may leave no note.
	Note *audit.Entry
}

// Store keeps tokens. Its implementations are safe for concurrent use, by any
// number of goroutines and, where the database allows it, of processes.
//
// Durability: a change is reported as made only when it would survive the
// sudden death of the process, and of the machine as far as the database is
// configured to promise that. A refusal may be given earlier, from a change of
// somebody else that is still under way.
//
// Blocking: a call blocks until its outcome is known, for as long as the
// implementation's documented time limit at most. A context that ends before
// the store has begun to act ends the call with the context's error, and
// nothing was done. After that the context is looked at no more: the call
// returns the outcome.
//
// Errors: [ErrClosed] after Close; [ErrBusy] when the store refused the call,
// having done nothing, because too many wait; [ErrOutcomeUnknown] when a change
// may have been made or not. Any other error of a change means that it was not
// made. All of them leave the store usable: it recovers when its disk or its
// server does.
type Store interface {
	// Mint adds a live token. An ID that exists is [ErrExists], and the
	// existing record is left as it is; only when that record is the very one
	// and live may the call succeed, so that a store can repeat itself. What a
	// [Record] says of its times must hold of r.
	//
	// The notes go into the trail; only when they are there is the token minted
	// as far as the caller can tell. A token that could not be minted may leave
	// its notes behind. Before a chain was begun, a call with notes fails with
	// [audit.ErrNoChain] and does nothing; so does a claim with one.
	Mint(ctx context.Context, r Record, notes ...audit.Entry) error

	// Consume takes a token from live to used in one atomic step, or says why
	// not: exactly the reasons that [Record.Judge] gives, and ReasonUnknown
	// for a token that the store does not have. Of any number of calls for
	// one token, one at most returns Granted, ever, also over crashes and
	// lost answers: a call that fails with ErrOutcomeUnknown may have consumed
	// the token, and then no other call gets Granted. A refused claim changes
	// nothing.
	//
	// The record is the token's after the call; it is zero for
	// ReasonUnknown. A used token is known as used for the store's retention
	// at least, and an expired one may be unknown from its expiry on.
	//
	// A claim with a note is granted only when its intention stands in the trail,
	// where it stood before the token was touched. The note of what came of it
	// ([audit.Done], [audit.Refused] with the reason, [audit.Failed]) follows without
	// being waited for, before Close has returned: in the same change where the
	// database allows that. The note is not changed.
	//
	// The time of an answer does not tell an unknown token from a used one.
	Consume(ctx context.Context, c Claim) (Record, Reason, error)

	// Revoke takes a live token to revoked in one atomic step, so that nobody
	// can consume it any more, or says why not: ReasonUnknown, ReasonUsed,
	// ReasonRevoked or ReasonExpired, and then nothing changed. The record is
	// the token's after the call.
	Revoke(ctx context.Context, id ID, at time.Time) (Record, Reason, error)

	// Lookup returns the record of a token; false means that the store does
	// not have it.
	Lookup(ctx context.Context, id ID) (Record, bool, error)

	// Find returns the records with a fingerprint: normally none or one. It
	// may read the whole store; it is for operators.
	Find(ctx context.Context, f Fingerprint) ([]Record, error)

	// State returns a small table beside the tokens, as durable as they are.
	State() StateStore

	// Feed returns the feed of events beside the tokens, as durable as they are.
	Feed() feed.Store

	// Trail returns the audit trail beside the tokens, as durable as they are. A
	// store that sees tokens expire tells it of those that nobody used, once each.
	Trail() audit.Store

	// Ping tells whether the store could answer now, without changing it.
	Ping(ctx context.Context) error

	// Close finishes what has begun and frees the database. Calls that come
	// later fail with ErrClosed; a second Close does nothing.
	Close() error
}

// StateStore is a small table of values by key, for what gateways must agree
// on beside tokens. The clauses on durability, blocking and errors of [Store]
// hold. Keys are at most [MaxStateKey] bytes and not empty, values at most
// [MaxStateValue] bytes; a call with others fails with [ErrState].
type StateStore interface {
	// Get returns the value of a key, nil when there is none or it has expired.
	Get(ctx context.Context, key string) ([]byte, error)

	// CompareAndSwap replaces prev by next in one atomic step, and returns
	// false, having changed nothing, when the value is not prev. A nil prev
	// means that there must be no value, a nil next removes the value; an
	// empty slice that is not nil is a value. ttl is how long the new value
	// lives and must be positive when next is not nil.
	CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error)
}

// Limits of the state table.
const (
	// MaxStateKey is the longest key in bytes.
	MaxStateKey = 512
	// MaxStateValue is the longest value in bytes.
	MaxStateValue = 1 << 20
)

// The errors of a [Store], to be tested with errors.Is.
var (
	ErrClosed         = errors.New("the token store is closed")
	ErrBusy           = errors.New("the token store has too many requests waiting")
	ErrExists         = errors.New("the token store has a token with this ID already")
	ErrOutcomeUnknown = errors.New("the token store did not say whether the change was made")
	ErrState          = errors.New("invalid state entry")
)

// CheckState returns an error that wraps [ErrState] for arguments that no
// [StateStore] accepts. Implementations call it first.
func CheckState(key string, next []byte, ttl time.Duration) error {
	switch {
	case key == "":
		return stateError("the key is empty")
	case len(key) > MaxStateKey:
		return stateError("the key is longer than 512 bytes")
	case len(next) > MaxStateValue:
		return stateError("the value is longer than 1 MiB")
	case next != nil && ttl < time.Millisecond:
		return stateError("the time to live is below a millisecond")
	default:
		return nil
	}
}

func stateError(what string) error { return fmt.Errorf("%w: %s", ErrState, what) }
