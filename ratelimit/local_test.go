package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/ratelimit"
)

func policy(tb testing.TB, name, rate string, burst int) ratelimit.Policy {
	tb.Helper()
	p := ratelimit.Policy{Name: name, Rate: mustRate(tb, rate), Burst: burst}
	if err := p.Validate(); err != nil {
		tb.Fatal(err)
	}
	return p
}

func newLocal(tb testing.TB, maxCallers int) *ratelimit.Local {
	tb.Helper()
	l, err := ratelimit.NewLocal(maxCallers, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func take(tb testing.TB, l ratelimit.Limiter, p ratelimit.Policy, c ratelimit.Caller, n int) ratelimit.Decision {
	tb.Helper()
	d, err := l.Take(tb.Context(), p, c, n)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestABucketIsSpentAndFillsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 0)
		p := policy(t, "p", "60/m", 3)
		for left := 2; left >= 0; left-- {
			d := take(t, l, p, "a", 1)
			if !d.Allowed || d.Remaining != left || d.Limit != 3 || d.RetryAfter != 0 || d.ResetAfter != time.Duration(3-left)*time.Second {
				t.Errorf("with %d left: %+v", left, d)
			}
		}
		d := take(t, l, p, "a", 1)
		if d.Allowed || d.Remaining != 0 || d.RetryAfter != time.Second || d.ResetAfter != 3*time.Second {
			t.Errorf("spent: %+v", d)
		}
		if d := take(t, l, p, "b", 1); !d.Allowed {
			t.Error("another caller is refused")
		}
		if d := take(t, l, policy(t, "q", "60/m", 3), "a", 1); !d.Allowed {
			t.Error("another policy refuses")
		}
		time.Sleep(d.RetryAfter - time.Millisecond)
		if d := take(t, l, p, "a", 1); d.Allowed || d.RetryAfter != time.Millisecond {
			t.Errorf("too early: %+v", d)
		}
		time.Sleep(time.Millisecond)
		if d := take(t, l, p, "a", 1); !d.Allowed {
			t.Errorf("in time: %+v", d)
		}
	})
}

func TestALookTakesNothingAndIsRefusedWhenNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { lookTest(t, newLocal(t, 0), time.Sleep) })
}

// lookTest wants a limiter on which wait passes time.
func lookTest(t *testing.T, l ratelimit.Limiter, wait func(time.Duration)) {
	t.Helper()
	p := policy(t, "p", "1/s", 2)
	for range 10 {
		if d := take(t, l, p, "a", 0); !d.Allowed || d.Remaining != 2 || d.ResetAfter != 0 {
			t.Fatalf("a look at a full bucket: %+v", d)
		}
	}
	take(t, l, p, "a", 1)
	if d := take(t, l, p, "a", 0); !d.Allowed || d.Remaining != 1 {
		t.Errorf("a look at one event: %+v", d)
	}
	take(t, l, p, "a", 1)
	d := take(t, l, p, "a", 0)
	if d.Allowed || d.Remaining != 0 || d.RetryAfter <= 0 || d.RetryAfter > time.Second {
		t.Errorf("a look at nothing: %+v", d)
	}
	wait(d.RetryAfter)
	if d := take(t, l, p, "a", 0); !d.Allowed {
		t.Errorf("a look when one came back: %+v", d)
	}
	if d := take(t, l, p, "a", 1); !d.Allowed {
		t.Errorf("taking what a look saw: %+v", d)
	}
}

func TestSeveralAreTakenTogetherOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { severalTest(t, newLocal(t, 0)) })
}

func severalTest(t *testing.T, l ratelimit.Limiter) {
	t.Helper()
	p := policy(t, "p", "1/m", 10)
	if d := take(t, l, p, "a", 7); !d.Allowed || d.Remaining != 3 {
		t.Errorf("7 of 10: %+v", d)
	}
	d := take(t, l, p, "a", 5)
	if d.Allowed || d.Remaining != 3 || d.RetryAfter > 2*time.Minute || d.RetryAfter < 119*time.Second {
		t.Errorf("5 of 3: %+v", d)
	}
	if d := take(t, l, p, "a", 3); !d.Allowed || d.Remaining != 0 {
		t.Errorf("3 of 3: %+v", d)
	}
}

