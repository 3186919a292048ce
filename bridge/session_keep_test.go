package bridge

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// shelf is a StateStore in memory that remembers what it was asked and all that
// was ever stored.
type shelf struct {
	mu      sync.Mutex
	values  map[string][]byte
	ttl     map[string]time.Duration
	gets    map[string]int
	written [][]byte
	// on is called at the beginning of every call, outside the lock.
	on func(ctx context.Context, operation string) error
}

var _ StateStore = (*shelf)(nil)

func newShelf() *shelf {
	return &shelf{values: map[string][]byte{}, ttl: map[string]time.Duration{}, gets: map[string]int{}}
}

func (s *shelf) Get(ctx context.Context, key string) ([]byte, error) {
	if s.on != nil {
		if err := s.on(ctx, "get"); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets[key]++
	return s.values[key], ctx.Err()
}

func (s *shelf) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	if s.on != nil {
		if err := s.on(ctx, "swap"); err != nil {
			return false, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.values[key]; !bytes.Equal(old, prev) || (old == nil) != (prev == nil) {
		return false, ctx.Err()
	}
	if s.ttl[key] = ttl; next == nil {
		delete(s.values, key)
		return true, ctx.Err()
	}
	s.values[key] = next
	s.written = append(s.written, next)
	return true, ctx.Err()
}

// at returns what the store holds of the tracker t, once all that was begun is done.
func (s *shelf) at(key string) []byte {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

const (
	keptSessionAt = "bridge:session:t"
	keptBackoffAt = "bridge:backoff:t"
)

// keyText is a key as an operator writes it.
func keyText(n byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{n}, 32)) }

func testKeys(t testing.TB, n ...byte) SessionKeys {
	t.Helper()
	var text strings.Builder
	for _, n := range n {
		fmt.Fprintln(&text, keyText(n))
	}
	keys, err := ParseSessionKeys(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// numbered makes a session that tells how many log-ins there were, and counts.
func numbered(logins *atomic.Int32) func(context.Context, *Credentials) (*Session, error) {
	return func(context.Context, *Credentials) (*Session, error) {
		return &Session{Cookies: []*http.Cookie{{Name: "sid", Value: fmt.Sprint("secret-cookie-", logins.Add(1))}}}, nil
	}
}

// started is a gateway's session with the tracker t, as after a start.
func started(t *testing.T, state StateStore, keys SessionKeys, login func(context.Context, *Credentials) (*Session, error), opts ...Option) *session {
	t.Helper()
	return startedFor(t, Config{Name: "t", URL: "https://t.example", Dialect: "bare"}, state, keys, login, opts...)
}

func startedFor(t *testing.T, c Config, state StateStore, keys SessionKeys, login func(context.Context, *Credentials) (*Session, error), opts ...Option) *session {
	t.Helper()
	o := options{state: state, logger: slog.New(slog.DiscardHandler), observer: unobserved{}, now: time.Now, timeLimit: DefaultTimeLimit}
	for _, opt := range append(opts, WithSessionKeys(keys)) {
		opt(&o)
	}
	base, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s := newSession(base, &running, &o, &c, login)
	t.Cleanup(func() { stop(); s.close(); running.Wait() })
	return s
}

// mustAcquire acquires a session and waits until what is kept of it is kept.
func mustAcquire(t *testing.T, s *session, stale uint64) *live {
	t.Helper()
	l, err := s.acquire(t.Context(), stale)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return l
}

func sid(l *live) string { return l.session.Cookies[0].Value }

func TestASessionSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &Session{
			Cookies: []*http.Cookie{{Name: "a", Value: "secret-1"}, {Name: "b", Value: "secret 2", Quoted: true}},
			Header:  map[string]string{"Authorization": "Bearer secret-3\xff"},
			Members: map[string]string{"token": "secret-4"},
		}
		state, keys := newShelf(), testKeys(t, 1)
		first := started(t, state, keys, func(context.Context, *Credentials) (*Session, error) { return made, nil })
		mustAcquire(t, first, 0)
		second := started(t, state, keys, func(context.Context, *Credentials) (*Session, error) {
			t.Error("it logged in")
			return made, nil
		})
		l := mustAcquire(t, second, 0)
		if !reflect.DeepEqual(l.session, made) {
			t.Errorf("got %+v", *l.session)
		}
		if state, _ := second.state(); state != SessionLive {
			t.Errorf("session %s", state)
		}
		if state.ttl[keptSessionAt] != KeptSessionLifetime {
			t.Errorf("it is kept for %v", state.ttl[keptSessionAt])
		}
		for _, stored := range state.written {
			for n := 1; n <= 4; n++ {
				if bytes.Contains(stored, []byte("secret")) || bytes.Contains(stored, []byte(base64.StdEncoding.EncodeToString([]byte(fmt.Sprint("secret-", n))))) {
					t.Errorf("secrets stand in the store: %q", stored)
				}
			}
		}
	})
}

