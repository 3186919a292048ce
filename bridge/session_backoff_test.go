package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// refusing is a log-in that is refused, and counts.
func refusing(logins *atomic.Int32) func(context.Context, *Credentials) (*Session, error) {
	return func(context.Context, *Credentials) (*Session, error) {
		logins.Add(1)
		return nil, &RefusedError{Reason: "No, said the tracker to user u."}
	}
}

// wantRefused acquires a session, which must fail, and waits until what is kept of
// that is kept.
func wantRefused(t *testing.T, s *session) error {
	t.Helper()
	l, err := s.acquire(t.Context(), 0)
	if !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Fatalf("got %v, %v", l, err)
	}
	synctest.Wait()
	return err
}

func TestAProcessThatIsStartedAgainAndAgainDoesNotLockTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins, steady atomic.Int32
		state := newShelf()
		begun := time.Now()
		for range 600 { // a crash a second
			wantRefused(t, started(t, state, SessionKeys{}, refusing(&logins)))
			time.Sleep(time.Second)
		}
		s := started(t, nil, SessionKeys{}, refusing(&steady)) // one that never stops
		for end := time.Now().Add(time.Since(begun)); time.Now().Before(end); time.Sleep(time.Second) {
			wantRefused(t, s)
		}
		if logins.Load() < 5 || logins.Load() > steady.Load()+1 {
			t.Errorf("%d log-ins, want as many as of one that does not crash, which makes %d", logins.Load(), steady.Load())
		}
	})
}

func TestTheBackOffSurvivesARestartAndCallersAreToldUntilWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		first := started(t, state, SessionKeys{}, refusing(&logins))
		wantRefused(t, first)
		_, until := first.state()
		time.Sleep(time.Until(until))
		wantRefused(t, first)
		_, until = first.state()

		second := started(t, state, SessionKeys{}, refusing(&logins))
		err := wantRefused(t, second)
		if stands, same := second.state(); stands != SessionBackoff || !same.Equal(until) || logins.Load() != 2 {
			t.Errorf("session %s until %v, want %v; %d log-ins", stands, same, until, logins.Load())
		}
		if text := err.Error(); !strings.Contains(text, shownTime(until)) || !strings.Contains(text, "The tracker refused the last log-ins.") {
			t.Errorf("callers are told %s", text)
		}
		time.Sleep(time.Until(until))
		wantRefused(t, second)
		if _, until := second.state(); time.Until(until) < 4*FirstBackoff {
			t.Errorf("a wait of %v after the third refusal", time.Until(until))
		}
		if stored := state.at(keptBackoffAt); strings.Contains(string(stored), "said") || state.ttl[keptBackoffAt] != backoffRetention {
			t.Errorf("%s is kept for %v", stored, state.ttl[keptBackoffAt])
		}
	})
}

func TestRetryAndSuccessEndTheKeptBackOff(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, state *shelf){
		"retry": func(t *testing.T, state *shelf) {
			s := started(t, state, SessionKeys{}, refusing(new(atomic.Int32)))
			wantRefused(t, s)
			s.forget()
		},
		"retry before anything else": func(t *testing.T, state *shelf) {
			s := started(t, state, SessionKeys{}, numbered(new(atomic.Int32)))
			s.forget()
			mustAcquire(t, s, 0)
		},
		"success": func(t *testing.T, state *shelf) {
			s := started(t, state, SessionKeys{}, numbered(new(atomic.Int32)))
			wantRefused(t, s)
			time.Sleep(LastBackoff)
			l := mustAcquire(t, s, 0)
			if state.at(keptBackoffAt) == nil {
				t.Error("a log-in alone ended it")
			}
			s.used(l, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				state := newShelf()
				wantRefused(t, started(t, state, SessionKeys{}, refusing(new(atomic.Int32))))
				end(t, state)
				if stored := state.at(keptBackoffAt); stored != nil {
					t.Errorf("kept is %s", stored)
				}
				mustAcquire(t, started(t, state, SessionKeys{}, numbered(new(atomic.Int32))), 0)
			})
		})
	}
}

func TestARejectedSessionsBackOffIsKeptToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		s := started(t, state, testKeys(t, 1), numbered(&logins))
		_ = s.rejected(mustAcquire(t, s, 0))
		synctest.Wait()
		wantRefused(t, started(t, state, testKeys(t, 1), numbered(&logins)))
		if logins.Load() != 1 {
			t.Errorf("%d log-ins", logins.Load())
		}
	})
}