func TestAskingForMoreThanTheBurstIsAnErrorAndNoRefusal(t *testing.T) {
	for name, l := range map[string]ratelimit.Limiter{
		"local": newLocal(t, 0),
		"redis": ratelimit.NewRedis(startRedis(t).client()),
	} {
		p := policy(t, "p", "60/m", 3)
		if _, err := l.Take(t.Context(), p, "a", 4); !errors.Is(err, ratelimit.ErrOverBurst) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := l.TakeAll(t.Context(), ratelimit.Ask{Policy: p, Caller: "a", N: 4}); !errors.Is(err, ratelimit.ErrOverBurst) {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := l.Take(t.Context(), p, "a", -1); err == nil {
			t.Errorf("%s: less than nothing is taken", name)
		}
		if _, err := l.Take(t.Context(), ratelimit.Policy{Name: "p", Burst: 1}, "a", 1); err == nil {
			t.Errorf("%s: a policy without a rate holds", name)
		}
		if d := take(t, l, p, "a", 3); !d.Allowed {
			t.Errorf("%s: something was taken: %+v", name, d)
		}
	}
}

func TestAPolicyThatIsOffAllowsEverything(t *testing.T) {
	off := ratelimit.Policy{Name: "p", Rate: ratelimit.Off}
	for name, l := range map[string]ratelimit.Limiter{
		"local": newLocal(t, 0),
		"redis": ratelimit.NewRedis(startRedis(t).client()),
	} {
		for _, n := range []int{0, 1, 1_000_000_000} {
			if d := take(t, l, off, "a", n); !d.Allowed || d.Limit != 0 || d.Err() != nil {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
}

func TestOneRefusalOfSeveralQuestionsChargesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { takeAllTest(t, newLocal(t, 0)) })
}

func takeAllTest(t *testing.T, l ratelimit.Limiter) {
	t.Helper()
	wide, narrow := policy(t, "wide", "1/h", 5), policy(t, "narrow", "1/h", 1)
	off := ratelimit.Policy{Name: "off", Rate: ratelimit.Off}
	ask := func() []ratelimit.Decision {
		d, err := l.TakeAll(t.Context(),
			ratelimit.Ask{Policy: wide, Caller: "a", N: 1},
			ratelimit.Ask{Policy: off, Caller: "a", N: 1},
			ratelimit.Ask{Policy: narrow, Caller: "a", N: 1})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := ask()
	if len(d) != 3 || !d[0].Allowed || !d[1].Allowed || !d[2].Allowed || d[0].Remaining != 4 || d[2].Remaining != 0 {
		t.Fatalf("first: %+v", d)
	}
	for range 10 {
		d = ask()
		if !d[0].Allowed || !d[1].Allowed || d[2].Allowed || d[2].RetryAfter < 59*time.Minute {
			t.Fatalf("the second policy is spent: %+v", d)
		}
	}
	if d := take(t, l, wide, "a", 4); !d.Allowed {
		t.Errorf("the first policy was charged for refusals: %+v", d)
	}
}

// TestNoCallerGetsMoreThanBurstAndRate holds the limit itself, whoever asks
// when, in a limiter that is much too small for its callers.
func TestNoCallerGetsMoreThanBurstAndRate(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				p := policy(t, "p", fmt.Sprintf("%d/s", 1+random.IntN(20)), 1+random.IntN(20))
				l := newLocal(t, 1) // one caller a shard
				const callers = 400
				granted := map[int]int{}
				start := time.Now()
				for range 20_000 {
					time.Sleep(time.Duration(random.Int64N(int64(2 * time.Millisecond))))
					who, n := random.IntN(callers), random.IntN(p.Burst+1)
					d := take(t, l, p, ratelimit.Caller(fmt.Sprint(who)), n)
					if d.Allowed {
						granted[who] += n
					} else if d.RetryAfter <= 0 {
						t.Fatalf("a refusal without a time: %+v", d)
					}
				}
				perSecond := ratelimit.PerSecond(p.Rate)
				most := float64(p.Burst) + perSecond*time.Since(start).Seconds()
				total := 0
				for who, n := range granted {
					total += n
					if float64(n) > most+1e-3 {
						t.Errorf("caller %d got %d, the limit allows %.2f", who, n, most)
					}
				}
				if total == 0 {
					t.Error("nobody got anything")
				}
			})
		})
	}
}

func TestConcurrentCallersGetExactlyTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 0)
		p := policy(t, "p", "1/h", 50)
		concurrentTest(t, l, p)
	})
}

func concurrentTest(t *testing.T, l ratelimit.Limiter, p ratelimit.Policy) {
	t.Helper()
	const callers, each = 8, 100
	var granted [callers]atomic.Int64
	var all sync.WaitGroup
	for who := range callers * 4 {
		all.Go(func() {
			for range each {
				d, err := l.Take(context.Background(), p, ratelimit.Caller(fmt.Sprint(who%callers)), 1)
				if err != nil {
					t.Error(err)
				}
				if d.Allowed {
					granted[who%callers].Add(1)
				}
			}
		})
	}
	all.Wait()
	for who := range granted {
		if n := granted[who].Load(); n != int64(p.Burst) {
			t.Errorf("caller %d got %d of %d", who, n, p.Burst)
		}
	}
}

func TestAFloodOfNewCallersResetsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 64)
		p := policy(t, "p", "10/m", 10)
		// Every slot is taken by a caller that has spent something.
		var spent []ratelimit.Caller
		for i := range 64 * 20 {
			c := ratelimit.Caller(fmt.Sprint("old", i))
			if d := take(t, l, p, c, 10); d.Allowed {
				spent = append(spent, c)
			}
		}
		for i := range 10_000 {
			take(t, l, p, ratelimit.Caller(fmt.Sprint("new", i)), 1)
		}
		for _, c := range spent {
			if d := take(t, l, p, c, 1); d.Allowed {
				t.Errorf("%s has something left again: %+v", c, d)
			}
		}
		if n := ratelimit.CallersHeld(l, p); n > 64 {
			t.Errorf("%d callers are held, there is room for 64", n)
		}
		// Once the old buckets are full, newcomers get their own.
		time.Sleep(time.Minute)
		allowed := 0
		for i := range 64 {
			if take(t, l, p, ratelimit.Caller(fmt.Sprint("late", i)), 10).Allowed {
				allowed++
			}
		}
		if allowed < 32 {
			t.Errorf("only %d of 64 newcomers got a burst", allowed)
		}
	})
}

func TestNewcomersWithoutRoomShareAndAreStillLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLocal(t, 1)
		p := policy(t, "p", "1/h", 10)
		total := 0
		for i := range 100_000 {
			if take(t, l, p, ratelimit.Caller(fmt.Sprint(i)), 1).Allowed {
				total++
			}
		}
		// 64 shards: one own bucket, from which one event is taken, and 16 shared.
		if most := 64*1 + 64*16*10; total > most || total < most/2 {
			t.Errorf("%d events for 100,000 newcomers, want at most %d and not much less", total, most)
		}
	})
}

func TestALocalLimiterNeedsRoom(t *testing.T) {
	if _, err := ratelimit.NewLocal(-1, nil); err == nil {
		t.Error("room for -1 callers is taken")
	}
}

func TestTheClockIsTheOneGiven(t *testing.T) {
	now := time.Unix(0, 0)
	l, err := ratelimit.NewLocal(0, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	p := policy(t, "p", "1/h", 1)
	take(t, l, p, "a", 1)
	now = now.Add(time.Hour)
	if d := take(t, l, p, "a", 1); !d.Allowed {
		t.Errorf("after an hour: %+v", d)
	}
	now = now.Add(-24 * time.Hour)
	if d := take(t, l, p, "a", 1); d.Allowed {
		t.Errorf("a clock that went back gives an event: %+v", d)
	}
}
