package ratelimit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/ratelimit"
)

func TestEveryRequestWaitsForRedisNineTenthsOfTheTimeLimitAtLeastAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary := &unsteady{Limiter: newLocal(t, 0)}
		primary.hangs.Store(true)
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary, TripAfter: 1000}, newRecord())
		defer f.Close()
		p := policy(t, "p", "1/h", 1000)
		var all sync.WaitGroup
		for i := range 300 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				start := time.Now()
				take(t, f, p, "a", 1)
				if took := time.Since(start); took > ratelimit.DefaultTimeLimit || took < ratelimit.DefaultTimeLimit*9/10 {
					t.Errorf("the request of %d ms waited %v", i, took)
				}
			})
		}
		all.Wait()
	})
}

// inspecting is a limiter that shows the context of a question.
type inspecting struct {
	ratelimit.Limiter
	inspect func(context.Context)
}

func (i inspecting) Take(ctx context.Context, p ratelimit.Policy, c ratelimit.Caller, n int) (ratelimit.Decision, error) {
	i.inspect(ctx)
	return i.Limiter.Take(ctx, p, c, n)
}

func TestTheContextOfAQuestionEndsWithTheRequestsAndWithTheTimeLimit(t *testing.T) {
	type key struct{}
	for _, tc := range []struct {
		name     string
		end      func(cancel context.CancelFunc)
		own      time.Duration // that the request has anyway
		deadline time.Duration
		err      error
	}{
		{"by itself", func(context.CancelFunc) {}, time.Hour, ratelimit.DefaultTimeLimit, context.DeadlineExceeded},
		{"with the request's time", func(context.CancelFunc) {}, time.Millisecond, time.Millisecond, context.DeadlineExceeded},
		{"with the request", func(cancel context.CancelFunc) { cancel() }, time.Hour, ratelimit.DefaultTimeLimit, context.Canceled},
	} {
		for _, waits := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				own, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "kept"), tc.own)
				defer cancel()
				var seen context.Context
				f := newFailover(t, ratelimit.FailoverConfig{Local: newLocal(t, 0), Redis: inspecting{newLocal(t, 0), func(ctx context.Context) {
					seen = ctx
					if d, ok := ctx.Deadline(); !ok || time.Until(d) != tc.deadline {
						t.Errorf("%s: its deadline is in %v, %t", tc.name, time.Until(d), ok)
					}
					if ctx.Err() != nil || ctx.Value(key{}) != "kept" {
						t.Errorf("%s: before: %v, %v", tc.name, ctx.Err(), ctx.Value(key{}))
					}
					if waits {
						below, stop := context.WithCancel(ctx)
						defer stop()
						tc.end(cancel)
						<-below.Done()
					} else {
						tc.end(cancel)
						time.Sleep(tc.deadline)
						synctest.Wait()
					}
					if !errors.Is(ctx.Err(), tc.err) {
						t.Errorf("%s: waits %t: %v, want %v", tc.name, waits, ctx.Err(), tc.err)
					}
				}}}, newRecord())
				defer f.Close()
				if _, err := f.Take(own, policy(t, "p", "60/m", 20), "a", 1); err != nil {
					t.Error(err)
				}
				<-seen.Done() // whoever kept the context is told as well
				if seen.Err() == nil {
					t.Errorf("%s: no error after the end", tc.name)
				}
			})
		}
	}
}
