// Package audit keeps a trail of who got in, when, and with what, that shows when
// somebody has changed it.
//
// Every run of a gateway writes one chain of entries. Each entry carries a MAC over
// itself and the MAC of the one before, so that an entry that was changed, removed
// or put elsewhere is found by [Verify].
//
// A chain begins with [GatewayStarted] and, in [TrailWitnessed], with the heads of
// all chains that the store has then; what has moved is written down again every
// hour. So chains vouch for each other: one that was cut off, or is gone, is missed
// by those of later runs and of other gateways. What a single attacker takes back
// from all chains at once is found with checkpoints ([Checkpoints]) alone, which
// are kept elsewhere.
//
// Old entries make room from the beginning of the trail on. [TrailDropped] says up
// to which entry of which chain, so that what is left can be verified, and only
// that excuses a chain that does not begin with its first entry.
//
// Texts are made harmless before they are sealed and again when they are read:
// whatever somebody managed to have recorded, an entry is one line of printable
// characters.
package audit

import (
	"errors"
	"net/netip"
	"time"
)

// Entry is one thing that happened. It never holds a token, a cookie or a password.
type Entry struct {
	// Time is when it happened, in milliseconds, UTC.
	Time time.Time
	// Subsystem is the part of the gateway in which it happened.
	Subsystem Subsystem
	// Code says, by number and within the subsystem, what happened; 0 is unknown.
	// [Subsystem.Event] gives its name.
	Code Code
	// Outcome is how it ended.
	Outcome Outcome
	// Reason says why, where the outcome is not [Done]: a word of a closed set of the
	// subsystem's.
	Reason string
	// Caller is the address that asked; invalid for what the gateway did by itself.
	Caller netip.Addr
	// Listener is where it asked: "public", "private", "admin", "control", or "" for
	// what the gateway did by itself.
	Listener string
	// Route is the route's name or pattern, never the path that was called, which may
	// hold a token.
	Route string
	// Subject is what it was about: the fingerprint of a token or of a hook's token.
	Subject string
	// Name is the tracker, hook, policy or command that was concerned.
	Name string
	// Detail is more, for people, of a few words.
	Detail string
	// Heads are ends of chains: of those that [TrailWitnessed] saw in the store, or
	// up to which [TrailDropped] made room.
	Heads Heads
}

// Subsystem is a part of the gateway. The set is closed.
type Subsystem string

// The subsystems.
const (
	SubsystemToken    Subsystem = "token"    // one-time tokens
	SubsystemHook     Subsystem = "hook"     // web hooks and their tokens
	SubsystemTracker  Subsystem = "tracker"  // sessions at remote trackers
	SubsystemThrottle Subsystem = "throttle" // the limits
	SubsystemGateway  Subsystem = "gateway"  // the process and its configuration
	SubsystemOperator Subsystem = "operator" // commands of operators
	SubsystemTrail    Subsystem = "trail"    // the trail itself
)

// Code numbers what happened within a subsystem. The numbers are stored: they never
// change their meaning.
type Code uint16

// Unknown is the code of what has no other.
const Unknown Code = 0

// Codes of [SubsystemToken].
const (
	TokenMinted   Code = 2
	TokenConsumed Code = 3 // [Intended] before, [Done] or [Refused] after
	TokenRefused  Code = 4
	TokenRevoked  Code = 5
	TokenExpired  Code = 6 // unused
)

// Codes of [SubsystemHook].
const (
	// HookAuthentication is an AuthenticationTokenMismatch; gs.auth.token calls it 1.
	HookAuthentication Code = 1
	HookTokenCreated   Code = 2
	HookTokenRevoked   Code = 3
)

// Codes of [SubsystemTracker].
const (
	TrackerLogin Code = 2 // [Done] or [Failed]
)

// Codes of [SubsystemThrottle].
const (
	ThrottleRefused Code = 2
)

// Codes of [SubsystemGateway].
const (
	GatewayStarted Code = 2 // the first entry of a chain; Detail has the configuration's digest
	GatewayStopped Code = 3
)

// Codes of [SubsystemOperator].
const (
	OperatorCommand Code = 2 // Name is the command
)

// Codes of [SubsystemTrail].
const (
	TrailSuppressed Code = 2 // entries that were counted and not listed
	TrailDropped    Code = 3 // old entries that made room
	TrailWitnessed  Code = 4 // the ends of all chains, as the store had them
)

// Outcome is how something ended.
type Outcome string

// The outcomes.
const (
	Intended Outcome = "intended"
	Done     Outcome = "done"
	Refused  Outcome = "refused"
	Failed   Outcome = "failed"
)

// Sizes of what chains them.
const (
	chainIDSize = 16
	macSize     = 32
)

// MAC is an entry's: HMAC-SHA256 with a key, SHA-256 without one.
type MAC [macSize]byte

// ChainID names a chain: the run of one gateway.
type ChainID [chainIDSize]byte

// The errors of a [Store], to be tested with errors.Is.
var (
	ErrNoChain  = errors.New("no chain has been begun")
	ErrBegun    = errors.New("a chain has been begun already")
	ErrPosition = errors.New("not a position of the trail")
)
