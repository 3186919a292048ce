package handshake

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake/audit"
)

// Lifetimes of tokens.
const (
	// DefaultLifetime is how long a token lives unless configured otherwise.
	DefaultLifetime = 10 * time.Minute
	// MaxLifetime is the longest lifetime that can be configured. A text that
	// claims to be older is refused without asking the store, so it must never
	// shrink below what a running gateway may have minted.
	MaxLifetime = 24 * time.Hour
	// MinLifetime is the shortest lifetime that can be configured.
	MinLifetime = time.Second
	// MaxSkew is how far the clock of the gateway that minted a token may be
	// ahead of that of the one that is called back.
	MaxSkew = time.Minute
)

// retryStore is what a caller is told to wait when the store has failed.
const retryStore = 2 * time.Second

// Authority mints tokens, decides which are accepted, and revokes them. It is
// safe for concurrent use and must be made by [New].
type Authority struct {
	store     Store
	lifetime  time.Duration
	now       func() time.Time
	observers []Observer
	trackers  Trackers
	accounts  func(context.Context) Account
	trail     *audit.Trail
}

// Option changes an [Authority] that [New] makes.
type Option func(*Authority)

// WithLifetime sets how long tokens live: MinLifetime to MaxLifetime, in whole
// seconds.
func WithLifetime(d time.Duration) Option { return func(a *Authority) { a.lifetime = d } }

// WithClock sets the clock, time.Now by default.
func WithClock(now func() time.Time) Option { return func(a *Authority) { a.now = now } }

// WithObserver adds an observer. Observers are told in the order of addition.
func WithObserver(o Observer) Option {
	return func(a *Authority) { a.observers = append(a.observers, o) }
}

// WithTrackers sets how trackers are found; without it there are none.
func WithTrackers(find Trackers) Option { return func(a *Authority) { a.trackers = find } }

// WithAccounts sets who says what a new token is counted among. It is asked once for
// each, with the context of the minting, and must be quick and safe for concurrent
// use. The text carries its answer, and random characters where that is "" or no
// account. Events tell which account a text carries ([Event.Account]).
func WithAccounts(of func(context.Context) Account) Option {
	return func(a *Authority) { a.accounts = of }
}

func noAccount(context.Context) Account { return "" }

// New returns an authority over the tokens of a store, which stays the
// caller's to close.
func New(store Store, opts ...Option) (*Authority, error) {
	a := &Authority{store: store, lifetime: DefaultLifetime, now: time.Now, trackers: noTrackers, accounts: noAccount}
	for _, opt := range opts {
		opt(a)
	}
	if a.lifetime < MinLifetime || a.lifetime > MaxLifetime {
		return nil, fmt.Errorf("the lifetime of a token must be from %v to %v, not %v", MinLifetime, MaxLifetime, a.lifetime)
	}
	if a.lifetime%time.Second != 0 {
		return nil, fmt.Errorf("the lifetime of a token must be in whole seconds, not %v", a.lifetime)
	}
	return a, nil
}

// Lifetime returns how long a token lives.
func (a *Authority) Lifetime() time.Duration { return a.lifetime }

// Mint returns the text of a new token, which is shown to nobody else, and the
// name under which logs know it. A tracker of "" binds the token to nobody.
//
// Errors are the catalogue's: RESOURCE_NOT_FOUND for a tracker that is not
// configured, STORE_UNAVAILABLE when the store failed.
func (a *Authority) Mint(ctx context.Context, kind Kind, tracker string) (string, Fingerprint, error) {
	now := a.now()
	if tracker != "" {
		if _, ok := a.trackers(tracker); !ok {
			err := apierror.New(apierror.ResourceNotFound).WithDetail("No tracker has this name.")
			return "", Fingerprint{}, err
		}
	}
	text, id := newToken(now, a.accounts(ctx), tracker != "")
	record := Record{ID: id, Kind: kind, Tracker: tracker, Expires: id.Time().Add(a.lifetime)}
	event := Event{Type: EventMinted, Time: now, Fingerprint: id.Fingerprint(), Kind: kind, Tracker: tracker}
	if err := a.mint(ctx, record, event); err != nil {
		event.Type, event.Reason, event.Err = EventRefused, whyFailed(ctx, err), err
		a.note(ctx, audit.TokenMinted, audit.Failed, event)
		a.observe(ctx, event)
		return "", Fingerprint{}, unavailable(err)
	}
	event.Account = accountOf(text)
	a.observe(ctx, event)
	return text, event.Fingerprint, nil
}

