package hook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

const (
	// MaxGrace is the longest time for which a replaced token stays valid.
	MaxGrace = 30 * 24 * time.Hour
	// MaxHooks is how many hooks may have had a token of their own.
	MaxHooks = 4096

	// keep is how long an entry of the state table lives that should never go: a
	// century, which both stores can count to.
	keep = 100 * 365 * 24 * time.Hour
	// retryStore is what a caller is told to wait when the store has failed.
	retryStore = 2 * time.Second
	// maxSwaps is how often a change is tried that others come before.
	maxSwaps = 1000

	// Keys of the state table. The index names the hooks of which there may be an
	// entry, for a state table cannot be listed. A hook is written there first and
	// never removed, so that no token can be live and not be listed.
	tokenKey = "hook:token:"
	indexKey = "hook:tokens"
)

// Errors of [Tokens], to be tested with errors.Is.
var (
	ErrNoToken = errors.New("there is no token to revoke")
	ErrGrace   = errors.New("invalid grace time")
)

// Tokens are the tokens by which senders prove themselves to hooks. A hook may
// have one of its own; the token of the hook "" is that of all hooks that have
// none. Stored are digests only. Every request reads them, so that a change holds at
// once for all gateways of a store. They are safe for concurrent use.
type Tokens struct {
	state handshake.StateStore
	trail *audit.Trail
	now   func() time.Time
	uses  uses
}

// TokensOption changes [Tokens] that [NewTokens] makes.
type TokensOption func(*Tokens)

// WithTokensTrail sets the trail that is told of every new and every revoked
// token; without it none is.
func WithTokensTrail(trail *audit.Trail) TokensOption { return func(t *Tokens) { t.trail = trail } }

// WithTokensClock sets the clock, time.Now by default.
func WithTokensClock(now func() time.Time) TokensOption { return func(t *Tokens) { t.now = now } }

// NewTokens returns the tokens in a state table, which stays the caller's.
func NewTokens(state handshake.StateStore, opts ...TokensOption) *Tokens {
	t := &Tokens{state: state, now: time.Now}
	for _, opt := range opts {
		opt(t)
	}
	t.uses.init(state)
	return t
}

// Close waits until every use that has been noted is written. The tokens can be
// used after it; further uses are not noted.
func (t *Tokens) Close() { t.uses.close() }

// Create makes a new token for a hook, or for the hook "", and returns its text,
// which is shown to nobody else, and its name in logs. The one before stops to be
// valid at once; with a grace time it is valid for that long, as are those whose own
// grace time is not over. Creating a token without a grace time ends them all.
//
// Calls that come at the same time have an order, as if one had come after the
// other: the last one's token is the one that is valid.
//
// Errors: [ErrGrace]; a name that no hook can have; STORE_UNAVAILABLE of the
// catalogue when the store or a required trail failed. The old token may be replaced
// or not then.
func (t *Tokens) Create(ctx context.Context, hook string, grace time.Duration) (string, handshake.Fingerprint, error) {
	if hook != "" {
		if err := CheckName(hook); err != nil {
			return "", handshake.Fingerprint{}, err
		}
	}
	if grace < 0 || grace > MaxGrace {
		return "", handshake.Fingerprint{}, fmt.Errorf("%w: it must be from 0 to %v, not %v", ErrGrace, MaxGrace, grace)
	}
	text := newToken()
	digest := sha256.Sum256([]byte(text))
	note := audit.Entry{Subsystem: audit.SubsystemHook, Code: audit.HookTokenCreated, Outcome: audit.Intended, Subject: fingerprintOf(digest).String(), Name: hook}
	err := t.recorded(ctx, note, func() error {
		if err := t.register(ctx, hook); err != nil {
			return err
		}
		return t.change(ctx, hook, func(before *entry, now time.Time) (*entry, error) {
			return before.replaced(digest, grace, now)
		})
	})
	if err != nil {
		return "", handshake.Fingerprint{}, err
	}
	return text, fingerprintOf(digest), nil
}

