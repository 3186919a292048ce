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
		found := regexp.MustCompile(`cmdstat_evalsha:calls=(\d+)`).FindStringSubmatch(s.do("INFO", "commandstats"))
		if found == nil {
			t.Fatal("Redis ran no script")
		}
		if scripts, _ := strconv.Atoi(found[1]); scripts > requests/4 {
			t.Errorf("%d requests cost %d scripts", requests, scripts)
		}
	})
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
