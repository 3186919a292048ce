package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/trackgate/trackgate/ratelimit"
)

// record is an observer and a log that remember.
type record struct {
	mu       sync.Mutex
	counts   map[string]int
	log      bytes.Buffer
	switched chan ratelimit.State
}

func newRecord() *record {
	return &record{counts: map[string]int{}, switched: make(chan ratelimit.State, 100)}
}

func (r *record) Decided(policy string, outcome ratelimit.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[policy+" "+string(outcome)]++
}

func (r *record) Switched(to ratelimit.State) { r.switched <- to }

func (r *record) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(line)
}

func (r *record) count(policy string, outcome ratelimit.Outcome) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[policy+" "+string(outcome)]
}

// lines is how many log lines hold text.
func (r *record) lines(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

func (r *record) expect(t *testing.T, want ratelimit.State) {
	t.Helper()
	if got := <-r.switched; got != want {
		t.Fatalf("went over to %s, want %s", got, want)
	}
}

func newFailover(tb testing.TB, config ratelimit.FailoverConfig, r *record) *ratelimit.Failover {
	tb.Helper()
	if config.Local == nil {
		config.Local = newLocal(tb, 0)
	}
	if r != nil {
		config.Log, config.Observer = slog.New(slog.NewTextHandler(r, nil)), r
	}
	f, err := ratelimit.NewFailover(config)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

const (
	lineAway = "limits are counted in this process"
	lineBack = "limits are counted in Redis again"
)

// unsteady is a limiter that answers as Local does, unless it is told to fail or
// to hang.
type unsteady struct {
	ratelimit.Limiter
	fails, hangs atomic.Bool
	asked        atomic.Int64
}

var errUnsteady = errors.New("connection refused")

func (u *unsteady) TakeAll(ctx context.Context, asks ...ratelimit.Ask) ([]ratelimit.Decision, error) {
	u.asked.Add(1)
	if u.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if u.fails.Load() {
		return nil, errUnsteady
	}
	return u.Limiter.TakeAll(ctx, asks...)
}

func (u *unsteady) Take(ctx context.Context, p ratelimit.Policy, c ratelimit.Caller, n int) (ratelimit.Decision, error) {
	d, err := u.TakeAll(ctx, ratelimit.Ask{Policy: p, Caller: c, N: n})
	if err != nil {
		return ratelimit.Decision{}, err
	}
	return d[0], nil
}

func TestADeadRedisCostsNotEveryRequestTheTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, r := &unsteady{Limiter: newLocal(t, 0)}, newRecord()
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary, Replicas: 2}, r)
		defer f.Close()
		p := policy(t, "p", "60/m", 20)
		if d := take(t, f, p, "a", 1); d.Limit != 20 || f.State() != ratelimit.StateRedis {
			t.Errorf("%+v in state %s", d, f.State())
		}

		primary.hangs.Store(true)
		start := time.Now()
		for i := range 5 {
			if d := take(t, f, p, "a", 1); !d.Allowed || d.Limit != 10 || d.Remaining != 9-i {
				t.Errorf("question %d, half the policy: %+v", i, d)
			}
		}
		if took, most := time.Since(start), ratelimit.DefaultTripAfter*ratelimit.DefaultTimeLimit; took != most {
			t.Errorf("five requests waited %v in all, want %v", took, most)
		}
		r.expect(t, ratelimit.StateLocal)
		if f.State() != ratelimit.StateLocal || r.count("p", ratelimit.OutcomeFailover) != 5 || r.lines(lineAway) != 1 {
			t.Errorf("state %s, %d questions answered locally, %d lines", f.State(), r.count("p", ratelimit.OutcomeFailover), r.lines(lineAway))
		}

		// Still hanging: one probe a second, and none of it in requests.
		asked := primary.asked.Load()
		time.Sleep(10*time.Second + ratelimit.DefaultTimeLimit)
		if n := primary.asked.Load() - asked; n != 10 {
			t.Errorf("%d probes in ten seconds", n)
		}
		primary.hangs.Store(false)
		r.expect(t, ratelimit.StateRedis)
		if d := take(t, f, p, "a", 1); d.Limit != 20 || f.State() != ratelimit.StateRedis || r.lines(lineBack) != 1 {
			t.Errorf("%+v in state %s with %d lines", d, f.State(), r.lines(lineBack))
		}
	})
}

func TestOneFailureIsAnsweredLocallyAndSwitchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, r := &unsteady{Limiter: newLocal(t, 0)}, newRecord()
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary}, r)
		defer f.Close()
		p := policy(t, "p", "60/m", 20)
		for range 10 {
			primary.fails.Store(true)
			take(t, f, p, "a", 1)
			take(t, f, p, "a", 0)
			primary.fails.Store(false)
			take(t, f, p, "a", 1)
		}
		if f.State() != ratelimit.StateRedis || r.count("p", ratelimit.OutcomeFailover) != 20 {
			t.Errorf("state %s, %d questions answered locally", f.State(), r.count("p", ratelimit.OutcomeFailover))
		}
	})
}

func TestOnePauseUnderLoadSwitchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, r := &unsteady{Limiter: newLocal(t, 0)}, newRecord()
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary}, r)
		defer f.Close()
		p := policy(t, "p", "60/m", 200)
		ask := func() {
			var all sync.WaitGroup
			for range 128 {
				all.Go(func() { take(t, f, p, "a", 1) })
			}
			all.Wait()
		}
		primary.hangs.Store(true)
		for range ratelimit.DefaultTripAfter - 1 {
			ask()
		}
		if f.State() != ratelimit.StateRedis || r.count("p", ratelimit.OutcomeFailover) != 2*128 {
			t.Errorf("state %s, %d questions answered locally", f.State(), r.count("p", ratelimit.OutcomeFailover))
		}
		ask()
		r.expect(t, ratelimit.StateLocal)
	})
}

func TestACallerThatGoesAwaySaysNothingAboutRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary := &unsteady{Limiter: newLocal(t, 0)}
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary}, newRecord())
		defer f.Close()
		primary.hangs.Store(true)
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := f.Take(ctx, policy(t, "p", "60/m", 20), "a", 1); err != nil {
				t.Error(err)
			}
			cancel()
		}
		if f.State() != ratelimit.StateRedis {
			t.Errorf("state %s", f.State())
		}
	})
}

func TestALargeQuestionPassesOnASmallPartOfThePolicy(t *testing.T) {
	primary := &unsteady{Limiter: newLocal(t, 0)}
	primary.fails.Store(true)
	f := newFailover(t, ratelimit.FailoverConfig{Redis: primary, Replicas: 10}, newRecord())
	defer f.Close()
	p := policy(t, "p", "60/m", 20)
	if d := take(t, f, p, "a", 15); !d.Allowed || d.Limit != 2 || d.Remaining != 0 {
		t.Errorf("%+v", d)
	}
	if _, err := f.Take(t.Context(), p, "a", 21); !errors.Is(err, ratelimit.ErrOverBurst) {
		t.Errorf("error %v", err)
	}
	if _, err := f.TakeAll(t.Context(), ratelimit.Ask{Policy: p, Caller: "a", N: 21}); !errors.Is(err, ratelimit.ErrOverBurst) {
		t.Errorf("error %v", err)
	}
}

func TestPoliciesThatAreOffNeverAskRedis(t *testing.T) {
	primary := &unsteady{Limiter: newLocal(t, 0)}
	f := newFailover(t, ratelimit.FailoverConfig{Redis: primary}, newRecord())
	defer f.Close()
	off := ratelimit.Policy{Name: "off", Rate: ratelimit.Off}
	take(t, f, off, "a", 1)
	d, err := f.TakeAll(t.Context(), ratelimit.Ask{Policy: off, N: 1}, ratelimit.Ask{Policy: off})
	if err != nil || len(d) != 2 || !d[0].Allowed || !d[1].Allowed || primary.asked.Load() != 0 {
		t.Errorf("%+v, %v, asked %d times", d, err, primary.asked.Load())
	}
}

func TestAClosedFailoverStillDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		primary, r := &unsteady{Limiter: newLocal(t, 0)}, newRecord()
		f := newFailover(t, ratelimit.FailoverConfig{Redis: primary}, r)
		primary.fails.Store(true)
		p := policy(t, "p", "60/m", 20)
		for range 5 {
			take(t, f, p, "a", 1)
		}
		r.expect(t, ratelimit.StateLocal)
		f.Close()
		f.Close()
		if d := take(t, f, p, "a", 1); !d.Allowed || d.Remaining != 14 {
			t.Errorf("%+v", d)
		}
		// The bubble ends only when the probing goroutine has.
	})
}

