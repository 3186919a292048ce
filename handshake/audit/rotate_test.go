package audit

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOldEntriesMakeRoom(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   []Option
		reason string
	}{
		{"by age", []Option{WithMaxAge(time.Hour)}, ReasonAge},
		{"by size", []Option{WithMaxSize(10_000)}, ReasonSize},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemory()
				keys := testKeys(t)
				trail := opened(t, store, append(tc.opts, WithKeys(keys), WithGateway("gw-1"))...)
				var from []Head
				for range 600 {
					if err := trail.Record(t.Context(), mintEntryNow()); err != nil {
						t.Fatal(err)
					}
					if len(from) == 0 || store.called()%100 == 0 {
						from = append(from, store.headOf(trail.Chain()))
					}
					time.Sleep(10 * time.Second)
				}
				closed(t, trail)
				r := verified(t, store, keys, VerifyOptions{From: from})
				if !r.OK() || r.Dropped == 0 || r.Met+r.Dropped != len(from) {
					t.Errorf("%d met, %d dropped of %d, problems %v", r.Met, r.Dropped, len(from), r.Problems)
				}
				// The entry that began the chain is gone, and it is still known whose it is.
				if tc.reason == ReasonAge && r.Chains[0].Gateway != "gw-1" {
					t.Errorf("the gateway is %q", r.Chains[0].Gateway)
				}
				all := written(t, store)
				i := slices.IndexFunc(all, func(e Listed) bool { return e.Subsystem == SubsystemTrail && e.Code == TrailDropped })
				if i < 0 || all[i].Reason != tc.reason || all[i].Outcome != Done || !strings.HasSuffix(all[i].Detail, "entries") {
					t.Errorf("it is told as %+v", all[max(i, 0)])
				}
				size, oldest, _ := store.Size(t.Context())
				if tc.reason == ReasonSize && size > 12_000 || tc.reason == ReasonAge && time.Since(oldest) > time.Hour+2*time.Minute {
					t.Errorf("%d bytes stay, the oldest is of %v", size, oldest)
				}
				if all[0].Seq == 1 {
					t.Error("nothing made room")
				}
			})
		})
	}
}

func mintEntryNow() Entry {
	e := mintEntry()
	e.Time = time.Time{}
	return e
}

func TestManyBlocksMakeRoomChunkByChunk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithMaxSize(1000))
		for range 2*dropChunk + 50 {
			if err := trail.Record(t.Context(), mintEntryNow()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(rotateEvery + time.Second)
		all := written(t, store)
		if n := count(all, "trail.dropped"); n < 3 {
			t.Errorf("room was made %d times", n)
		}
		closed(t, trail)
		if r := verified(t, store, Keys{}, VerifyOptions{}); !r.OK() {
			t.Errorf("problems: %v", r.Problems)
		}
	})
}

func TestALimitBelowOneBlockComesToAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithMaxSize(1))
		time.Sleep(3 * rotateEvery)
		closed(t, trail)
		if r := verified(t, store, Keys{}, VerifyOptions{}); !r.OK() {
			t.Errorf("problems: %v", r.Problems)
		}
	})
}

// TestSeveralGatewaysMakeRoomForEachOther lets gateways come and go for many times
// the age that is kept.
func TestSeveralGatewaysMakeRoomForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := newMemory(), testKeys(t)
		open := func(gateway string) *Trail {
			return opened(t, &shared{memory: store}, WithKeys(keys), WithGateway(gateway), WithMaxAge(time.Hour), WithMaxSize(20_000))
		}
		quiet, busy := open("quiet"), open("busy")
		var last []Head
		for round := range 40 {
			passing := open("passing")
			for range 20 {
				if err := busy.Record(t.Context(), mintEntryNow()); err != nil {
					t.Fatal(err)
				}
				passing.Note(t.Context(), mintEntryNow())
				time.Sleep(29 * time.Second)
			}
			if round%3 > 0 { // or it crashed
				closed(t, passing)
			} else {
				passing.cancel()
				_ = passing.Close(t.Context())
			}
			r := verified(t, store, keys, VerifyOptions{From: last})
			if !r.OK() {
				t.Errorf("round %d: %v", round, r.Problems)
				break
			}
			last, _ = Checkpoints(t.Context(), store)
		}
		closed(t, quiet)
		closed(t, busy)
		if n := len(store.heads); n > 12 {
			t.Errorf("%d heads are kept", n)
		}
	})
}

