package bridge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// memoryState is a StateStore in memory, shared by gateways of a test.
type memoryState struct {
	mu     sync.Mutex
	values map[string][]byte
	ttl    time.Duration
	fail   error
	failOn int // the swap that fails, counted from 1; 0 for none
	swaps  int
	hangOn int // the swap that ends with its context, counted in the same way
}

var _ StateStore = (*memoryState)(nil)

func (m *memoryState) Get(ctx context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], errors.Join(m.fail, ctx.Err())
}

func (m *memoryState) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swaps++
	if m.swaps == m.hangOn {
		<-ctx.Done()
	}
	if err := errors.Join(m.fail, ctx.Err()); err != nil || m.swaps == m.failOn {
		return false, errors.Join(err, errors.New("the store is away"))
	}
	if !bytes.Equal(m.values[key], prev) || (m.values[key] == nil) != (prev == nil) {
		return false, nil
	}
	m.ttl = ttl
	if next == nil {
		delete(m.values, key)
		return true, nil
	}
	m.values[key] = next
	return true, nil
}

// notebook stands for a tracker that things are written to.
type notebook struct {
	mu      sync.Mutex
	entries []time.Time
	writes  int
	looks   int
	outcome error // of writes: nil written, OUTCOME_UNKNOWN written and answer lost, else not written
	lose    bool  // with OUTCOME_UNKNOWN: not written either
	skew    time.Duration
	takes   time.Duration
}

func (n *notebook) write(context.Context) (string, error) {
	time.Sleep(n.takes)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes++
	if n.outcome == nil || apierror.Is(n.outcome, apierror.OutcomeUnknown) && !n.lose {
		n.entries = append(n.entries, time.Now().Add(n.skew).Truncate(time.Second))
	}
	if n.outcome != nil {
		return "", n.outcome
	}
	return "id", nil
}

func (n *notebook) find(_ context.Context, recent isRecent) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.looks++
	for _, at := range n.entries {
		if recent(at, time.Now().Add(n.skew).Truncate(time.Second)) {
			return "id", nil
		}
	}
	return "", nil
}

// gateway is one process's view of a shared store.
type gateway struct {
	keyed   keyedWrites
	options options
}

func newGateway(state StateStore) *gateway {
	g := &gateway{options: options{
		state: state, now: time.Now, timeLimit: DefaultTimeLimit, keyRetention: DefaultKeyRetention, logger: slog.New(slog.DiscardHandler),
	}}
	g.keyed.init()
	return g
}

func (g *gateway) once(ctx context.Context, n *notebook, arguments string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, g.options.timeLimit)
	defer cancel()
	return g.keyed.once(ctx, &keyedWrite{
		options: &g.options, stateKey: stateKey("t", "key"), arguments: fingerprint(arguments), write: n.write, find: n.find,
	})
}

func newState() *memoryState { return &memoryState{values: map[string][]byte{}} }

var unknownOutcome = outcomeUnknown(apierror.New(apierror.TrackerTimeout))

func TestASecondCallWithTheSameKeyWritesNothing(t *testing.T) {
	state, n := newState(), &notebook{}
	for i := range 3 {
		g := newGateway(state) // the gateway may have been restarted
		if id, err := g.once(t.Context(), n, "a"); err != nil || id != "id" {
			t.Errorf("call %d: %q, %v", i, id, err)
		}
	}
	if n.writes != 1 || n.looks != 0 || state.ttl != DefaultKeyRetention {
		t.Errorf("%d writes, %d looks, kept for %v", n.writes, n.looks, state.ttl)
	}
	if _, err := newGateway(state).once(t.Context(), n, "b"); !apierror.Is(err, apierror.InvalidData) {
		t.Errorf("the same key for something else: %v, want INVALID_DATA", err)
	}
}

func TestConcurrentCallsWithTheSameKeyWriteOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, n := newState(), &notebook{takes: time.Second}
		gateways := []*gateway{newGateway(state), newGateway(state)}
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if id, err := gateways[i%2].once(t.Context(), n, "a"); err != nil || id != "id" {
					t.Errorf("%q, %v", id, err)
				}
			})
		}
		wg.Wait()
		if n.writes != 1 {
			t.Errorf("%d writes", n.writes)
		}
	})
}

