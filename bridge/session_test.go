package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// testSession is a session whose log-in a test decides on.
func testSession(t *testing.T, login func(context.Context, *Credentials) (*Session, error), opts ...Option) *session {
	t.Helper()
	o := options{
		logger: slog.New(slog.DiscardHandler), observer: unobserved{}, admission: admitAll{}, now: time.Now, timeLimit: DefaultTimeLimit,
	}
	for _, opt := range opts {
		opt(&o)
	}
	base, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s := newSession(base, &running, &o, &Config{Name: "t"}, "bare", login)
	t.Cleanup(func() { stop(); s.close(); running.Wait() })
	return s
}

func refuse(context.Context, *Credentials) (*Session, error) {
	return nil, &RefusedError{Reason: "No."}
}

func TestAHundredCallersThatMeetAnExpiredSessionMakeOneLogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		s := testSession(t, func(context.Context, *Credentials) (*Session, error) {
			logins.Add(1)
			time.Sleep(time.Second)
			return &Session{}, nil
		})
		first, err := s.acquire(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond) // some come while it lasts, some after
				l, err := s.acquire(t.Context(), first.generation)
				if err != nil || l.generation != first.generation+1 {
					t.Errorf("got generation %v, %v", l, err)
				}
			})
		}
		wg.Wait()
		if logins.Load() != 2 {
			t.Errorf("%d log-ins, want 2", logins.Load())
		}
	})
}

func TestACallerThatGoesAwayDoesNotEndTheLogInOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSession(t, func(ctx context.Context, _ *Credentials) (*Session, error) {
			select {
			case <-time.After(2 * time.Second):
				return &Session{}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.acquire(short, 0); !apierror.Is(classify(err, nil), apierror.TrackerTimeout) {
				t.Errorf("the caller with one second: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := s.acquire(t.Context(), 0); err != nil {
				t.Errorf("the other caller: %v", err)
			}
		})
		wg.Wait()
	})
}

func TestRefusedLogInsBackOffAndSayUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		s := testSession(t, func(context.Context, *Credentials) (*Session, error) {
			logins.Add(1)
			return refuse(t.Context(), nil)
		})
		for n := 1; n <= 10; n++ {
			_, err := s.acquire(t.Context(), 0)
			if !apierror.Is(err, apierror.TrackerLoginFailed) {
				t.Fatalf("refusal %d: %v", n, err)
			}
			state, until := s.state()
			if state != SessionBackoff {
				t.Fatalf("refusal %d: session %s", n, state)
			}
			wait := time.Until(until)
			least := min(FirstBackoff<<(n-1), LastBackoff)
			if wait < least || wait > min(least+least/4, LastBackoff) {
				t.Errorf("refusal %d: a wait of %v, want from %v to a quarter more", n, wait, least)
			}
			shown := until.UTC().Truncate(time.Second).Add(time.Second).Format("2006-01-02 15:04:05")
			_, again := s.acquire(t.Context(), 0)
			if !strings.Contains(again.Error(), "No.") || !strings.Contains(again.Error(), shown) || apierror.From(again).RetryAfter() != wait {
				t.Errorf("refusal %d: %v (retry after %v), want the reason and %s", n, again, apierror.From(again).RetryAfter(), shown)
			}
			if int(logins.Load()) != n {
				t.Fatalf("%d log-ins after %d refusals", logins.Load(), n)
			}
			time.Sleep(wait)
		}
		if state, _ := s.state(); state != SessionNone {
			t.Errorf("session %s when the waiting is over", state)
		}
	})
}

func TestASuccessfulCallEndsTheCountOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := true
		s := testSession(t, func(context.Context, *Credentials) (*Session, error) {
			if refused {
				return refuse(t.Context(), nil)
			}
			return &Session{}, nil
		})
		for range 4 {
			_, _ = s.acquire(t.Context(), 0)
			time.Sleep(LastBackoff)
		}
		refused = false
		l, err := s.acquire(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		s.used(l, nil)
		refused = true
		if _, err := s.acquire(t.Context(), l.generation); err == nil {
			t.Fatal("not refused")
		}
		if _, until := s.state(); time.Until(until) > 2*FirstBackoff {
			t.Errorf("a wait of %v after a session that worked", time.Until(until))
		}
	})
}