func TestTwoGatewaysMakeTheSameRoomAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := newMemory(), testKeys(t)
		one := opened(t, &shared{memory: store}, WithKeys(keys))
		two := opened(t, &shared{memory: store}, WithKeys(keys))
		for range 20 {
			_ = one.Record(t.Context(), mintEntryNow())
			_ = two.Record(t.Context(), mintEntryNow())
		}
		blocks, err := store.Read(t.Context(), "", 12)
		if err != nil {
			t.Fatal(err)
		}
		for i, trail := range []*Trail{one, two} {
			chunk := blocks[:len(blocks)-5*i] // the second has read less, and comes late
			entries, err := trail.dropped(t.Context(), &dropping{reason: ReasonAge, chunk: chunk})
			if err != nil {
				t.Fatal(err)
			}
			if err := trail.store.Drop(t.Context(), chunk[len(chunk)-1].After, entries...); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, one)
		closed(t, two)
		if r := verified(t, store, keys, VerifyOptions{}); !r.OK() {
			t.Errorf("problems: %v", r.Problems)
		}
	})
}

func TestWhatMakesRoomIsVerifiedForTheLastTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, keys := newMemory(), testKeys(t)
		var log lines
		trail := opened(t, store, WithKeys(keys), WithMaxAge(time.Hour), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for range 10 {
			_ = trail.Record(t.Context(), mintEntryNow())
		}
		store.tamper(func(blocks []Block) []Block {
			data := blocks[5].Data
			data[bytes.LastIndex(data, []byte("gnome"))] = 'x'
			return slices.Delete(blocks, 7, 8)
		})
		time.Sleep(2 * time.Hour)
		closed(t, trail)
		all := written(t, store)
		i := slices.IndexFunc(all, func(e Listed) bool { return e.Subsystem == SubsystemTrail && e.Code == TrailDropped })
		if i < 0 || all[i].Outcome != Failed || !strings.Contains(all[i].Detail, "2 problems, the first: chain ") {
			t.Errorf("the trail says %+v", all)
		}
		if !strings.Contains(log.String(), "cannot be verified") {
			t.Errorf("the log says %s", &log)
		}
	})
}

// TestMakingRoomDoesNotLaunder puts a forged block where room is made next, so that
// the trail might vouch for the end of a chain that it claims.
func TestMakingRoomDoesNotLaunder(t *testing.T) {
	for name, forger := range map[string]Key{"without a key": {}, "with a key of his own": NewKey([32]byte{6})} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, keys := newMemory(), testKeys(t)
				victim := NewChain(ChainID{0xaa}, keys.Signing())
				trail := opened(t, store, WithKeys(keys), WithMaxAge(time.Hour))
				forged, _ := NewChain(victim.id, forger).Seal(Head{Seq: 1 << 40}, []Entry{{Time: time.Now()}})
				saying, _ := NewChain(ChainID{0xcc}, forger).Seal(Head{}, []Entry{{Time: time.Now(), Subsystem: SubsystemTrail, Code: TrailDropped,
					Heads: PackHeads(Head{Chain: victim.id, Seq: 1 << 40})}})
				store.tamper(func(blocks []Block) []Block {
					return slices.Insert(blocks, 0, Block{After: "0", Data: forged}, Block{After: "0", Data: saying})
				})
				time.Sleep(2 * time.Hour)
				for range 3 {
					if err := store.seal(t.Context(), victim, Entry{Time: time.Now()}); err != nil {
						t.Fatal(err)
					}
				}
				closed(t, trail)
				if r := verified(t, store, keys, VerifyOptions{AllowUnkeyed: true}); !r.OK() {
					t.Fatalf("problems before: %v", r.Problems)
				}
				ledger{store, victim, nil}.remove(victim, 1)
				got := found(verified(t, store, keys, VerifyOptions{AllowUnkeyed: true}))
				if !slices.Equal(got, []string{"cut_off_beginning aa 1"}) {
					t.Errorf("found %q", got)
				}
			})
		})
	}
}

func TestAFailureToMakeRoomIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithMaxAge(time.Hour))
		_ = trail.Record(t.Context(), mintEntryNow())
		store.fail(errAway)
		time.Sleep(2 * time.Hour)
		store.fail(nil)
		time.Sleep(2 * rotateEvery)
		closed(t, trail)
		if all := written(t, store); all[0].Seq == 1 {
			t.Errorf("nothing made room: %q", names(all))
		}
	})
}

func TestABlockThatClaimsToBeOfTheFutureStandsInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		trail := opened(t, store, WithMaxAge(time.Hour))
		ahead := NewChain(ChainID{0xaa}, Key{})
		for _, d := range []time.Duration{clockSlack + 2*time.Hour, 0} {
			if err := store.seal(t.Context(), ahead, Entry{Time: time.Now().Add(d)}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Hour)
		closed(t, trail)
		if h := store.headOf(ahead.id); h.Seq != 0 {
			t.Errorf("its chain is still there: %+v", h)
		}
		if r := verified(t, store, Keys{}, VerifyOptions{}); !r.OK() {
			t.Errorf("problems: %v", r.Problems)
		}
	})
}