func TestAWriteWhoseAnswerWasLostIsLookedForBeforeItIsRepeated(t *testing.T) {
	for _, skew := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour} {
		for _, lost := range []bool{false, true} {
			state, n := newState(), &notebook{outcome: unknownOutcome, lose: lost, skew: skew}
			if _, err := newGateway(state).once(t.Context(), n, "a"); !apierror.Is(err, apierror.OutcomeUnknown) {
				t.Fatalf("first call: %v", err)
			}
			n.outcome = nil
			if id, err := newGateway(state).once(t.Context(), n, "a"); err != nil || id != "id" {
				t.Errorf("second call: %q, %v", id, err)
			}
			want := 1
			if lost {
				want = 2
			}
			if n.writes != want || len(n.entries) != 1 {
				t.Errorf("skew %v, lost %v: %d writes and %d entries, want %d and 1", skew, lost, n.writes, len(n.entries), want)
			}
		}
	}
}

func TestAnOldEntryWithTheSameTextIsNotTakenForTheWrite(t *testing.T) {
	state := newState()
	n := &notebook{outcome: unknownOutcome, lose: true, entries: []time.Time{time.Now().Add(-time.Hour)}}
	if _, err := newGateway(state).once(t.Context(), n, "a"); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Fatal(err)
	}
	n.outcome = nil
	if _, err := newGateway(state).once(t.Context(), n, "a"); err != nil || n.writes != 2 {
		t.Errorf("%d writes, %v: the comment of an hour ago was taken for this one", n.writes, err)
	}
}

func TestARefusedWriteLeavesItsKeyFree(t *testing.T) {
	state, n := newState(), &notebook{outcome: apierror.New(apierror.ResourceNotFound)}
	g := newGateway(state)
	if _, err := g.once(t.Context(), n, "a"); !apierror.Is(err, apierror.ResourceNotFound) {
		t.Fatal(err)
	}
	if len(state.values) != 0 {
		t.Errorf("%d records are left", len(state.values))
	}
	n.outcome = nil
	if _, err := g.once(t.Context(), n, "b"); err != nil {
		t.Errorf("the key used for something else after a refusal: %v", err)
	}
}

func TestAWriteThatMayStillLandIsNotForgottenWhenARepetitionIsRefused(t *testing.T) {
	state, n := newState(), &notebook{outcome: unknownOutcome, lose: true}
	g := newGateway(state)
	if _, err := g.once(t.Context(), n, "a"); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Fatal(err)
	}
	n.outcome = apierror.New(apierror.TrackerFault)
	if _, err := g.once(t.Context(), n, "a"); !apierror.Is(err, apierror.TrackerFault) {
		t.Fatal(err)
	}
	n.entries = append(n.entries, time.Now()) // the tracker executes the first one now
	n.outcome = nil
	if id, err := g.once(t.Context(), n, "a"); err != nil || id != "id" || len(n.entries) != 1 {
		t.Errorf("%q, %v: %d entries, want the one that landed late", id, err, len(n.entries))
	}
}

func TestACallerWhoseTimeIsOverIsNotToldThatTheStoreIsAway(t *testing.T) {
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, tc := range []struct {
		ctx  context.Context
		want apierror.Name
	}{{over, apierror.TrackerTimeout}, {gone, apierror.TrackerUnavailable}} {
		n := &notebook{}
		_, err := newGateway(newState()).once(tc.ctx, n, "a")
		if err = classify(err, nil); !apierror.Is(err, tc.want) || n.writes != 0 {
			t.Errorf("%v after %d writes, want %s after none", err, n.writes, tc.want)
		}
	}
}

func TestAStoreThatHangsHoldsNoCallerBeyondItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, begun := newState(), time.Now()
		state.hangOn = 2 // the claim is stored, the outcome is not
		g := newGateway(state)
		ctx, cancel := context.WithTimeout(t.Context(), g.options.timeLimit)
		defer cancel()
		_, err := g.keyed.once(ctx, &keyedWrite{
			options: &g.options, stateKey: stateKey("t", "key"), arguments: fingerprint("a"),
			write: func(ctx context.Context) (string, error) { <-ctx.Done(); return "", unknownOutcome },
		})
		if !apierror.Is(err, apierror.OutcomeUnknown) || time.Since(begun) > g.options.timeLimit {
			t.Errorf("%v after %v, want OUTCOME_UNKNOWN within %v", err, time.Since(begun), g.options.timeLimit)
		}
	})
}

