package ratelimit_test

import (
	"context"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/ratelimit"
)

var slow = ratelimit.Policy{Name: "slow", Rate: rate("1/h"), Burst: 100}

func rate(text string) ratelimit.Rate {
	r, err := ratelimit.ParseRate(text)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return r
}

func TestOneCallersFloodIsCountedExactlyAndCostsRedisFewScripts(t *testing.T) {
	const requests = 1000
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) {
		s.do("CONFIG", "RESETSTAT")
		var allowed, refused atomic.Int64
		var group sync.WaitGroup
		start := make(chan struct{})
		for range requests {
			group.Go(func() {
				<-start
				d, err := l.Take(context.Background(), slow, "192.0.2.7", 1)
				switch {
				case err != nil:
					t.Error(err)
				case d.Allowed:
					allowed.Add(1)
				default:
					refused.Add(1)
					if d.Remaining != 0 || d.RetryAfter <= 0 || d.RetryAfter > time.Hour {
						t.Errorf("refused with %d left, to come back in %v", d.Remaining, d.RetryAfter)
					}
				}
			})
		}
		close(start)
		group.Wait()
		if allowed.Load() != int64(slow.Burst) || refused.Load() != requests-int64(slow.Burst) {
			t.Errorf("%d were allowed and %d refused, want %d and %d", allowed.Load(), refused.Load(), slow.Burst, requests-slow.Burst)
		}
		if n := s.calls("evalsha"); n == 0 || n > requests/4 {
			t.Errorf("%d requests cost %d scripts", requests, n)
		}
	})
}

// calls is how often the server ran a command since CONFIG RESETSTAT.
func (s *redisServer) calls(command string) int {
	s.tb.Helper()
	found := regexp.MustCompile(`cmdstat_` + command + `:calls=(\d+)`).FindStringSubmatch(s.do("INFO", "commandstats"))
	if found == nil {
		return 0
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		s.tb.Fatal(err)
	}
	return n
}

func TestAFloodOfLooksAtOneCallerCostsRedisFewCommands(t *testing.T) {
	const requests = 1000
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) {
		for _, spent := range []int{0, 3} {
			if spent > 0 {
				take(t, l, slow, "192.0.2.7", spent)
			}
			s.do("CONFIG", "RESETSTAT")
			var group sync.WaitGroup
			start := make(chan struct{})
			for range requests {
				group.Go(func() {
					<-start
					d, err := l.Take(context.Background(), slow, "192.0.2.7", 0)
					if err != nil || !d.Allowed || d.Remaining != slow.Burst-spent {
						t.Errorf("after %d events: %+v, %v", spent, d, err)
					}
				})
			}
			close(start)
			group.Wait()
			looks, scripts := s.calls("exists"), s.calls("evalsha")
			if looks == 0 || looks > requests/4 {
				t.Errorf("after %d events, %d looks cost %d EXISTS", spent, requests, looks)
			}
			if want := min(spent, 1) * looks; scripts != want {
				t.Errorf("after %d events, %d EXISTS were followed by %d scripts, want %d", spent, looks, scripts, want)
			}
		}
	})
}

func TestALookThatBeganAfterAFailureWasChargedSeesIt(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) {
		ctx, stop := context.WithCancel(t.Context())
		var others sync.WaitGroup
		defer others.Wait()
		defer stop()
		for range 32 { // keep a look under way that began before
			others.Go(func() {
				for ctx.Err() == nil {
					if _, err := l.Take(ctx, slow, "192.0.2.7", 0); err != nil && ctx.Err() == nil {
						t.Error(err)
						return
					}
				}
			})
		}
		for charged := 1; charged <= slow.Burst; charged++ {
			take(t, l, slow, "192.0.2.7", 1)
			if d := take(t, l, slow, "192.0.2.7", 0); d.Remaining != slow.Burst-charged || d.Allowed != (charged < slow.Burst) {
				t.Fatalf("after %d failures: %+v", charged, d)
			}
		}
	})
}

func TestAFloodLeavesAStoppedRedisWithItsContexts(t *testing.T) {
	failures := policy(t, "slow_failures", "1/h", 100)
	for _, tc := range []struct {
		name      string
		timeLimit time.Duration
		hangUp    bool
	}{
		{"that end", time.Hour, true},
		{"that have a time limit", 20 * time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, r := startRedis(t), newRecord()
			f := newFailover(t, ratelimit.FailoverConfig{
				Redis: ratelimit.NewRedis(s.pipelines()), TimeLimit: tc.timeLimit, TripAfter: 1000,
			}, r)
			defer f.Close()
			stopServer(t, s)
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			var begun, all sync.WaitGroup
			begun.Add(100)
			for range 100 {
				all.Go(func() {
					begun.Done()
					decisions, err := f.TakeAll(ctx,
						ratelimit.Ask{Policy: failures, Caller: "192.0.2.7"}, ratelimit.Ask{Policy: slow, Caller: "192.0.2.7", N: 1})
					if err != nil || !decisions[1].Allowed {
						t.Errorf("%+v, %v", decisions, err)
					}
				})
			}
			begun.Wait()
			if tc.hangUp {
				hangUp()
			}
			all.Wait()
			if n := r.count("slow", ratelimit.OutcomeFailover); n != 100 || f.State() != ratelimit.StateRedis {
				t.Errorf("%d of 100 questions were answered locally, state %s", n, f.State())
			}
		})
	}
}

func TestGatewaysThatAreFloodedTogetherGiveEachCallerExactlyTheBurst(t *testing.T) {
	s := startRedis(t)
	gateways := []ratelimit.Limiter{
		ratelimit.NewRedis(s.pipelines()), ratelimit.NewRedis(s.pipelines()), ratelimit.NewRedis(s.pipelines()),
	}
	p := policy(t, "p", "1/h", 20)
	for caller := range 100 {
		var granted atomic.Int64
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				d, err := gateways[i%len(gateways)].Take(t.Context(), p, ratelimit.Caller(strconv.Itoa(caller)), 1)
				if err != nil {
					t.Error(err)
				} else if d.Allowed {
					granted.Add(1)
				}
			})
		}
		group.Wait()
		if n := granted.Load(); n != int64(p.Burst) {
			t.Errorf("caller %d was let through %d times, want %d", caller, n, p.Burst)
		}
	}
}

func TestEachOfAFloodIsToldWhatIsLeftAfterIt(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) {
		const requests = 50
		var mu sync.Mutex
		left := map[int]int{}
		var group sync.WaitGroup
		for range requests {
			group.Go(func() {
				d, err := l.Take(context.Background(), slow, "192.0.2.8", 1)
				if err != nil || !d.Allowed {
					t.Errorf("%+v, %v", d, err)
				}
				mu.Lock()
				left[d.Remaining]++
				mu.Unlock()
			})
		}
		group.Wait()
		for n := slow.Burst - requests; n < slow.Burst; n++ {
			if left[n] != 1 {
				t.Errorf("%d were told that %d are left, want one", left[n], n)
			}
		}
	})
}

func TestWhoeverHasGoneIsNotCharged(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		var group sync.WaitGroup
		for i := range 40 {
			ctx := context.Background()
			if i%2 == 1 {
				ctx = gone
			}
			group.Go(func() { _, _ = l.Take(ctx, slow, "192.0.2.9", 1) })
		}
		group.Wait()
		d, err := l.Take(context.Background(), slow, "192.0.2.9", 0)
		if err != nil || d.Remaining != slow.Burst-20 {
			t.Errorf("%d are left, want %d; %v", d.Remaining, slow.Burst-20, err)
		}
	})
}
