package handshake

import (
	"context"
	"errors"
	"strings"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake/audit"
)

// Where callbacks arrive, for entries of the trail, unless the context says it.
const (
	callbackListener = "public"
	callbackRoute    = "handshake"
)

// WithTrail has everything that happens to tokens recorded. Without it, or with
// nil, nothing is.
//
// When the trail is required, a token is minted, accepted or revoked only when the
// trail has taken that: mintings and consumptions in the same step of the store,
// whose trail it must be. Otherwise they are noted when they have been made.
// Refusals are always noted afterwards; nobody waits for that.
func WithTrail(trail *audit.Trail) Option { return func(a *Authority) { a.trail = trail } }

// entry is what the trail gets of an event.
func (a *Authority) entry(ctx context.Context, code audit.Code, outcome audit.Outcome, event Event) audit.Entry {
	e := audit.Entry{
		Time: event.Time, Subsystem: audit.SubsystemToken, Code: code, Outcome: outcome, Reason: string(event.Reason),
		Caller: event.Caller, Name: event.Tracker,
	}
	if !event.Fingerprint.IsZero() {
		e.Subject = event.Fingerprint.String()
	}
	if e.Name == "" {
		e.Name = event.Root
	}
	return a.trail.Fill(ctx, e)
}

// callbackEntry is entry for what happened to a callback.
func (a *Authority) callbackEntry(ctx context.Context, code audit.Code, outcome audit.Outcome, event Event) audit.Entry {
	e := a.entry(ctx, code, outcome, event)
	if e.Listener == "" {
		e.Listener = callbackListener
	}
	if e.Route == "" {
		e.Route = callbackRoute
	}
	return e
}

// throttledEntry is callbackEntry for a callback that was not admitted: a refusal of
// the throttle, with the token for which it was meant.
func (a *Authority) throttledEntry(ctx context.Context, event Event) audit.Entry {
	e := a.callbackEntry(ctx, audit.ThrottleRefused, audit.Refused, event)
	e.Subsystem, e.Name, e.Detail = audit.SubsystemThrottle, callbackRoute, event.Root
	if known := new(apierror.Error); errors.As(event.Err, &known) {
		e.Reason = strings.ToLower(string(known.Name()))
	}
	return e
}

// mint mints a token, with its note where that is required.
func (a *Authority) mint(ctx context.Context, r Record, event Event) error {
	if a.trail.Required() {
		return a.store.Mint(ctx, r, a.entry(ctx, audit.TokenMinted, audit.Done, event))
	}
	err := a.store.Mint(ctx, r)
	if err == nil {
		a.note(ctx, audit.TokenMinted, audit.Done, event)
	}
	return err
}

// consume makes a claim, with its note where that is required.
func (a *Authority) consume(ctx context.Context, c Claim, event *Event) (Record, Reason, error) {
	if a.trail.Required() {
		note := a.callbackEntry(ctx, audit.TokenConsumed, audit.Intended, *event)
		c.Note = &note
	}
	return a.store.Consume(ctx, c)
}

// look says what would come of a claim, without making it.
func (a *Authority) look(ctx context.Context, c Claim, _ *Event) (Record, Reason, error) {
	record, ok, err := a.store.Lookup(ctx, c.ID)
	switch {
	case err != nil:
		return Record{}, ReasonStore, err
	case !ok:
		return Record{}, ReasonUnknown, nil
	default:
		return record, record.Judge(c), nil
	}
}

// looksFirst tells whether a claim is made only after a look at the token. Where it
// is refused, the look saves what the trail would be told of an intention: that is
// expected of a caller who has been refused often, and under the common root of a
// token that is bound, as its text says, since the store must be asked first to whom.
func (a *Authority) looksFirst(c Callback) bool {
	return a.trail.Required() && (c.Root == "" && hintsTracker(c.Token) || a.trail.Crowded(c.Caller))
}

// noteCallback notes what came of a callback, as far as the store has not done so.
// That the store failed is a refusal to him who calls: strangers can bring it
// about, and the trail counts refusals.
func (a *Authority) noteCallback(ctx context.Context, event Event) {
	switch {
	case a.trail == nil:
	case event.Type == EventRefused && event.Reason == ReasonNotAdmitted:
		a.trail.Note(ctx, a.throttledEntry(ctx, event))
	case event.Type == EventRefused:
		a.trail.Note(ctx, a.callbackEntry(ctx, audit.TokenRefused, audit.Refused, event))
	case event.Type == EventConsumed && !a.trail.Required():
		a.trail.Note(ctx, a.callbackEntry(ctx, audit.TokenConsumed, audit.Done, event))
	}
}

func (a *Authority) note(ctx context.Context, code audit.Code, outcome audit.Outcome, event Event) {
	if a.trail != nil {
		a.trail.Note(ctx, a.entry(ctx, code, outcome, event))
	}
}

// noteRevocation notes what came of an intention to revoke.
func (a *Authority) noteRevocation(ctx context.Context, event Event) {
	outcome := audit.Refused
	switch event.Reason {
	case Granted:
		outcome = audit.Done
	case ReasonStore:
		outcome = audit.Failed
	}
	a.note(ctx, audit.TokenRevoked, outcome, event)
}
