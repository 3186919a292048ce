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

func TestASessionSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := &Session{
			Cookies: []*http.Cookie{{Name: "a", Value: "secret-1"}, {Name: "b", Value: "secret 2", Quoted: true}},
			Header:  map[string]string{"X-Session": "secret-3\xff"},
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

func TestWhatIsOnlyConfiguredIsNotKept(t *testing.T) {
	for name, s := range map[string]*Session{
		"Basic":      {Header: map[string]string{"Authorization": "Basic YTpi"}},
		"an API key": {Members: map[string]string{"Bugzilla_api_key": "key"}},
	} {
		if !s.configured(Secrets{User: "a", Password: "b", APIKey: "key"}) {
			t.Errorf("%s is kept", name)
		}
	}
	for name, s := range map[string]*Session{
		"a cookie": {Cookies: []*http.Cookie{{Name: "a", Value: "b"}}},
		"a token":  {Members: map[string]string{"Bugzilla_token": "1-secret"}},
	} {
		if s.configured(Secrets{User: "a", Password: "b"}) {
			t.Errorf("%s is not kept", name)
		}
	}
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

func TestWhatAnotherGatewayKeptIsNotRemovedByALogInThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		fails := false
		s := started(t, state, testKeys(t, 1), func(ctx context.Context, c *Credentials) (*Session, error) {
			if fails {
				return refuse(ctx, c)
			}
			return numbered(new(atomic.Int32))(ctx, c)
		})
		l := mustAcquire(t, s, 0)
		fails = true
		mustAcquire(t, started(t, state, testKeys(t, 2), numbered(new(atomic.Int32))), 0) // whose keys are others
		theirs := state.at(keptSessionAt)
		if _, err := s.acquire(t.Context(), l.generation); err == nil {
			t.Fatal("a session")
		}
		if !bytes.Equal(state.at(keptSessionAt), theirs) {
			t.Error("it was removed")
		}
	})
}

func TestASessionThatIsRefusedBeforeItIsKeptIsNotKeptAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		s := started(t, state, testKeys(t, 1), numbered(new(atomic.Int32)))
		l := mustAcquire(t, s, 0)
		_ = s.rejected(l)
		synctest.Wait()
		s.save(l) // as when its turn comes late
		if state.at(keptSessionAt) != nil {
			t.Error("it is kept")
		}
	})
}

// newKeeping is a bridge to one tracker that keeps sessions.
func newKeeping(t *testing.T, state StateStore, login func(context.Context, *Credentials) (*Session, error)) (*Bridge, *session) {
	t.Helper()
	d := &bare{login: login}
	b, err := New([]Config{{Name: "t", URL: "http://tracker.test", Dialect: "bare"}}, []Named{{Name: "bare", New: func(r *Remote) (Dialect, error) {
		d.remote = r
		return d, nil
	}}}, nil, state, WithSessionKeys(testKeys(t, 1)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, b.trackers["t"].candidates[0].session
}

func TestASessionThatIsMadeWhileTheGatewayStopsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		b, s := newKeeping(t, state, func(ctx context.Context, _ *Credentials) (*Session, error) {
			<-ctx.Done()
			return numbered(new(atomic.Int32))(ctx, nil)
		})
		go func() { _, _ = s.acquire(t.Context(), 0) }()
		synctest.Wait()
		b.Close()
		if state.at(keptSessionAt) == nil {
			t.Fatal("nothing is kept")
		}
		_, s = newKeeping(t, state, refuse)
		mustAcquire(t, s, 0)
	})
}

func TestAfterTheGatewayHasStoppedNothingIsRecordedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped atomic.Bool
		state := newShelf()
		state.on = func(context.Context, string) error {
			if stopped.Load() {
				t.Error("the store is called")
			}
			return nil
		}
		b, s := newKeeping(t, state, numbered(new(atomic.Int32)))
		l := mustAcquire(t, s, 0)
		b.Close()
		stopped.Store(true)
		_ = s.rejected(l)
		s.forget()
		synctest.Wait()
	})
}

func TestWithoutAStateStoreKeysChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := newKeeping(t, nil, numbered(new(atomic.Int32)))
		l := mustAcquire(t, s, 0)
		s.used(l, nil)
		_ = s.rejected(mustAcquire(t, s, l.generation))
		s.forget()
		mustAcquire(t, s, l.generation)
	})
}

func TestASessionIsKeptForTheDialectThatWasFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		named := []Named{}
		for _, name := range []string{"one", "two"} {
			named = append(named, Named{Name: name, New: func(*Remote) (Dialect, error) {
				return &speaker{name: name}, nil
			}})
		}
		gateway := func(login func(context.Context, *Credentials) (*Session, error)) []*spoken {
			b, err := New([]Config{{Name: "t", URL: "http://tracker.test", Dialect: Auto}}, named, nil, state, WithSessionKeys(testKeys(t, 1)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			for _, s := range b.trackers["t"].candidates {
				s.session.login = login
			}
			return b.trackers["t"].candidates
		}
		var logins atomic.Int32
		mustAcquire(t, gateway(numbered(&logins))[0].session, 0)
		mustAcquire(t, gateway(numbered(&logins))[0].session, 0)
		if logins.Load() != 1 {
			t.Errorf("%d log-ins of one dialect", logins.Load())
		}
		mustAcquire(t, gateway(numbered(&logins))[1].session, 0)
		if logins.Load() != 2 {
			t.Errorf("the session of one dialect was taken for that of another")
		}
	})
}
