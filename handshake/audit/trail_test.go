package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

func opened(t testing.TB, store Store, opts ...Option) *Trail {
	t.Helper()
	trail, err := Open(t.Context(), store, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return trail
}

func closed(t testing.TB, trail *Trail) {
	t.Helper()
	if err := trail.Close(t.Context()); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func refusal(caller string) Entry {
	return Entry{Subsystem: SubsystemToken, Code: TokenRefused, Outcome: Refused, Reason: "used", Caller: netip.MustParseAddr(caller)}
}

func TestATrailBeginsAndEndsWithTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithKeys(testKeys(t)), WithGateway("gw-1"), WithStarted("sha256:abc"))
		if err := trail.Record(t.Context(), mintEntry()); err != nil {
			t.Fatal(err)
		}
		trail.Note(t.Context(), mintEntry())
		closed(t, trail)
		closed(t, trail) // does nothing
		all := written(t, store)
		want := []string{"gateway.started", "trail.witnessed", "token.minted", "token.minted", "gateway.stopped"}
		if got := names(all); !slices.Equal(got, want) {
			t.Errorf("the trail is %q", got)
		}
		if e := all[0]; e.Seq != 1 || e.Chain != trail.Chain() || e.Name != "gw-1" || e.Detail != "sha256:abc" || e.Outcome != Done {
			t.Errorf("the first entry is %+v", e)
		}
		if r := verified(t, store, testKeys(t), VerifyOptions{}); !r.OK() || !r.Chains[0].Stopped {
			t.Errorf("the report is %+v", r)
		}
	})
}

func TestTheNextRunWritesDownWhereTheOthersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		first := opened(t, store)
		closed(t, first)
		second := opened(t, store)
		closed(t, second)
		var seen []Head
		for _, e := range written(t, store) {
			if e.Chain == second.Chain() && e.Code == TrailWitnessed {
				seen = append(seen, e.Heads.All()...)
			}
		}
		if !slices.Equal(seen, []Head{store.headOf(first.Chain())}) {
			t.Errorf("it saw %v, and the first ends at %v", seen, store.headOf(first.Chain()))
		}
	})
}

func TestManyChainsAreWrittenDownInSeveralEntries(t *testing.T) {
	heads := make([]Head, maxWitnessed+2)
	for i := range heads {
		heads[i] = Head{Chain: ChainID{byte(i), byte(i >> 8)}, Seq: 1}
	}
	trail := &Trail{set: settings{now: time.Now}}
	entries, seen := trail.witness(heads)
	if len(entries) != maxWitnessed/MaxHeads || len(seen) != len(heads) || !strings.Contains(entries[0].Detail, "2 more") {
		t.Errorf("%d entries of %d heads, the first: %+v", len(entries), len(heads), entries[0].Detail)
	}
	trail.seen = seen
	heads[7].Seq++
	entries, _ = trail.witness(heads)
	if len(entries) != 1 || !slices.Equal(entries[0].Heads.All(), heads[7:8]) {
		t.Errorf("after one has moved, the entries are %+v", entries)
	}
}

func TestTheGatewayStartsWithoutItsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		store.fail(errAway)
		var log lines
		trail := opened(t, store, WithKeys(testKeys(t)), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		trail.Note(t.Context(), mintEntry())
		for range 3 {
			err := trail.Record(t.Context(), mintEntry())
			if !apierror.Is(err, apierror.StoreUnavailable) || !errors.Is(err, errAway) || apierror.From(err).RetryAfter() <= 0 {
				t.Errorf("Record gave %v", err)
			}
		}
		time.Sleep(30 * time.Second)
		store.fail(nil)
		// A store that seals its own notes begins the chain properly too.
		if err := store.Append(t.Context(), Entry{Subsystem: SubsystemToken, Code: TokenConsumed}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxBackoff)
		closed(t, trail)
		want := []string{"gateway.started", "token.consumed", "trail.witnessed", "token.minted", "gateway.stopped"}
		if got := names(written(t, store)); !slices.Equal(got, want) {
			t.Errorf("the trail is %q", got)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("the log has %d lines of half a minute:\n%s", n, &log)
		}
		if r := verified(t, store, testKeys(t), VerifyOptions{}); !r.OK() {
			t.Errorf("problems: %v", r.Problems)
		}
	})
}

func TestWhenTheTrailIsNotRequiredEntriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		var log lines
		trail := opened(t, store, WithRequired(false), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		store.fail(errAway)
		for range 3 {
			if err := trail.Record(t.Context(), mintEntry()); err != nil {
				t.Errorf("Record gave %v", err)
			}
		}
		synctest.Wait()
		if trail.Required() || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "the store is away") {
			t.Errorf("the log is\n%s", &log)
		}
		time.Sleep(2 * warnEvery)
		synctest.Wait()
		if n := strings.Count(log.String(), "\n"); n != 2 || strings.Count(log.String(), "failures_not_logged=0") != 1 {
			t.Errorf("after two minutes the log has %d lines:\n%s", n, &log)
		}
		store.fail(nil)
		closed(t, trail)
		if got := names(written(t, store)); count(written(t, store), "token.minted") != 3 {
			t.Errorf("the trail is %q", got)
		}
	})
}

func TestNotesAreWrittenInOrderAndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store)
		store.fail(errAway)
		const notes = 2*noteBatch + 10
		for i := range notes {
			trail.Note(t.Context(), Entry{Subsystem: SubsystemToken, Code: TokenMinted, Outcome: Done, Name: fmt.Sprint(i)})
		}
		time.Sleep(time.Second)
		store.fail(nil)
		before := store.called()
		time.Sleep(maxBackoff)
		if calls := store.called() - before; calls != 3 {
			t.Errorf("%d notes took %d calls", notes, calls)
		}
		closed(t, trail)
		next := 0
		for _, e := range written(t, store) {
			if e.Subsystem != SubsystemToken {
				continue
			}
			if e.Name != fmt.Sprint(next) {
				t.Fatalf("note %d is %q", next, e.Name)
			}
			next++
		}
		if next != notes {
			t.Errorf("%d notes of %d", next, notes)
		}
	})
}

func TestNotesBeyondTheQueueAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithQueue(5))
		store.fail(errAway)
		for i := range 12 {
			e := mintEntry()
			if i%2 == 0 {
				e = Entry{Subsystem: SubsystemTracker, Code: TrackerLogin, Outcome: Failed, Reason: "timeout"}
			}
			trail.Note(t.Context(), e)
		}
		time.Sleep(time.Minute)
		store.fail(nil)
		time.Sleep(maxBackoff)
		closed(t, trail)
		all := written(t, store)
		var told []string
		for _, e := range all {
			if e.Code == TrailSuppressed && e.Subsystem == SubsystemTrail {
				told = append(told, e.Reason+" "+e.Detail)
			}
		}
		if !slices.Equal(told, []string{"queue 7 entries: token/minted=4 tracker/timeout=3"}) {
			t.Errorf("told %q in %q", told, names(all))
		}
	})
}

func TestRefusalsOfOneCallerBeyondTheLimitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store)
		caller, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for i := range DefaultCallerLimit + 30 {
			if crowded := trail.Crowded(caller); crowded != (2*i >= DefaultCallerLimit) {
				t.Errorf("after %d refusals, crowded is %v", i, crowded)
			}
			if err := trail.Record(t.Context(), refusal("192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			trail.Note(t.Context(), Entry{Subsystem: SubsystemHook, Code: HookAuthentication, Outcome: Failed, Reason: "mismatch", Caller: netip.MustParseAddr("::ffff:192.0.2.1")})
		}
		if trail.Crowded(other) {
			t.Error("another caller is crowded")
		}
		// What the gateway granted is listed whoever asked.
		trail.Note(t.Context(), mintEntry())
		time.Sleep(suppressedEvery + time.Second)
		if trail.Crowded(caller) {
			t.Error("it is crowded in the next minute")
		}
		trail.Note(t.Context(), refusal("192.0.2.1"))
		time.Sleep(suppressedEvery)
		closed(t, trail)
		all := written(t, store)
		if listed := count(all, "token.refused") + count(all, "hook.authentication_failed"); listed != DefaultCallerLimit+1 {
			t.Errorf("%d refusals are listed", listed)
		}
		if n := count(all, "token.minted"); n != 1 {
			t.Errorf("%d tokens are listed", n)
		}
		i := slices.IndexFunc(all, func(e Listed) bool { return e.Subsystem == SubsystemTrail && e.Code == TrailSuppressed })
		if i < 0 || count(all, "trail.suppressed") != 1 || all[i].Reason != ReasonFlood ||
			all[i].Detail != "70 entries: hook/mismatch=35 token/used=35" {
			t.Errorf("the count is told as %v", all)
		}
	})
}

func TestOneNetworkOfIPv6IsOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trail := opened(t, newMemory(), WithCallers(2, 100))
		for i := range 3 {
			trail.Note(t.Context(), refusal(fmt.Sprintf("2001:db8::%d", i+1)))
		}
		if !trail.Crowded(netip.MustParseAddr("2001:db8::ffff:1")) || trail.Crowded(netip.MustParseAddr("2001:db8:0:1::1")) {
			t.Error("a caller is not a /64")
		}
		for range 3 {
			trail.Note(t.Context(), Entry{Outcome: Refused})
		}
		if !trail.Crowded(netip.Addr{}) {
			t.Error("refusals without an address are not bounded")
		}
		closed(t, trail)
	})
}

func TestCallersBeyondTheLimitAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store)
		addr := netip.MustParseAddr("10.0.0.0")
		const more = 50
		for range DefaultMaxCallers + more {
			e := refusal("10.0.0.0")
			e.Caller = addr
			if err := trail.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			addr = addr.Next()
		}
		if !trail.Crowded(netip.MustParseAddr("192.0.2.1")) || trail.Crowded(netip.MustParseAddr("10.0.0.1")) {
			t.Error("who is new must be crowded, who is known not yet")
		}
		if n := len(trail.crowd.callers); n != DefaultMaxCallers {
			t.Errorf("%d callers are kept", n)
		}
		closed(t, trail)
		all := written(t, store)
		if !strings.Contains(all[len(all)-2].Detail, "50 entries: token/used=50") {
			t.Errorf("before its end the trail says %q", all[len(all)-2].Detail)
		}
	})
}