func TestATrackerThatCannotBeReachedIsDownAndNotBackingOff(t *testing.T) {
	for _, failure := range []error{
		apierror.New(apierror.TrackerUnavailable), apierror.New(apierror.TrackerTimeout), context.DeadlineExceeded, errors.New("connection lost"),
	} {
		var logins int
		s := testSession(t, func(context.Context, *Credentials) (*Session, error) {
			logins++
			return nil, failure
		})
		for n := 1; n <= 3; n++ {
			if _, err := s.acquire(t.Context(), 0); err == nil || apierror.Is(err, apierror.TrackerLoginFailed) {
				t.Errorf("%v became %v", failure, err)
			}
			if state, _ := s.state(); state != SessionDown || logins != n {
				t.Errorf("%v: session %s after %d log-ins, want down after %d", failure, state, logins, n)
			}
		}
	}
}

func TestATrackerThatLeftAWriteUnansweredIsDown(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want SessionState
	}{
		{outcomeUnknown(apierror.New(apierror.TrackerTimeout)), SessionDown},
		{outcomeUnknown(apierror.New(apierror.TrackerUnavailable)), SessionDown},
		{outcomeUnknown(apierror.New(apierror.TrackerBadAnswer)), SessionLive},
		{apierror.New(apierror.OutcomeUnknown), SessionLive},
		{outcomeUnknown(classify(sent(context.Canceled), nil)), SessionLive},
	} {
		s := testSession(t, func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil })
		l, err := s.acquire(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		s.used(l, tc.err)
		if state, _ := s.state(); state != tc.want {
			t.Errorf("%v: session %s, want %s", tc.err, state, tc.want)
		}
	}
}

// asking is a log handler that asks how the session stands, as one that writes
// metrics may.
type asking struct {
	slog.Handler
	session **session
	lines   *atomic.Int32
}

func (a asking) Enabled(context.Context, slog.Level) bool { return true }

func (a asking) Handle(context.Context, slog.Record) error {
	(*a.session).state()
	a.lines.Add(1)
	return nil
}

func TestALogLineIsWrittenWithoutTheSessionsLock(t *testing.T) {
	for name, login := range map[string]func(context.Context, *Credentials) (*Session, error){
		"success": func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil },
		"refusal": refuse,
		"failure": func(context.Context, *Credentials) (*Session, error) { return nil, errors.New("broken") },
	} {
		var s *session
		var lines atomic.Int32
		s = testSession(t, login, WithLogger(slog.New(asking{slog.DiscardHandler, &s, &lines})))
		want := int32(1)
		if l, err := s.acquire(t.Context(), 0); err == nil {
			want = 2
			_ = s.rejected(l)
		}
		s.running.Wait()
		if lines.Load() != want {
			t.Errorf("%s: %d lines, want %d", name, lines.Load(), want)
		}
	}
}

func TestForgettingEndsTheWaiting(t *testing.T) {
	refused := true
	s := testSession(t, func(context.Context, *Credentials) (*Session, error) {
		if refused {
			return refuse(t.Context(), nil)
		}
		return &Session{}, nil
	})
	_, _ = s.acquire(t.Context(), 0)
	refused = false
	if _, err := s.acquire(t.Context(), 0); err == nil {
		t.Fatal("a log-in was made while backing off")
	}
	s.forget()
	if _, err := s.acquire(t.Context(), 0); err != nil {
		t.Errorf("after forgetting: %v", err)
	}
	if state, _ := s.state(); state != SessionLive {
		t.Errorf("session %s", state)
	}
}

func TestASessionThatIsRefusedAtOnceBacksOff(t *testing.T) {
	s := testSession(t, func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil })
	l, err := s.acquire(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rejected(l); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Errorf("got %v", err)
	}
	if state, _ := s.state(); state != SessionBackoff {
		t.Errorf("session %s, want backoff", state)
	}

	s = testSession(t, func(context.Context, *Credentials) (*Session, error) { return &Session{}, nil })
	l, err = s.acquire(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.used(l, nil)
	if err := s.rejected(l); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Errorf("got %v", err)
	}
	if state, _ := s.state(); state != SessionNone {
		t.Errorf("session %s of one that had worked, want none", state)
	}
}