// replaced returns the entry with a new token.
func (e *entry) replaced(digest [digestSize]byte, grace time.Duration, now time.Time) (*entry, error) {
	next := &entry{Digest: digest[:], Changed: now.UnixMilli()}
	if e == nil || grace == 0 {
		return next, nil
	}
	if e.Digest != nil {
		next.Previous = append(next.Previous, previous{Digest: e.Digest, Until: now.Add(grace).UnixMilli()})
	}
	for _, p := range e.Previous {
		if now.UnixMilli() < p.Until {
			next.Previous = append(next.Previous, p)
		}
	}
	if len(next.Previous) > MaxPrevious {
		return nil, fmt.Errorf("%w: %d earlier tokens are still in theirs; create a token without one, which ends them, or wait", ErrGrace, MaxPrevious)
	}
	return next, nil
}

// Revoke ends the tokens of a hook, those in their grace time included. A hook
// whose own token was revoked takes none, the token of the hook "" neither, until
// one is created for it: revoking never lets anybody in. It is [ErrNoToken] when
// there is nothing to end.
func (t *Tokens) Revoke(ctx context.Context, hook string) error {
	if hook != "" {
		if err := CheckName(hook); err != nil {
			return err
		}
	}
	before, _, err := t.load(ctx, hook)
	if err != nil {
		return err
	}
	if before == nil || before.Digest == nil {
		return ErrNoToken
	}
	note := audit.Entry{
		Subsystem: audit.SubsystemHook, Code: audit.HookTokenRevoked, Outcome: audit.Intended,
		Subject: fingerprintOf([digestSize]byte(before.Digest)).String(), Name: hook,
	}
	return t.recorded(ctx, note, func() error {
		return t.change(ctx, hook, func(before *entry, now time.Time) (*entry, error) {
			if before == nil || before.Digest == nil {
				return nil, ErrNoToken
			}
			return &entry{Changed: now.UnixMilli()}, nil
		})
	})
}

// recorded makes a change whose intention stands in the trail before it, and what
// came of it after it.
func (t *Tokens) recorded(ctx context.Context, note audit.Entry, change func() error) error {
	if err := t.trail.Record(ctx, note); err != nil {
		return unavailable(err)
	}
	err := change()
	note.Outcome = audit.Done
	if err != nil {
		note.Outcome, note.Reason = audit.Failed, "store"
		if errors.Is(err, ErrGrace) || errors.Is(err, ErrNoToken) {
			note.Outcome, note.Reason = audit.Refused, "invalid"
		}
	}
	t.trail.Note(ctx, note)
	return err
}

// Info is what can be told of a hook's tokens.
type Info struct {
	// Hook is the name of the hook; "" are all that have no token of their own.
	Hook string
	// Fingerprint names the token; zero when it was revoked.
	Fingerprint handshake.Fingerprint
	// Created is when the token was created; zero when it was revoked.
	Created time.Time
	// Revoked is when it was revoked; zero for a token that is valid.
	Revoked time.Time
	// LastUsed is when the token was last used, to about a minute; zero for never.
	LastUsed time.Time
	// Previous are the replaced tokens that are still valid.
	Previous []PreviousInfo
}

// PreviousInfo is what can be told of a token in its grace time.
type PreviousInfo struct {
	Fingerprint handshake.Fingerprint
	// Until is when it stops to be valid.
	Until time.Time
	// LastUsed is as in [Info].
	LastUsed time.Time
}