func TestAWrongFailoverIsRefused(t *testing.T) {
	l := newLocal(t, 0)
	for name, c := range map[string]ratelimit.FailoverConfig{
		"no Redis":           {Local: l},
		"no local limiter":   {Redis: l},
		"negative replicas":  {Redis: l, Local: l, Replicas: -1},
		"too many replicas":  {Redis: l, Local: l, Replicas: ratelimit.MaxReplicas + 1},
		"negative time":      {Redis: l, Local: l, TimeLimit: -1},
		"negative trip":      {Redis: l, Local: l, TripAfter: -1},
		"negative intervals": {Redis: l, Local: l, ProbeEvery: -1},
	} {
		if _, err := ratelimit.NewFailover(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Below, a real server is made to fail in every way that is cheap to have.

// realFailover is a failover over s that looks often. Its time limit is one that
// a busy machine keeps.
func realFailover(t *testing.T, client redis.UniversalClient) (*ratelimit.Failover, *record) {
	t.Helper()
	r := newRecord()
	f := newFailover(t, ratelimit.FailoverConfig{
		Redis:      ratelimit.NewRedis(client),
		Replicas:   2,
		TimeLimit:  time.Second,
		ProbeEvery: 10 * time.Millisecond,
	}, r)
	t.Cleanup(f.Close)
	return f, r
}

// overClients runs test over plain clients and over shared pipelines.
func overClients(t *testing.T, test func(*testing.T, *redisServer, *ratelimit.Failover, *record)) {
	t.Run("plain", func(t *testing.T) {
		s := startRedis(t)
		f, r := realFailover(t, s.client())
		test(t, s, f, r)
	})
	t.Run("shared pipelines", func(t *testing.T) {
		s := startRedis(t)
		f, r := realFailover(t, s.pipelines())
		test(t, s, f, r)
	})
}

// spendLocally holds that requests are answered while Redis is away, by half the
// policy and no more. Up to TripAfter of them find that out.
func spendLocally(t *testing.T, f *ratelimit.Failover, r *record, caller ratelimit.Caller) {
	t.Helper()
	p := policy(t, "p", "1/h", 20)
	granted := 0
	for range 30 {
		if take(t, f, p, caller, 1).Allowed {
			granted++
		}
	}
	r.expect(t, ratelimit.StateLocal)
	if granted != 10 || f.State() != ratelimit.StateLocal {
		t.Errorf("%d requests passed in state %s, want half the burst of 20", granted, f.State())
	}
	if n := r.count("p", ratelimit.OutcomeFailover); n != 30 {
		t.Errorf("%d of 30 questions count as answered locally", n)
	}
}

func backAtRedis(t *testing.T, f *ratelimit.Failover, r *record, caller ratelimit.Caller, remaining int) {
	t.Helper()
	r.expect(t, ratelimit.StateRedis)
	d := take(t, f, policy(t, "p", "1/h", 20), caller, 1)
	if f.State() != ratelimit.StateRedis || d.Limit != 20 || d.Remaining != remaining {
		t.Errorf("back in state %s: %+v", f.State(), d)
	}
	if r.lines(lineAway) != 1 || r.lines(lineBack) != 1 {
		t.Errorf("%d lines away, %d lines back", r.lines(lineAway), r.lines(lineBack))
	}
}

func TestTheLimitHoldsWhileRedisIsKilledAndRestarted(t *testing.T) {
	overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
		take(t, f, policy(t, "p", "1/h", 20), "a", 1)
		s.kill()
		spendLocally(t, f, r, "a")
		s.start("Ready to accept connections")
		backAtRedis(t, f, r, "a", 19)
	})
}

func TestTheLimitHoldsWhileRedisIsPaused(t *testing.T) {
	overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
		take(t, f, policy(t, "p", "1/h", 20), "a", 1)
		stopServer(t, s)
		spendLocally(t, f, r, "b")
		s.signal(syscall.SIGCONT)
		backAtRedis(t, f, r, "a", 18)
	})
}

// stopServer pauses the server until the test ends or continues it.
func stopServer(t *testing.T, s *redisServer) {
	t.Helper()
	s.signal(syscall.SIGSTOP)
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
}

func TestTheLimitHoldsWhileRedisCannotWrite(t *testing.T) {
	for _, tc := range []struct {
		name       string
		begin, end []any
	}{
		{"a replica", []any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
		{"out of memory", []any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		{"too few replicas", []any{"CONFIG", "SET", "min-replicas-to-write", "1"}, []any{"CONFIG", "SET", "min-replicas-to-write", "0"}},
		{"no rights", []any{"ACL", "SETUSER", "default", "-evalsha", "-eval"}, []any{"ACL", "SETUSER", "default", "+@all"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
				take(t, f, policy(t, "p", "1/h", 20), "a", 1)
				s.do(tc.begin...)
				spendLocally(t, f, r, "a")
				s.do(tc.end...)
				backAtRedis(t, f, r, "a", 18)
			})
		})
	}
}

func TestTheLimitHoldsWhileRedisIsLoading(t *testing.T) {
	s := startRedis(t)
	// The server looks at commands after every 1024 bytes that it has loaded.
	s.do("CONFIG", "SET", "rdbcompression", "no")
	for i := range 200 {
		s.do("SET", "key"+strconv.Itoa(i), strings.Repeat("v", 2048))
	}
	s.do("SAVE")
	s.kill()
	s.start("Server initialized", "--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
	f, r := realFailover(t, s.pipelines())
	spendLocally(t, f, r, "a")
	if r.lines("LOADING") != 1 {
		t.Errorf("the log does not say that Redis is loading:\n%s", r.log.String())
	}
	s.do("CONFIG", "SET", "key-load-delay", "0")
	backAtRedis(t, f, r, "a", 19)
}