func TestOfSeveralGatewaysTheLongestBackOffIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		a, b := started(t, state, SessionKeys{}, refusing(new(atomic.Int32))), started(t, state, SessionKeys{}, refusing(new(atomic.Int32)))
		synctest.Wait()
		b.mu.Lock()
		b.recalled = true // it was started before the other was refused
		b.mu.Unlock()
		var longest time.Time
		for range 4 {
			wantRefused(t, a)
			_, longest = a.state()
			time.Sleep(time.Until(longest) - time.Second)
			time.Sleep(time.Second)
		}
		wantRefused(t, a)
		_, longest = a.state()
		wantRefused(t, b)
		var kept keptBackoff
		if err := json.Unmarshal(state.at(keptBackoffAt), &kept); err != nil || kept.Refusals != 5 || !kept.Until.Equal(longest) {
			t.Errorf("kept is %+v, %v; want 5 until %v", kept, err, longest)
		}
		if _, until := b.state(); time.Until(until) > 2*FirstBackoff {
			t.Errorf("the other waits %v for what is not its own", time.Until(until))
		}
	})
}

func TestAKeptSessionIsUsedWhileNoLogInIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, keys := newShelf(), testKeys(t, 1)
		other := started(t, state, keys, numbered(new(atomic.Int32)))
		mustAcquire(t, other, 0)
		kept := state.at(keptSessionAt)
		state.values[keptSessionAt] = nil
		wantRefused(t, started(t, state, keys, refuse))
		state.values[keptSessionAt] = kept

		var logins atomic.Int32
		s := started(t, state, keys, refusing(&logins))
		l := mustAcquire(t, s, 0)
		if _, err := s.acquire(t.Context(), l.generation); !apierror.Is(err, apierror.TrackerLoginFailed) || logins.Load() != 0 {
			t.Errorf("when it is over: %v, %d log-ins", err, logins.Load())
		}
	})
}

func TestARecordOfRefusalsThatCannotBeUsedIsAsIfThereWereNone(t *testing.T) {
	soon := time.Now().Add(time.Minute).UTC().Format(time.RFC3339Nano)
	record := func(version, refusals int, url, until string) string {
		return fmt.Sprintf(`{"v":%d,"url":%q,"refusals":%d,"until":%q}`, version, url, refusals, until)
	}
	const here = "https://t.example"
	for name, stored := range map[string]string{
		"empty":              "",
		"no JSON":            "{",
		"of another version": record(2, 3, here, soon),
		"of another place":   record(1, 3, "https://u.example", soon),
		"of no refusal":      record(1, 0, here, soon),
		"of less than none":  record(1, -3, here, soon),
		"of too many":        record(1, maxRefusals+1, here, soon),
		"of no time":         record(1, 3, here, "soon"),
		"too large":          record(1, 3, here, soon) + strings.Repeat(" ", maxKeptBackoff),
	} {
		synctest.Test(t, func(t *testing.T) {
			state := newShelf()
			state.values[keptBackoffAt] = []byte(stored)
			mustAcquire(t, started(t, state, SessionKeys{}, numbered(new(atomic.Int32))), 0)
			refused := started(t, state, SessionKeys{}, refuse)
			wantRefused(t, refused)
			if b := refused.keeper.parseBackoff(state.at(keptBackoffAt)); b.Refusals != 1 {
				t.Errorf("%s: %+v takes its place", name, b)
			}
		})
	}
}

func TestARecordOfAClockThatWasWrongDelaysNoLongerThanTheLongestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins atomic.Int32
		state := newShelf()
		ahead := func() time.Time { return time.Now().Add(1000 * time.Hour) }
		wantRefused(t, started(t, state, SessionKeys{}, refuse, WithClock(ahead)))
		s := started(t, state, SessionKeys{}, numbered(&logins))
		wantRefused(t, s)
		time.Sleep(LastBackoff)
		mustAcquire(t, s, 0)
	})
}

func TestGatewaysThatWriteTheRecordAtTheSameTimeGiveUpAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := newShelf()
		swaps := 0
		state.on = func(_ context.Context, operation string) error {
			if operation == "swap" {
				swaps++
				state.mu.Lock()
				state.values[keptBackoffAt] = fmt.Append(nil, swaps)
				state.mu.Unlock()
			}
			return nil
		}
		wantRefused(t, started(t, state, SessionKeys{}, refuse))
		if swaps != backoffSwaps {
			t.Errorf("%d swaps, want %d", swaps, backoffSwaps)
		}
	})
}

func TestABackOffIsKeptThoughTheStoreWasAwayAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		state := newShelf()
		for range 3 {
			wantRefused(t, started(t, state, SessionKeys{}, refuse))
			time.Sleep(LastBackoff)
		}
		state.on = func(context.Context, string) error {
			if away.Load() {
				return errors.New("the store is away")
			}
			return nil
		}
		away.Store(true)
		s := started(t, state, SessionKeys{}, refuse)
		wantRefused(t, s)
		away.Store(false)
		_, until := s.state()
		time.Sleep(time.Until(until))
		wantRefused(t, s)
		if b := s.keeper.parseBackoff(state.at(keptBackoffAt)); b.Refusals != 4 {
			t.Errorf("%d refusals are kept, want 4", b.Refusals)
		}
	})
}