// List returns what can be told of all tokens, by the names of their hooks.
func (t *Tokens) List(ctx context.Context) ([]Info, error) {
	hooks, _, err := t.index(ctx)
	if err != nil {
		return nil, err
	}
	now := t.now()
	list := []Info{}
	for _, hook := range hooks {
		e, _, err := t.load(ctx, hook)
		if err != nil {
			return nil, err
		}
		if e == nil {
			continue
		}
		info, err := t.info(ctx, hook, e, now)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

func (t *Tokens) info(ctx context.Context, hook string, e *entry, now time.Time) (Info, error) {
	info := Info{Hook: hook}
	if e.Digest == nil {
		info.Revoked = time.UnixMilli(e.Changed).UTC()
		return info, nil
	}
	info.Fingerprint = fingerprintOf([digestSize]byte(e.Digest))
	info.Created = time.UnixMilli(e.Changed).UTC()
	var err error
	if info.LastUsed, err = t.uses.last(ctx, info.Fingerprint); err != nil {
		return Info{}, err
	}
	for _, p := range e.Previous {
		if now.UnixMilli() >= p.Until {
			continue
		}
		earlier := PreviousInfo{Fingerprint: fingerprintOf([digestSize]byte(p.Digest)), Until: time.UnixMilli(p.Until).UTC()}
		if earlier.LastUsed, err = t.uses.last(ctx, earlier.Fingerprint); err != nil {
			return Info{}, err
		}
		info.Previous = append(info.Previous, earlier)
	}
	return info, nil
}

// slotsOf returns what a hook's requests are compared with now. Its own entry and
// that of the hook "" are always both read, at the same time, so that an answer
// takes as long whichever holds.
func (t *Tokens) slotsOf(ctx context.Context, hook string) (slots, error) {
	var own, common *entry
	var ownErr, commonErr error
	var both sync.WaitGroup
	both.Go(func() { common, _, commonErr = t.load(ctx, "") })
	own, _, ownErr = t.load(ctx, hook)
	both.Wait()
	if err := errors.Join(ownErr, commonErr); err != nil {
		return slots{}, err
	}
	now := t.now()
	ownSlots, commonSlots := own.slots(now), common.slots(now)
	if own != nil {
		return ownSlots, nil
	}
	return commonSlots, nil
}

// load returns the entry of a hook, nil when there is none, and its bytes.
func (t *Tokens) load(ctx context.Context, hook string) (*entry, []byte, error) {
	stored, err := t.state.Get(ctx, tokenKey+hook)
	if err != nil || stored == nil {
		return nil, nil, unavailable(err)
	}
	var e entry
	if err := json.Unmarshal(stored, &e); err != nil || !e.valid() {
		return nil, nil, unavailable(fmt.Errorf("the entry of the tokens of the hook %q cannot be read", hook))
	}
	return &e, stored, nil
}

// change replaces the entry of a hook by what next makes of it.
func (t *Tokens) change(ctx context.Context, hook string, next func(before *entry, now time.Time) (*entry, error)) error {
	return t.swap(ctx, tokenKey+hook, func() ([]byte, []byte, error) {
		before, stored, err := t.load(ctx, hook)
		if err != nil {
			return nil, nil, err
		}
		after, err := next(before, t.now())
		if err != nil {
			return nil, nil, err
		}
		encoded, err := json.Marshal(after)
		return stored, encoded, err
	})
}

// index returns the hooks of which there may be an entry, sorted, and the bytes
// that say so.
func (t *Tokens) index(ctx context.Context) ([]string, []byte, error) {
	stored, err := t.state.Get(ctx, indexKey)
	if err != nil || stored == nil {
		return nil, nil, unavailable(err)
	}
	var hooks []string
	if err := json.Unmarshal(stored, &hooks); err != nil {
		return nil, nil, unavailable(errors.New("the index of the hooks' tokens cannot be read"))
	}
	return hooks, stored, nil
}

// register adds a hook to the index.
func (t *Tokens) register(ctx context.Context, hook string) error {
	return t.swap(ctx, indexKey, func() ([]byte, []byte, error) {
		hooks, stored, err := t.index(ctx)
		if err != nil {
			return nil, nil, err
		}
		at, known := slices.BinarySearch(hooks, hook)
		if known {
			return stored, stored, nil
		}
		if len(hooks) >= MaxHooks {
			return nil, nil, fmt.Errorf("%d hooks have tokens already, which is the most there can be", MaxHooks)
		}
		encoded, err := json.Marshal(slices.Insert(hooks, at, hook))
		return stored, encoded, err
	})
}

// swap replaces a value by what next makes of it, as often as others come before.
// A value that stays as it is is not written.
func (t *Tokens) swap(ctx context.Context, key string, next func() (before, after []byte, err error)) error {
	for range maxSwaps {
		before, after, err := next()
		if err != nil {
			return err
		}
		if before != nil && bytes.Equal(before, after) {
			return nil
		}
		swapped, err := t.state.CompareAndSwap(ctx, key, before, after, keep)
		if err != nil {
			return unavailable(err)
		}
		if swapped {
			return nil
		}
	}
	return unavailable(errors.New("others changed the tokens all the time"))
}

// unavailable is the catalogue's error for a failure of the store; nil for nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return apierror.New(apierror.StoreUnavailable).WithCause(err).WithRetryAfter(retryStore)
}