func TestATallyIsBounded(t *testing.T) {
	var counted tally
	for i := range 1000 {
		e := Entry{Subsystem: "x\ny", Reason: fmt.Sprint(i, strings.Repeat("\x00 long", 100)), Outcome: Refused}
		counted.add(&e)
	}
	var joined tally
	joined.join(counted)
	joined.join(counted)
	if len(counted.kinds) != maxTallied || joined.total != 2000 || len(joined.kinds) != maxTallied {
		t.Errorf("%d kinds; joined %d kinds, %d entries", len(counted.kinds), len(joined.kinds), joined.total)
	}
	if e := counted.entry(ReasonFlood, at(1)); len(e.Detail) > MaxDetail || !strings.HasSuffix(e.Detail, "other=984") {
		t.Errorf("it says %q", e.Detail)
	}
}

func TestAClockThatIsSetBackDoesNotKeepCallersCrowded(t *testing.T) {
	c := crowd{perCaller: 1, maxCallers: 1}
	e := refusal("192.0.2.1")
	if !c.admit(&e, at(30)) || c.admit(&e, at(31)) || !c.admit(&e, at(1)) {
		t.Error("the minute did not begin anew")
	}
}

func TestTheOriginComesFromTheContext(t *testing.T) {
	ctx := WithOrigin(t.Context(), Origin{Caller: netip.MustParseAddr("192.0.2.9"), Listener: "public"})
	ctx = WithOrigin(ctx, Origin{Route: "/hooks/{name}"})
	clock := func() time.Time { return at(7) }
	trail := opened(t, newMemory(), WithClock(clock))
	want := Entry{Time: at(7), Caller: netip.MustParseAddr("192.0.2.9"), Listener: "public", Route: "/hooks/{name}"}
	if got := trail.Fill(ctx, Entry{}); got != want {
		t.Errorf("it became %+v", got)
	}
	own := Entry{Time: at(1), Caller: netip.MustParseAddr("192.0.2.1"), Listener: "private", Route: "r"}
	if got := trail.Fill(ctx, own); got != own {
		t.Errorf("what was set became %+v", got)
	}
	closed(t, trail)
}

func TestNoTrailTakesEverything(t *testing.T) {
	var trail *Trail
	if err := trail.Record(t.Context(), mintEntry()); err != nil {
		t.Error(err)
	}
	trail.Note(t.Context(), mintEntry())
	if trail.Crowded(netip.MustParseAddr("192.0.2.1")) || trail.Required() || trail.Chain() != (ChainID{}) {
		t.Error("no trail is crowded, required or has a chain")
	}
	if e := trail.Fill(t.Context(), Entry{}); e.Time.IsZero() {
		t.Error("no trail has no clock")
	}
	closed(t, trail)
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	for name, open := range map[string]func() (*Trail, error){
		"no store":     func() (*Trail, error) { return Open(t.Context(), nil) },
		"no queue":     func() (*Trail, error) { return Open(t.Context(), newMemory(), WithQueue(0)) },
		"no callers":   func() (*Trail, error) { return Open(t.Context(), newMemory(), WithCallers(1, 0)) },
		"negative age": func() (*Trail, error) { return Open(t.Context(), newMemory(), WithMaxAge(-1)) },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(); err == nil {
				t.Error("it opened")
			}
		})
	}
}

func TestClosingWithoutTheStoreTakesBoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store)
		store.fail(errAway)
		trail.Note(t.Context(), mintEntry())
		began := time.Now()
		err := trail.Close(context.WithoutCancel(t.Context()))
		if err == nil || time.Since(began) > closeLimit+time.Second {
			t.Errorf("after %v it gave %v", time.Since(began), err)
		}
		// What comes later is lost and breaks nothing.
		trail.Note(t.Context(), mintEntry())
	})
}

func TestClosingWhileTheStoreHangsTakesBoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store)
		hold := make(chan struct{})
		store.holdUp(hold)
		trail.Note(t.Context(), mintEntry())
		synctest.Wait()
		began := time.Now()
		err := trail.Close(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != closeLimit {
			t.Errorf("after %v it gave %v", time.Since(began), err)
		}
		close(hold)
	})
}

func TestTheTrailStaysQuietInItsOwnWords(t *testing.T) {
	keys := testKeys(t)
	text := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", keys, keys, keys, keys, keys.Signing(), keys.Signing(), keys.Signing())
	var log lines
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "keys", keys, "key", keys.Signing(), "nested", struct{ K Keys }{keys})
	for _, shown := range []string{text, log.String()} {
		if strings.Contains(shown, "AAECAw") || strings.Contains(shown, "0 1 2 3") || !strings.Contains(shown, "REDACTED") || strings.Contains(shown, "0x0, 0x1") {
			t.Errorf("keys print as %q", shown)
		}
	}
}
