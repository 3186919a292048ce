package handshake

// Reason says why a token was not accepted. The set is closed: it feeds the
// log and the labels of metrics. No caller on the public side learns it.
type Reason string

// Granted is the absence of a reason: the token was accepted.
const Granted Reason = ""

// The reasons that a store gives.
const (
	// ReasonUnknown: the store has no such token. It was never minted here, or
	// it ended so long ago that it was forgotten.
	ReasonUnknown Reason = "unknown"
	// ReasonUsed: the token was consumed before.
	ReasonUsed Reason = "used"
	// ReasonRevoked: the token was revoked before it was consumed.
	ReasonRevoked Reason = "revoked"
	// ReasonExpired: the token's lifetime is over, or the time that its text
	// claims is so long ago that it must be.
	ReasonExpired Reason = "expired"
	// ReasonWrongKind: the token is for something else.
	ReasonWrongKind Reason = "wrong_kind"
	// ReasonWrongTracker: the token is bound to another tracker than the root
	// under which it was presented, or not valid under this root.
	ReasonWrongTracker Reason = "wrong_tracker"
)

// The reasons that arise before a store is asked, or from its failure.
const (
	// ReasonMalformed: the text cannot be a token.
	ReasonMalformed Reason = "malformed"
	// ReasonFuture: the text claims to have been minted in the future.
	ReasonFuture Reason = "future"
	// ReasonUnknownRoot: no tracker has the name in the callback's path.
	ReasonUnknownRoot Reason = "unknown_root"
	// ReasonWrongAddress: the caller is in none of the tracker's networks.
	ReasonWrongAddress Reason = "wrong_address"
	// ReasonMethod: the request was not a POST.
	ReasonMethod Reason = "method_not_allowed"
	// ReasonNotAdmitted: the admission hook refused the request.
	ReasonNotAdmitted Reason = "not_admitted"
	// ReasonGone: the caller went away before the store was asked.
	ReasonGone Reason = "gone"
	// ReasonStore: the store failed; the token may be consumed or not.
	ReasonStore Reason = "store_unavailable"
)

// Reasons returns the closed set, for those who count by reason.
func Reasons() []Reason {
	return []Reason{
		ReasonUnknown, ReasonUsed, ReasonRevoked, ReasonExpired, ReasonWrongKind, ReasonWrongTracker,
		ReasonMalformed, ReasonFuture, ReasonUnknownRoot, ReasonWrongAddress, ReasonMethod, ReasonNotAdmitted, ReasonGone, ReasonStore,
	}
}