func TestAClaimThatACrashLeftIsTakenOverAndLookedInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crash := func(state *memoryState, n *notebook) {
			state.failOn = 2 // the claim is stored, and nothing after it
			if id, err := newGateway(state).once(t.Context(), n, "a"); err != nil || id != "id" {
				t.Fatalf("%q, %v: a write that was made is made", id, err)
			}
			state.failOn = 0
		}
		state, n := newState(), &notebook{}
		crash(state, n)
		g := newGateway(state)
		g.options.ownState = true
		begun := time.Now()
		if id, err := g.once(t.Context(), n, "a"); err != nil || id != "id" || n.writes != 1 || time.Since(begun) != 0 {
			t.Errorf("own store: %q, %v, %d writes, after %v", id, err, n.writes, time.Since(begun))
		}

		state, n = newState(), &notebook{}
		crash(state, n)
		g = newGateway(state)
		if _, err := g.once(t.Context(), n, "a"); !apierror.Is(err, apierror.OutcomeUnknown) {
			t.Errorf("shared store, while the claim may be at work: %v, want OUTCOME_UNKNOWN", err)
		}
		if id, err := g.once(t.Context(), n, "a"); err != nil || id != "id" || n.writes != 1 {
			t.Errorf("shared store, afterwards: %q, %v, %d writes", id, err, n.writes)
		}
	})
}

func TestNothingIsWrittenWithoutTheStore(t *testing.T) {
	state, n := newState(), &notebook{}
	state.fail = errors.New("away")
	if _, err := newGateway(state).once(t.Context(), n, "a"); !apierror.Is(err, apierror.StoreUnavailable) || n.writes != 0 {
		t.Errorf("%v after %d writes, want STORE_UNAVAILABLE after none", err, n.writes)
	}
	state.fail, state.failOn = nil, 1
	if _, err := newGateway(state).once(t.Context(), n, "a"); !apierror.Is(err, apierror.StoreUnavailable) || n.writes != 0 {
		t.Errorf("%v after %d writes, want STORE_UNAVAILABLE after none", err, n.writes)
	}
	state = newState()
	state.values[stateKey("t", "key")] = []byte(`{"v":2}`)
	if _, err := newGateway(state).once(t.Context(), n, "a"); !apierror.Is(err, apierror.ServerError) || n.writes != 0 {
		t.Errorf("a record of another version: %v after %d writes", err, n.writes)
	}
}

func TestADialectThatCannotLookLeavesTheOutcomeUnknown(t *testing.T) {
	state, n := newState(), &notebook{outcome: unknownOutcome}
	g := newGateway(state)
	for i := range 2 {
		_, err := g.keyed.once(t.Context(), &keyedWrite{
			options: &g.options, stateKey: stateKey("t", "key"), arguments: "a", write: n.write,
		})
		if !apierror.Is(err, apierror.OutcomeUnknown) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n.writes != 1 {
		t.Errorf("%d writes", n.writes)
	}
}

func TestACallerThatGoesAwayDoesNotLoseTheRecord(t *testing.T) {
	state, n := newState(), &notebook{}
	g := newGateway(state)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := g.keyed.once(ctx, &keyedWrite{
		options: &g.options, stateKey: stateKey("t", "key"), arguments: fingerprint("a"), find: n.find,
		write: func(ctx context.Context) (string, error) { defer cancel(); return n.write(ctx) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := newGateway(state).once(t.Context(), n, "a"); err != nil || id != "id" || n.writes != 1 || n.looks != 0 {
		t.Errorf("%q, %v, %d writes, %d looks", id, err, n.writes, n.looks)
	}
}

func TestKeysOfTheStoreArePrintableAndShort(t *testing.T) {
	long := stateKey(string(bytes.Repeat([]byte("n"), MaxNameLength)), string(bytes.Repeat([]byte{0}, MaxKeyLength)))
	if len(long) > 200 {
		t.Errorf("%d bytes", len(long))
	}
	if stateKey("a", "b") == stateKey("b", "b") || stateKey("a", "b") == stateKey("a", "c") {
		t.Error("two keys share a record")
	}
	if fingerprint("a", "bc") == fingerprint("ab", "c") {
		t.Error("two writes have one fingerprint")
	}
}
