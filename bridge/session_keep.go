package bridge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// What outlives a restart of a tracker's session: the session itself, encrypted,
// where there are keys for it, and without them too how long no log-in is made
// after refused ones. Before a log-in the store is looked into, and another
// session than the one that is over is taken in place of the log-in: from before
// a restart, or of another gateway. A store that does not answer costs the
// log-in that it would have saved.
const (
	// KeptSessionLifetime is how long a session is kept in the state store. Use
	// does not prolong it.
	KeptSessionLifetime = 7 * 24 * time.Hour
	// backoffRetention is how long after the last refusal the count of refusals is
	// kept. It is longer than trackers lock an account for (Bugzilla 30 minutes), so
	// that it outlasts the lock.
	backoffRetention = 24 * time.Hour
	// maxKeptBackoff bounds a record of refusals in bytes, and maxRefusals what it
	// may count.
	maxKeptBackoff = 8 << 10
	maxRefusals    = 1 << 20
	// backoffSwaps is how often the writing of such a record is tried when other
	// gateways write it at the same time.
	backoffSwaps = 3
)

// WithSessionKeys keeps sessions in the state store, so that they survive a
// restart and are shared by the gateways that share the store and the keys.
// Without it, or without a state store, they are not kept.
func WithSessionKeys(keys SessionKeys) Option { return func(o *options) { o.sessionKeys = keys } }

// sessionKeeper is what a session has in the state store.
type sessionKeeper struct {
	state StateStore // nil: nothing is kept
	keys  SessionKeys
	name  string
	url   string
	// binding is what an encrypted session is good for: the tracker, where it is,
	// what it speaks, and the account.
	binding []byte

	// turn holds one value while the store is called, so that what is written last
	// is what is true. It is never waited for with the session's mutex held.
	turn   chan struct{}
	known  bool   // stored is what the store holds, as far as this gateway knows
	stored []byte // nil: nothing
	id     string // of the session in it; empty: it is of no use
}

func newSessionKeeper(o *options, c *Config, dialect string) *sessionKeeper {
	k := &sessionKeeper{state: o.state, keys: o.sessionKeys, name: c.Name, url: c.URL, turn: make(chan struct{}, 1)}
	k.binding = []byte(fingerprint("session", c.Name, c.URL, dialect,
		c.Secrets.User, c.Secrets.Password, c.Secrets.APIKey, c.Secrets.Token))
	return k
}

// enter waits for the turn.
func (k *sessionKeeper) enter(ctx context.Context) error {
	select {
	case k.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the state store: %w", ctx.Err())
	}
}

func (k *sessionKeeper) leave() { <-k.turn }

func (k *sessionKeeper) keepsSessions() bool { return k.state != nil && len(k.keys.ciphers) > 0 }

func (k *sessionKeeper) sessionKey() string { return "bridge:session:" + k.name }

func (k *sessionKeeper) backoffKey() string { return "bridge:backoff:" + k.name }

// read finds out what session the store holds. The turn is held. A session that
// cannot be used is an error of this package, and what is stored known all the same.
func (k *sessionKeeper) read(ctx context.Context) (kept keptSession, rotate bool, err error) {
	k.known, k.stored, k.id = false, nil, ""
	stored, err := k.state.Get(ctx, k.sessionKey())
	if err != nil {
		return keptSession{}, false, err
	}
	k.known, k.stored = true, stored
	if stored == nil {
		return keptSession{}, false, nil
	}
	kept, rotate, err = k.keys.open(stored, k.binding)
	k.id = kept.ID
	return kept, rotate, err
}

// replace stores a session in place of what the store held when it was read last,
// or nothing when next is nil. The turn is held. That another gateway has stored
// one since is no error: that one is as good.
func (k *sessionKeeper) replace(ctx context.Context, next []byte, id string) error {
	swapped, err := k.state.CompareAndSwap(ctx, k.sessionKey(), k.stored, next, KeptSessionLifetime)
	k.known, k.stored, k.id = err == nil && swapped, next, id
	return err
}

// store stores a session, in place of whatever the store held when it was read
// last. The turn is held.
func (k *sessionKeeper) store(ctx context.Context, l *live) error {
	sealed, err := k.keys.seal(keptOf(l.id, l.session), k.binding)
	if err != nil {
		return err
	}
	if !k.known { // it did not answer before the log-in
		if _, _, err = k.read(ctx); !k.known {
			return err
		}
	}
	return k.replace(ctx, sealed, l.id)
}

// keptBackoff is what is stored of refused log-ins, in JSON. Nothing in it is
// secret.
type keptBackoff struct {
	Version  int       `json:"v"`
	URL      string    `json:"url"`
	Refusals int       `json:"refusals"`
	Until    time.Time `json:"until"`
}

// parseBackoff reads such a record. One that is not understood, and one of
// another place of the tracker, is none.
func (k *sessionKeeper) parseBackoff(stored []byte) keptBackoff {
	var b keptBackoff
	if len(stored) == 0 || len(stored) > maxKeptBackoff || json.Unmarshal(stored, &b) != nil ||
		b.Version != 1 || b.URL != k.url || b.Refusals < 1 || b.Refusals > maxRefusals {
		return keptBackoff{}
	}
	return b
}