func TestWithoutKeysNoSessionIsReadOrWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		mustAcquire(t, started(t, state, testKeys(t, 1), numbered(&logins)), 0)
		kept := state.at(keptSessionAt)
		gets := state.gets[keptSessionAt]
		s := started(t, state, SessionKeys{}, numbered(&logins))
		_ = s.rejected(mustAcquire(t, s, 0))
		if !bytes.Equal(state.at(keptSessionAt), kept) || state.gets[keptSessionAt] != gets || logins.Load() != 2 {
			t.Errorf("%d reads, %d log-ins", state.gets[keptSessionAt]-gets, logins.Load())
		}
	})
}

func TestTheSessionOfAnAnonymousVisitorIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		s := started(t, state, testKeys(t, 1), func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil })
		mustAcquire(t, s, 0)
		if len(state.written) != 0 {
			t.Errorf("stored: %q", state.written)
		}
	})
}

func TestAKeptSessionThatTheTrackerRefusesIsReplacedByANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state, keys := newShelf(), testKeys(t, 1)
		mustAcquire(t, started(t, state, keys, numbered(&logins)), 0)
		s := started(t, state, keys, numbered(&logins))
		kept := mustAcquire(t, s, 0)
		renewed := mustAcquire(t, s, kept.generation) // as when a call with it found it expired
		if sid(kept) != "secret-cookie-1" || sid(renewed) != "secret-cookie-2" || renewed.generation <= kept.generation {
			t.Errorf("kept %s, then %s", sid(kept), sid(renewed))
		}
		if after := mustAcquire(t, started(t, state, keys, numbered(&logins)), 0); sid(after) != "secret-cookie-2" {
			t.Errorf("after another restart %s", sid(after))
		}
		if state.at(keptBackoffAt) != nil {
			t.Error("a kept session that was refused counts as a refusal")
		}
	})
}

func TestARefusedSessionIsKeptNoLongerWhenTheLogInFails(t *testing.T) {
	for name, login := range map[string]func(context.Context, *Credentials) (*Session, error){
		"refusal": refuse,
		"failure": func(context.Context, *Credentials) (*Session, error) { return nil, errors.New("broken") },
	} {
		synctest.Test(t, func(t *testing.T) {
			state, keys := newShelf(), testKeys(t, 1)
			mustAcquire(t, started(t, state, keys, numbered(new(atomic.Int32))), 0)
			s := started(t, state, keys, login)
			kept := mustAcquire(t, s, 0)
			if _, err := s.acquire(t.Context(), kept.generation); err == nil {
				t.Fatalf("%s: a session", name)
			}
			if state.at(keptSessionAt) != nil {
				t.Errorf("%s: the refused session is still kept", name)
			}
		})
	}
}

func TestARejectedSessionIsKeptNoLongerAndAKeptOneDoesNotBeginTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state, keys := newShelf(), testKeys(t, 1)
		mustAcquire(t, started(t, state, keys, numbered(&logins)), 0)
		s := started(t, state, keys, numbered(&logins))
		if err := s.rejected(mustAcquire(t, s, 0)); !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Errorf("got %v", err)
		}
		if stands, _ := s.state(); stands != SessionNone || state.at(keptSessionAt) != nil {
			t.Errorf("session %s, kept %d bytes", stands, len(state.at(keptSessionAt)))
		}
		if err := s.rejected(mustAcquire(t, s, 0)); !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Errorf("got %v", err)
		}
		if stands, _ := s.state(); stands != SessionBackoff || state.at(keptSessionAt) != nil || logins.Load() != 2 {
			t.Errorf("session %s of one just made, kept %d bytes, %d log-ins", stands, len(state.at(keptSessionAt)), logins.Load())
		}
	})
}

func TestASessionThatAnotherGatewayMadeSinceIsTakenInPlaceOfALogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state, keys := newShelf(), testKeys(t, 1)
		a, b := started(t, state, keys, numbered(&logins)), started(t, state, keys, numbered(&logins))
		la, lb := mustAcquire(t, a, 0), mustAcquire(t, b, 0)
		a.used(la, nil)
		b.used(lb, nil)
		for n := int32(2); n <= 4; n++ { // the session ends thrice, and the other gateway sees it first each time
			a, b, la, lb = b, a, lb, la
			la, lb = mustAcquire(t, a, la.generation), mustAcquire(t, b, lb.generation)
			if logins.Load() != n || sid(la) != sid(lb) {
				t.Errorf("%d log-ins, want %d; %s and %s", logins.Load(), n, sid(la), sid(lb))
			}
		}
	})
}

func TestAHundredCallersTakeOverOneKeptSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state, keys := newShelf(), testKeys(t, 1)
		s := started(t, state, keys, numbered(&logins))
		expired := mustAcquire(t, s, 0)
		other := started(t, state, keys, numbered(&logins))
		mustAcquire(t, other, mustAcquire(t, other, 0).generation)
		gets := state.gets[keptSessionAt]
		state.on = func(context.Context, string) error { time.Sleep(time.Second); return nil }
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond) // some come while it lasts, some after
				l, err := s.acquire(t.Context(), expired.generation)
				if err != nil || l.generation != expired.generation+1 || sid(l) != "secret-cookie-2" {
					t.Errorf("got %v, %v", l, err)
				}
			})
		}
		wg.Wait()
		if logins.Load() != 2 || state.gets[keptSessionAt] != gets+1 {
			t.Errorf("%d log-ins, want 2; %d reads, want 1", logins.Load(), state.gets[keptSessionAt]-gets)
		}
	})
}

func TestAStoreThatDoesNotAnswerCostsALogInAndALogLine(t *testing.T) {
	for name, on := range map[string]func(context.Context, string) error{
		"hangs": func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() },
		"fails": func(context.Context, string) error { return errors.New("the store is away") },
	} {
		synctest.Test(t, func(t *testing.T) {
			var logins atomic.Int32
			var log strings.Builder
			state := newShelf()
			state.on = on
			s := started(t, state, testKeys(t, 1), numbered(&logins), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			begun := time.Now()
			l, err := s.acquire(t.Context(), 0)
			if err != nil || time.Since(begun) > recordLimit {
				t.Fatalf("%s: after %v: %v", name, time.Since(begun), err)
			}
			s.running.Wait()
			if !strings.Contains(log.String(), "the state store did not say") || strings.Contains(log.String(), "secret") {
				t.Errorf("%s: the log holds %s", name, log.String())
			}
			s.used(l, nil)
			s.forget()
			if _, err := s.acquire(t.Context(), l.generation); err != nil || logins.Load() != 2 {
				t.Errorf("%s: %v, %d log-ins", name, err, logins.Load())
			}
		})
	}
}

func TestCallersDoNotWaitUntilTheSessionIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		state.on = func(ctx context.Context, operation string) error {
			if operation == "swap" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		s := started(t, state, testKeys(t, 1), numbered(&logins))
		begun := time.Now()
		if _, err := s.acquire(t.Context(), 0); err != nil || time.Since(begun) != 0 {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

func TestASessionIsKeptByAStoreThatComesBackDuringTheLogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		var away atomic.Bool
		state, keys := newShelf(), testKeys(t, 1)
		mustAcquire(t, started(t, state, testKeys(t, 9), numbered(&logins)), 0) // something is there already
		state.on = func(context.Context, string) error {
			if away.Load() {
				return errors.New("the store is away")
			}
			return nil
		}
		away.Store(true)
		s := started(t, state, keys, func(ctx context.Context, c *Credentials) (*Session, error) {
			away.Store(false)
			return numbered(&logins)(ctx, c)
		})
		mustAcquire(t, s, 0)
		if l := mustAcquire(t, started(t, state, keys, refuse), 0); sid(l) != "secret-cookie-2" {
			t.Errorf("kept is %s", sid(l))
		}
	})
}

func TestTheStoreIsCalledWithoutTheSessionsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		var s *session
		state := newShelf()
		state.on = func(context.Context, string) error { s.state(); return nil } // would wait for ever
		s = started(t, state, testKeys(t, 1), numbered(&logins))
		l := mustAcquire(t, s, 0)
		s.used(l, nil)
		l = mustAcquire(t, s, l.generation)
		_ = s.rejected(l)
		synctest.Wait()
		s.forget()
		mustAcquire(t, s, l.generation)
	})
}

func TestAfterAChangeOfKeysASessionIsKeptUnderTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		old := started(t, state, testKeys(t, 1), numbered(&logins))
		mustAcquire(t, old, 0)
		for _, keys := range [][]byte{{2, 1}, {2}} { // the second time the old key is gone
			s := started(t, state, testKeys(t, keys...), numbered(&logins))
			if l := mustAcquire(t, s, 0); sid(l) != "secret-cookie-1" {
				t.Fatalf("keys %v: %s", keys, sid(l))
			}
		}
		if versions := slices.CompactFunc(state.written, bytes.Equal); len(versions) != 2 {
			t.Errorf("it was stored %d times, want 2", len(versions))
		}
	})
}

func TestASessionThatAnotherGatewayStoredUnderANewKeyIsNotTakenForANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		a := started(t, state, testKeys(t, 1, 2), numbered(&logins))
		l := mustAcquire(t, a, 0)
		mustAcquire(t, started(t, state, testKeys(t, 2, 1), numbered(&logins)), 0)
		if l = mustAcquire(t, a, l.generation); sid(l) != "secret-cookie-2" {
			t.Errorf("got %s, which is over", sid(l))
		}
	})
}
