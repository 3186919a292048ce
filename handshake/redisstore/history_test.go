package redisstore_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// What a caller asked, and what it was told.
const (
	mintCall    = "mint"
	consumeCall = "consume"
	done        = "done"    // minted, or granted
	refused     = "refused" // not granted
	unknown     = "unknown" // the call failed
)

// The life of a token as the model sees it.
const (
	absent = iota
	live
	over
)

// tokenModel says which histories of one token are right. A token is granted once
// at most, and only after its minting began. A call that failed may have been
// executed at any time since, or never. Where Redis forgets, or the fence is up, a
// token may also be refused without having been used; strictly, it may not.
func tokenModel(strict bool) porcupine.Model {
	step := func(state, input, output any) []any {
		s := state.(int)
		switch {
		case input == mintCall && output == done:
			if s == absent {
				return []any{live}
			}
			return nil
		case input == mintCall:
			if s == absent {
				return []any{absent, live}
			}
			return []any{s}
		case output == done:
			if s == live {
				return []any{over}
			}
			return nil
		case output == unknown:
			if s == live {
				return []any{live, over}
			}
			return []any{s}
		default:
			if s == live && strict {
				return nil
			}
			return []any{s}
		}
	}
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{absent} },
		Step: step,
	}
	return model.ToModel()
}

// history is what callers did, by token.
type history struct {
	began  time.Time
	minted atomic.Int64 // tokens minted
	mu     sync.Mutex
	tokens map[handshake.ID][]porcupine.Operation
	known  []handshake.Record
}

func newHistory() *history {
	return &history{began: time.Now(), tokens: map[handshake.ID][]porcupine.Operation{}}
}

// record makes a call and remembers it. One whose outcome is unknown has no end.
func (h *history) record(client int, r handshake.Record, call string, do func() (string, error)) string {
	op := porcupine.Operation{ClientId: client, Input: call, Call: int64(time.Since(h.began))}
	output, err := do()
	op.Output, op.Return = output, int64(time.Since(h.began))
	if err != nil {
		op.Output, op.Return = unknown, math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.tokens[r.ID]) == 0 {
		h.known = append(h.known, r)
	}
	h.tokens[r.ID] = append(h.tokens[r.ID], op)
	return op.Output.(string)
}

func (h *history) mint(client int, s *redisstore.Store) (handshake.Record, bool) {
	r := newRecord(time.Now())
	ok := h.record(client, r, mintCall, func() (string, error) { return done, s.Mint(context.Background(), r) }) == done
	if ok {
		h.minted.Add(1)
	}
	return r, ok
}

func (h *history) consume(client int, s *redisstore.Store, r handshake.Record) string {
	return h.record(client, r, consumeCall, func() (string, error) {
		_, reason, err := s.Consume(context.Background(), claimOn(r))
		if reason == handshake.Granted {
			return done, err
		}
		return refused, err
	})
}

// any is a token that somebody minted before.
func (h *history) any(random *rand.Rand) handshake.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known[random.IntN(len(h.known))]
}

// load mints and consumes until stop is closed: every worker claims its own
// tokens, some twice, leaves some for later, and claims those of others.
func (h *history) load(worker int, stores []*redisstore.Store, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(worker), 2))
	for {
		select {
		case <-stop:
			return
		default:
		}
		r, _ := h.mint(worker, stores[random.IntN(len(stores))])
		for range random.IntN(3) {
			h.consume(worker, stores[random.IntN(len(stores))], r)
		}
		h.consume(worker, stores[random.IntN(len(stores))], h.any(random))
	}
}

// oneUnknown leaves out the claims of unknown outcome but the one that began first.
// That one may have been executed whenever another may have been, to the same effect;
// and each that has no end doubles what there is to be tried.
func oneUnknown(ops []porcupine.Operation) []porcupine.Operation {
	doubtful := func(op porcupine.Operation) bool { return op.Input == consumeCall && op.Output == unknown }
	first := int64(math.MaxInt64)
	for _, op := range ops {
		if doubtful(op) {
			first = min(first, op.Call)
		}
	}
	return slices.DeleteFunc(slices.Clone(ops), func(op porcupine.Operation) bool { return doubtful(op) && op.Call > first })
}

// check claims every token once more, and has the history of each explained.
func (h *history) check(t *testing.T, stores []*redisstore.Store, strict bool) {
	t.Helper()
	var group sync.WaitGroup
	const checkers = 16
	for i := range checkers {
		group.Go(func() {
			for n := i; n < len(h.known); n += checkers {
				h.consume(1000+i, stores[i%len(stores)], h.known[n])
			}
		})
	}
	group.Wait()
	model := tokenModel(strict)
	granted := 0
	for id, ops := range h.tokens {
		if !porcupine.CheckOperations(model, oneUnknown(ops)) {
			t.Errorf("the history of token %v cannot be explained: %+v", id.Fingerprint(), ops)
		}
		for _, op := range ops {
			if op.Input == consumeCall && op.Output == done {
				granted++
			}
		}
	}
	if granted == 0 {
		t.Error("no token was ever accepted")
	}
	t.Logf("%d tokens, %d accepted", len(h.known), granted)
}