// swapBackoff merges the session's own refusals into the record, or removes it
// when there are none. The turn is held.
func (k *sessionKeeper) swapBackoff(ctx context.Context, own keptBackoff) error {
	for range backoffSwaps {
		stored, err := k.state.Get(ctx, k.backoffKey())
		if err != nil {
			return err
		}
		var next []byte
		if own.Refusals > 0 {
			other, longest := k.parseBackoff(stored), own
			longest.Refusals = max(own.Refusals, other.Refusals)
			if other.Until.After(own.Until) {
				longest.Until = other.Until
			}
			if next, err = json.Marshal(longest); err != nil {
				return err
			}
		} else if stored == nil {
			return nil
		}
		if swapped, err := k.state.CompareAndSwap(ctx, k.backoffKey(), stored, next, backoffRetention); err != nil || swapped {
			return err
		}
	}
	return fmt.Errorf("bridge: other gateways wrote it %d times in between", backoffSwaps)
}

// recall looks into the store before a log-in. It returns a session that was kept
// there, or the error of a back-off that was; neither means that a log-in is to be
// made. rotate says that the session is to be stored again under the first key.
func (s *session) recall() (found *live, rotate bool, err error) {
	if s.keeper.state == nil {
		return nil, false, nil
	}
	kept, rotate := s.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept.ID != "" && kept.ID != s.lastID {
		s.begin(&live{session: kept.session(), id: kept.ID, kept: true})
		return s.current, rotate, nil
	}
	if now := s.options.now(); now.Before(s.until) {
		return nil, false, s.backingOff(now)
	}
	return nil, false, nil
}

// look reads the store, and the back-off in it once.
func (s *session) look() (kept keptSession, rotate bool) {
	k := s.keeper
	ctx, cancel := context.WithTimeout(s.base, s.options.recordTime())
	defer cancel()
	err := k.enter(ctx)
	if err == nil {
		defer k.leave()
		err = s.recallBackoff(ctx)
	}
	if err == nil && k.keepsSessions() {
		kept, rotate, err = k.read(ctx)
	}
	switch {
	case errors.Is(err, errUnreadable):
		s.options.logger.Info("the kept session of a tracker is not readable with the configured keys and is not used", "tracker", s.tracker)
	case errors.Is(err, errNotUnderstood):
		s.options.logger.Info("the kept session of a tracker is not understood and is not used", "tracker", s.tracker)
	case err != nil:
		s.options.logger.Warn("the state store did not say what was kept of a tracker's session", "tracker", s.tracker, "error", err)
	}
	return kept, rotate
}

// recallBackoff makes the back-off in the store that of the session, once. The
// turn is held.
func (s *session) recallBackoff(ctx context.Context) error {
	s.mu.Lock()
	recalled := s.recalled
	s.mu.Unlock()
	if recalled {
		return nil
	}
	stored, err := s.keeper.state.Get(ctx, s.keeper.backoffKey())
	if err != nil {
		return err
	}
	b := s.keeper.parseBackoff(stored)
	s.mu.Lock()
	adopted := !s.recalled && b.Refusals > 0
	s.recalled = true
	if adopted {
		// A clock that was wrong must not keep callers waiting for long.
		if latest := s.options.now().Add(LastBackoff); b.Until.After(latest) {
			b.Until = latest
		}
		s.refusals = max(s.refusals, b.Refusals)
		if b.Until.After(s.until) {
			s.until, s.refusal = b.Until, "The tracker refused the last log-ins."
		}
	}
	s.mu.Unlock()
	if adopted {
		s.options.logger.Info("log-ins to tracker were refused before", "tracker", s.tracker, "refusals", b.Refusals, "next_try", b.Until)
	}
	return nil
}

// save keeps the session of l while it is the current one.
func (s *session) save(l *live) {
	if !s.keeper.keepsSessions() || l.session.anonymous() || l.session.configured(s.secrets) {
		return
	}
	s.record("session", func(ctx context.Context) error {
		s.mu.Lock()
		current := s.current == l
		s.mu.Unlock()
		if !current {
			return nil
		}
		return s.keeper.store(ctx, l)
	})
}

// drop removes a session that the tracker refuses from the store, unless another
// has taken its place.
func (s *session) drop(id string) {
	k := s.keeper
	if !k.keepsSessions() || id == "" {
		return
	}
	s.record("end of session", func(ctx context.Context) error {
		if !k.known || k.id != id {
			return nil
		}
		return k.replace(ctx, nil, "")
	})
}

// recordBackoff makes the store's record of refused log-ins that of the session,
// whatever that is by then. Of refusals that another gateway met too the longer
// waiting stays; that there are none ends that of all.
func (s *session) recordBackoff() {
	k := s.keeper
	if k.state == nil {
		return
	}
	s.record("back-off", func(ctx context.Context) error {
		s.mu.Lock()
		own := keptBackoff{Version: 1, URL: k.url, Refusals: min(s.refusals, maxRefusals), Until: s.until.UTC()}
		s.mu.Unlock()
		return k.swapBackoff(ctx, own)
	})
}

// record writes to the store in turn and within its time; otherwise is what a log
// line says when that failed. The end of the gateway does not end it: what is not
// recorded then is lost.
func (s *session) record(what string, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.base), s.options.recordTime())
	defer cancel()
	err := s.keeper.enter(ctx)
	if err == nil {
		defer s.keeper.leave()
		err = write(ctx)
	}
	if err != nil {
		s.options.logger.Warn("the state store did not take what is kept of a tracker", "tracker", s.tracker, "what", what, "error", err)
	}
}

// beside runs f without letting anyone wait, unless the gateway is stopping. The
// mutex is held, which orders it before the end of the session.
func (s *session) beside(f func()) {
	if s.keeper.state != nil && !s.closed {
		s.running.Go(f)
	}
}

// newSessionID is the name of a session that was made just now.
func newSessionID() string { return rand.Text() }