// Callback is one presentation of a token under a callback root.
type Callback struct {
	// Token is the text that was presented.
	Token string
	// Kind is the kind of token that is accepted.
	Kind Kind
	// Root is the tracker whose root was used; "" is the common root.
	Root string
	// Caller is the address that presents it.
	Caller netip.Addr
}

// Accept consumes a presented token, or says why not. An error means that the
// store failed (STORE_UNAVAILABLE): the token may be consumed or not.
func (a *Authority) Accept(ctx context.Context, c Callback) (Reason, error) {
	now := a.now()
	event := Event{Type: EventRefused, Time: now, Kind: c.Kind, Root: a.known(c.Root), Caller: c.Caller}
	reason, err := a.accept(ctx, c, now, &event)
	event.Reason = reason
	switch {
	case err != nil:
		event.Reason, event.Err = whyFailed(ctx, err), err
	case reason == Granted:
		event.Type, event.Account = EventConsumed, accountOf(c.Token)
	}
	a.noteCallback(ctx, event)
	a.observe(ctx, event)
	if err != nil {
		return ReasonStore, unavailable(err)
	}
	return reason, nil
}

// whyFailed says that the store failed, or that the caller was gone before it was
// asked, which says nothing about the store.
func whyFailed(ctx context.Context, err error) Reason {
	if errors.Is(ctx.Err(), context.Canceled) && errors.Is(err, context.Canceled) {
		return ReasonGone
	}
	return ReasonStore
}

// accept decides about a presentation and fills in what the event can say.
//
// Most tokens are bound as their root expects, so that one step of the store
// decides. Others take two: the store says whose the token is, and when that
// one's rules let it pass, the second step expects it. Between the steps nothing
// can change but the token's end, for kind and tracker of a record never change.
// The first step may be a look instead of a claim.
func (a *Authority) accept(ctx context.Context, c Callback, now time.Time, event *Event) (Reason, error) {
	id, ok := ParseToken(c.Token)
	if !ok {
		return ReasonMalformed, nil
	}
	event.Fingerprint = id.Fingerprint()
	if c.Root != "" {
		tracker, ok := a.trackers(c.Root)
		if !ok {
			return ReasonUnknownRoot, nil
		}
		if !tracker.admits(c.Caller) {
			return ReasonWrongAddress, nil
		}
	}
	if reason := plausible(id, now); reason != Granted {
		return reason, nil
	}
	claim := Claim{ID: id, Kind: c.Kind, Tracker: c.Root, At: now}
	looks, first := a.looksFirst(c), a.consume
	if looks {
		first = a.look
	}
	record, reason, err := first(ctx, claim, event)
	if err != nil {
		return reason, err
	}
	if reason != ReasonUnknown {
		event.Kind, event.Tracker = record.Kind, record.Tracker
	}
	switch reason {
	case ReasonWrongTracker:
		if reason := a.elsewhere(record.Tracker, c); reason != Granted {
			return reason, nil
		}
		claim.Tracker = record.Tracker
	case Granted:
		if !looks {
			return Granted, nil
		}
	default:
		return reason, nil
	}
	_, reason, err = a.consume(ctx, claim, event)
	return reason, err
}

// elsewhere tells whether a token may be presented under a root that is not its
// holder's own. Nobody's token may, under every root: its holder is not known,
// and the tracker to which it was handed calls back under the root that it was
// configured with.
func (a *Authority) elsewhere(holder string, c Callback) Reason {
	if holder == "" {
		return Granted
	}
	tracker, ok := a.trackers(holder)
	switch {
	case !ok, c.Root != "", tracker.OwnRoot:
		return ReasonWrongTracker
	case !tracker.admits(c.Caller):
		return ReasonWrongAddress
	}
	return Granted
}

