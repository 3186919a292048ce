package handshake

import (
	"context"
	"net/netip"
	"time"
)

// EventType says what happened to a token. The set is closed.
type EventType string

// The events.
const (
	// EventMinted: a token was minted.
	EventMinted EventType = "minted"
	// EventConsumed: a token was accepted and is used now.
	EventConsumed EventType = "consumed"
	// EventRefused: a token was not accepted, or not minted; Reason says why.
	EventRefused EventType = "refused"
	// EventRevoked: a live token was revoked.
	EventRevoked EventType = "revoked"
	// EventProbe: somebody asked about the token "check", with which newly
	// installed trackers are probed.
	EventProbe EventType = "probe"
)

// Event is one thing that happened to a token. It never holds the token.
type Event struct {
	Type EventType
	Time time.Time
	// Fingerprint names the token; zero when the text was none.
	Fingerprint Fingerprint
	// Account is what the token is counted among, for one that was minted, consumed
	// or revoked; "" where only its fingerprint was known.
	Account Account
	// Kind is the kind of the record, or the one asked for where there is none.
	Kind Kind
	// Tracker is the tracker that the token is bound to, as far as known.
	Tracker string
	// Root is the tracker whose callback root was used; "" is the common root,
	// and that of a name that no tracker has: it is the caller's text, which may
	// be anything.
	Root string
	// Caller is the address that made the callback; invalid for other events.
	Caller netip.Addr
	// Reason says why a token was refused; empty for other events.
	Reason Reason
	// Err is what failed, when something did. It is for logs.
	Err error
}

// Observer is told of every event, on the goroutine on which it happened: it
// must be quick and safe for concurrent use.
type Observer interface {
	Observe(ctx context.Context, e Event)
}

// ObserverFunc is a function that is an [Observer].
type ObserverFunc func(ctx context.Context, e Event)

// Observe calls the function.
func (f ObserverFunc) Observe(ctx context.Context, e Event) { f(ctx, e) }

var _ Observer = ObserverFunc(nil)