// A check that finds nothing wrong is worth what it would find.
func TestHistoriesThatBreakThePromiseAreNotExplained(t *testing.T) {
	const never = int64(math.MaxInt64)
	op := func(input, output string, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: input, Output: output, Call: call, Return: end}
	}
	minted := op(mintCall, done, 1, 2)
	for _, test := range []struct {
		name          string
		ops           []porcupine.Operation
		right, strict bool
	}{
		{"accepted twice", []porcupine.Operation{minted, op(consumeCall, done, 3, 4), op(consumeCall, done, 5, 6)}, false, false},
		{"accepted twice at a time", []porcupine.Operation{minted, op(consumeCall, done, 3, 6), op(consumeCall, done, 4, 5)}, false, false},
		{"accepted before it was minted", []porcupine.Operation{op(consumeCall, done, 1, 2), op(mintCall, done, 3, 4)}, false, false},
		{"accepted though nobody was told of the minting", []porcupine.Operation{op(mintCall, unknown, 1, never), op(consumeCall, done, 3, 4)}, true, true},
		{"failed, and accepted", []porcupine.Operation{minted, op(consumeCall, unknown, 3, never), op(consumeCall, done, 5, 6)}, true, true},
		{"failed, and refused", []porcupine.Operation{minted, op(consumeCall, unknown, 3, never), op(consumeCall, refused, 5, 6)}, true, true},
		{"refused without having been used", []porcupine.Operation{minted, op(consumeCall, refused, 3, 4)}, true, false},
	} {
		for strict, right := range map[bool]bool{false: test.right, true: test.strict} {
			if got := porcupine.CheckOperations(tokenModel(strict), test.ops); got != right {
				t.Errorf("%s, strict %v: %v", test.name, strict, got)
			}
		}
	}
}

// workers is how many callers make the load.
const workers = 4

// disturb runs a load on two gateways while disturbances happen one after the
// other, and checks the history.
func disturb(t *testing.T, url string, strict bool, opts []redisstore.Option, disturbances ...func()) {
	t.Helper()
	stores := []*redisstore.Store{open(t, url, opts...), open(t, url, opts...)}
	h, stop := newHistory(), make(chan struct{})
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() { h.load(worker, stores, stop) })
	}
	more := func() {
		t.Helper()
		begun := h.minted.Load()
		redistest.Until(t, "more tokens are minted", func() bool { return h.minted.Load() > begun+30 })
	}
	for _, disturbance := range disturbances {
		more()
		disturbance()
	}
	more()
	close(stop)
	group.Wait()
	h.check(t, stores, strict)
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestHistoriesOnOneServerThatIsKilledPausedAndCutOff(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		args   []string
		opts   []redisstore.Option
		strict bool
	}{
		{"every answer on disk", nil, nil, true},
		{"every answer on disk, with the fence", nil, []redisstore.Option{redisstore.WithFence(redisstore.FenceAlways)}, false},
		{"on disk every second", []string{"--appendfsync", "everysec"}, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := redistest.Start(t, test.args...)
			front := redistest.StartProxy(t, server.Addr())
			disturb(t, front.URL(), test.strict, test.opts,
				func() { server.Kill(); server.Restart() },
				func() { front.Cut(); front.Mend() },
				func() {
					front.Lose(20)
					redistest.Until(t, "answers were lost", func() bool { return !front.Losing() })
				},
				func() { server.Do("script", "flush") },
				func() {
					server.Pause()
					defer server.Resume()
					s := openAnyway(t, front.URL())
					defer func() { _ = s.Close() }()
					if err := s.Ping(context.Background()); err == nil {
						t.Error("a paused server answers")
					}
				},
			)
		})
	}
}

func TestHistoriesWithSentinelsWhilePrimariesAreKilledAndPaused(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t)
	first := set.Settled(2)
	disturb(t, set.URL(), false, nil,
		func() { // the new primary lacks the last changes, and the old one comes back
			first.RefuseReplicas()
			first.Kill()
			set.Settled(1)
			first.Restart()
			set.Settled(2)
		},
		func() { // the old primary goes on believing that it is one
			primary := set.Primary()
			primary.Pause()
			defer primary.Resume()
			redistest.Until(t, "another is promoted", func() bool { found := set.Primary(); return found != nil && found != primary })
		},
	)
}

func TestHistoriesOnAClusterWhilePrimariesAreKilledAndPaused(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	disturb(t, cluster.URL(), false, nil,
		func() {
			primary, replica := cluster.Owner(0)
			primary.RefuseReplicas()
			primary.Kill()
			redistest.Until(t, "the replica is promoted", func() bool { return replica.Info("role") == "master" })
			primary.Restart()
			cluster.Settled()
		},
		func() {
			primary, replica := cluster.Owner(8000)
			primary.Pause()
			defer primary.Resume()
			redistest.Until(t, "the replica is promoted", func() bool { return replica.Info("role") == "master" })
		},
	)
}

// openAnyway opens a store without asking whether Redis answers.
func openAnyway(t *testing.T, url string, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	client, err := redisstore.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	s, err := redisstore.New(client, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