// plausible refuses what cannot be live by the time that its text claims, so
// that made-up and long-dead tokens cost the store nothing.
func plausible(id ID, now time.Time) Reason {
	switch age := now.UnixMilli() - id.Millis; {
	case age >= MaxLifetime.Milliseconds():
		return ReasonExpired
	case age < -MaxSkew.Milliseconds():
		return ReasonFuture
	default:
		return Granted
	}
}

// Revoke ends a live token, so that it will not be accepted any more. The
// reason is Granted when this call ended it; otherwise it says why there was
// nothing to end, ReasonMalformed and ReasonUnknown included. The record is the
// token's after the call.
func (a *Authority) Revoke(ctx context.Context, token string) (Record, Reason, error) {
	id, ok := ParseToken(token)
	if !ok {
		return Record{}, ReasonMalformed, nil
	}
	return a.revoke(ctx, id, accountOf(token))
}

// RevokeFingerprint is [Authority.Revoke] for the token that a fingerprint
// names. It reads through the store: it is for operators. No store has a token's
// text, so that the event names no account: where live tokens are counted by it, this
// one counts until it would have expired.
func (a *Authority) RevokeFingerprint(ctx context.Context, f Fingerprint) (Record, Reason, error) {
	record, ok, err := a.Find(ctx, f)
	if err != nil {
		return Record{}, ReasonStore, err
	}
	if !ok {
		return Record{}, ReasonUnknown, nil
	}
	return a.revoke(ctx, record.ID, "")
}

func (a *Authority) revoke(ctx context.Context, id ID, account Account) (Record, Reason, error) {
	now := a.now()
	event := Event{Type: EventRevoked, Time: now, Fingerprint: id.Fingerprint(), Account: account}
	if err := a.trail.Record(ctx, a.entry(ctx, audit.TokenRevoked, audit.Intended, event)); err != nil {
		return Record{}, ReasonStore, err
	}
	record, reason, err := a.store.Revoke(ctx, id, now)
	event.Kind, event.Tracker, event.Reason = record.Kind, record.Tracker, reason
	if err != nil {
		event.Reason = ReasonStore
	}
	a.noteRevocation(ctx, event)
	switch {
	case err != nil:
		return Record{}, ReasonStore, unavailable(err)
	case reason == Granted:
		a.observe(ctx, event)
	}
	return record, reason, nil
}

// Lookup returns the record of a token without changing it, and false when the
// text is no token or the store does not have it.
func (a *Authority) Lookup(ctx context.Context, token string) (Record, bool, error) {
	id, ok := ParseToken(token)
	if !ok {
		return Record{}, false, nil
	}
	record, ok, err := a.store.Lookup(ctx, id)
	if err != nil {
		return Record{}, false, unavailable(err)
	}
	return record, ok, nil
}

// Find returns the record of the token that a fingerprint names. It reads
// through the store: it is for operators. Should two tokens ever share a
// fingerprint, that is an error, so that nobody revokes the wrong one.
func (a *Authority) Find(ctx context.Context, f Fingerprint) (Record, bool, error) {
	records, err := a.store.Find(ctx, f)
	switch {
	case err != nil:
		return Record{}, false, unavailable(err)
	case len(records) == 0:
		return Record{}, false, nil
	case len(records) > 1:
		return Record{}, false, fmt.Errorf("%d tokens have the fingerprint %v; name the token by its text", len(records), f)
	default:
		return records[0], true, nil
	}
}

// known is the name of a tracker, if there is one of that name.
func (a *Authority) known(name string) string {
	if _, ok := a.trackers(name); ok {
		return name
	}
	return ""
}

func (a *Authority) observe(ctx context.Context, e Event) {
	for _, o := range a.observers {
		o.Observe(ctx, e)
	}
}

// unavailable is the catalogue's error for a failure of the store.
func unavailable(err error) error {
	return apierror.New(apierror.StoreUnavailable).WithCause(err).WithRetryAfter(retryStore)
}