// countingMinter mints numbered tokens and counts what became of them.
type countingMinter struct {
	err     error
	minted  atomic.Int32
	revoked atomic.Int32
	tracker atomic.Value
}

func (m *countingMinter) Mint(_ context.Context, tracker string) (string, func(context.Context) error, error) {
	if m.err != nil {
		return "", nil, m.err
	}
	m.tracker.Store(tracker)
	n := m.minted.Add(1)
	return fmt.Sprintf("token%d", n), func(ctx context.Context) error {
		m.revoked.Add(1)
		return ctx.Err()
	}, nil
}

func TestATokenIsRevokedWhateverBecameOfTheLogIn(t *testing.T) {
	for name, login := range map[string]func(context.Context) (*Session, error){
		"success":     func(context.Context) (*Session, error) { return &Session{}, nil },
		"refusal":     func(context.Context) (*Session, error) { return refuse(t.Context(), nil) },
		"failure":     func(context.Context) (*Session, error) { return nil, errors.New("broken") },
		"no session":  func(context.Context) (*Session, error) { return nil, nil },
		"time is up":  func(ctx context.Context) (*Session, error) { <-ctx.Done(); return nil, ctx.Err() },
		"no callback": func(context.Context) (*Session, error) { return nil, apierror.New(apierror.TrackerUnavailable) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &countingMinter{}
				s := testSession(t, func(ctx context.Context, c *Credentials) (*Session, error) {
					if token, err := c.Token(ctx); err != nil || token != "token1" || m.revoked.Load() != 0 {
						t.Errorf("token %q, %v, revoked %d", token, err, m.revoked.Load())
					}
					return login(ctx)
				}, func(o *options) { o.minter = m })
				_, _ = s.acquire(t.Context(), 0)
				if m.minted.Load() != 1 || m.revoked.Load() != 1 || m.tracker.Load() != "t" {
					t.Errorf("minted %d for %v, revoked %d", m.minted.Load(), m.tracker.Load(), m.revoked.Load())
				}
			})
		})
	}
}

func TestTroubleWithTheTokenStoreIsNotTheTrackers(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want apierror.Name
	}{
		{apierror.New(apierror.StoreUnavailable), apierror.StoreUnavailable},
		{errors.New("disk full"), apierror.ServerError},
	} {
		m := &countingMinter{err: tc.err}
		s := testSession(t, func(ctx context.Context, c *Credentials) (*Session, error) {
			_, err := c.Token(ctx)
			return nil, err
		}, func(o *options) { o.minter = m })
		if _, err := s.acquire(t.Context(), 0); !apierror.Is(err, tc.want) {
			t.Errorf("%v became %v, want %s", tc.err, err, tc.want)
		}
		if state, _ := s.state(); state != SessionNone {
			t.Errorf("%v: session %s", tc.err, state)
		}
	}
	s := testSession(t, func(ctx context.Context, c *Credentials) (*Session, error) {
		_, err := c.Token(ctx)
		return nil, err
	})
	if _, err := s.acquire(t.Context(), 0); !apierror.Is(err, apierror.ServerError) {
		t.Errorf("without a minter: %v", err)
	}
}

func TestClosingEndsTheLogInsAndBeginsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := newBare(t, Config{URL: "http://tracker.test"})
		d.login = func(ctx context.Context, _ *Credentials) (*Session, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s := b.trackers["t"].candidates[0].session
		failed := make(chan error)
		go func() {
			_, err := s.acquire(t.Context(), 0)
			failed <- err
		}()
		synctest.Wait()
		go b.Close()
		if err := <-failed; err == nil {
			t.Error("the log-in that was ended gave a session")
		}
		synctest.Wait()
		if _, err := s.acquire(t.Context(), 0); !apierror.Is(err, apierror.TrackerUnavailable) {
			t.Errorf("a log-in after closing: %v", err)
		}
	})
}

func TestASessionPrintsAsRedacted(t *testing.T) {
	s := &Session{}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "session", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), fmt.Sprintf("%#v", s), log.String()} {
		if !strings.Contains(text, "REDACTED") {
			t.Errorf("it prints as %s", text)
		}
	}
}
