package handshake

import "time"

// Status is how far a token's life has come, as a store keeps it. That a live
// token has expired is not stored: it follows from the time.
type Status uint8

// The statuses, in the order of a life. The numbers are stored.
const (
	Live    Status = 0
	Used    Status = 1
	Revoked Status = 2
)

// String returns "live", "used" or "revoked".
func (s Status) String() string {
	switch s {
	case Live:
		return "live"
	case Used:
		return "used"
	case Revoked:
		return "revoked"
	default:
		return "invalid"
	}
}

// Record is what is known of a token. Times have millisecond precision.
type Record struct {
	// ID identifies the token.
	ID ID
	// Kind says what the token is for.
	Kind Kind
	// Tracker is the tracker that the token was minted for; "" is nobody.
	Tracker string
	// Expires is when a live token ends: a whole number of seconds after it was
	// minted, and MaxLifetime at most.
	Expires time.Time
	// Status is how far the token's life has come.
	Status Status
	// Ended is when the token was used or revoked; zero while it is live.
	Ended time.Time
}

// Minted returns when the token was minted.
func (r Record) Minted() time.Time { return r.ID.Time() }

// State returns what an operator calls the token at a time: "live", "used",
// "revoked", or "expired" for one that ended unused.
func (r Record) State(now time.Time) string {
	if r.Status == Live && !now.Before(r.Expires) {
		return string(ReasonExpired)
	}
	return r.Status.String()
}

// Judge returns why a claim on the token of this record is refused, and
// [Granted] when it is not. It is the one definition of what a store's Consume
// decides; the order of the reasons is part of it.
func (r Record) Judge(c Claim) Reason {
	switch {
	case r.Status == Used:
		return ReasonUsed
	case r.Status == Revoked:
		return ReasonRevoked
	case !c.At.Before(r.Expires):
		return ReasonExpired
	case r.Kind != c.Kind:
		return ReasonWrongKind
	case r.Tracker != c.Tracker:
		return ReasonWrongTracker
	default:
		return Granted
	}
}

// JudgeRevocation returns why there is nothing to revoke at a time, and
// [Granted] when there is. Like [Record.Judge] it is a definition for stores.
func (r Record) JudgeRevocation(at time.Time) Reason {
	return r.Judge(Claim{Kind: r.Kind, Tracker: r.Tracker, At: at})
}
