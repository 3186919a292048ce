package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of [FailoverConfig].
const (
	// DefaultTimeLimit is how long a request waits for Redis.
	DefaultTimeLimit = 100 * time.Millisecond
	// DefaultTripAfter is how many times in a row Redis must fail.
	DefaultTripAfter = 3
	// DefaultProbeEvery is how often Redis is tried while it is away.
	DefaultProbeEvery = time.Second
)

// FailoverConfig is the configuration of a [Failover]. All numbers have a
// default that zero stands for.
type FailoverConfig struct {
	// Redis is asked first.
	Redis Limiter
	// Local decides while Redis is away.
	Local Limiter
	// Replicas is how many gateways share the policies, at most [MaxReplicas];
	// default 1. While Redis is away each has that part of every policy. A number
	// that is too small lets callers of several gateways take more in all, one
	// that is too large refuses them earlier.
	Replicas int
	// TimeLimit is how long a request waits for Redis; default [DefaultTimeLimit].
	// It ends up to a tenth earlier for some, together with what began before.
	TimeLimit time.Duration
	// TripAfter is how many times in a row Redis must fail before it counts as
	// away and requests stop asking it; default [DefaultTripAfter]. Questions that
	// wait at the same time and fail together count once: a pause shorter than
	// nine tenths of TripAfter time limits switches nothing.
	TripAfter int
	// ProbeEvery is how often Redis is tried while it counts as away; default
	// [DefaultProbeEvery].
	ProbeEvery time.Duration
	// Log gets one line each way; default [slog.Default].
	Log *slog.Logger
	// Observer is told of every question that Local answered and of each
	// passage; default none.
	Observer Observer
}

// Failover asks Redis and, when Redis fails or takes too long, decides by the
// in-process limit within the same request. It neither opens nor shuts.
//
// After failing TripAfter times in a row Redis counts as away: requests go to the
// in-process limit at once and one goroutine tries Redis, with a take that
// writes, on the node that failed, until it answers in time. What was spent on
// one side is not known on the other: a caller can spend one burst anew on the
// first passage to the in-process limit, and that limit remembers it for the
// next.
type Failover struct {
	config FailoverConfig
	limits timeLimits
	failed atomic.Int64 // times in a row that Redis failed
	away   atomic.Bool

	mu     sync.Mutex // guards closed and starting a probe
	closed bool
	stop   context.CancelFunc
	ended  context.Context
	probes sync.WaitGroup
}

var _ Limiter = (*Failover)(nil)

// NewFailover returns a limiter that must be closed after use.
func NewFailover(config FailoverConfig) (*Failover, error) {
	config.Replicas = defaulted(config.Replicas, 1)
	config.TimeLimit = defaulted(config.TimeLimit, DefaultTimeLimit)
	config.TripAfter = defaulted(config.TripAfter, DefaultTripAfter)
	config.ProbeEvery = defaulted(config.ProbeEvery, DefaultProbeEvery)
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Observer == nil {
		config.Observer = Unobserved{}
	}
	switch {
	case config.Redis == nil || config.Local == nil:
		return nil, errors.New("ratelimit: a failover needs a limiter in Redis and one in the process")
	case config.Replicas < 1 || config.Replicas > MaxReplicas:
		return nil, fmt.Errorf("ratelimit: %d replicas: it must be from 1 to %d", config.Replicas, MaxReplicas)
	case config.TimeLimit < 0 || config.TripAfter < 0 || config.ProbeEvery < 0:
		return nil, errors.New("ratelimit: time limit, trip-after and probe interval of a failover must not be negative")
	}
	f := &Failover{config: config, limits: timeLimits{length: config.TimeLimit}}
	f.ended, f.stop = context.WithCancel(context.Background())
	return f, nil
}

func defaulted[T comparable](given, standard T) T {
	var zero T
	if given == zero {
		return standard
	}
	return given
}

// State tells where decisions come from at this moment.
func (f *Failover) State() State {
	if f.away.Load() {
		return StateLocal
	}
	return StateRedis
}

// Close stops trying Redis and waits until that has ended. A closed Failover
// still decides.
func (f *Failover) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.stop()
	f.probes.Wait()
}

// Take implements [Limiter].
func (f *Failover) Take(ctx context.Context, p Policy, c Caller, n int) (Decision, error) {
	if err := p.check(n); err != nil {
		return Decision{}, err
	}
	if p.Rate.IsOff() {
		return unlimited(p), nil
	}
	if q, away := f.begin(ctx); !away {
		d, err := f.config.Redis.Take(&q.ctx, p, c, n)
		if f.answered(q, err, Ask{p, c, n}) {
			return d, nil
		}
	}
	local := f.part(Ask{p, c, n})
	return f.config.Local.Take(ctx, local.Policy, c, local.N)
}

// TakeAll implements [Limiter].
func (f *Failover) TakeAll(ctx context.Context, asks ...Ask) ([]Decision, error) {
	limited := false
	for _, a := range asks {
		if err := a.Policy.check(a.N); err != nil {
			return nil, err
		}
		limited = limited || !a.Policy.Rate.IsOff()
	}
	if limited {
		if q, away := f.begin(ctx); !away {
			decisions, err := f.config.Redis.TakeAll(&q.ctx, asks...)
			if f.answered(q, err, asks...) {
				return decisions, nil
			}
		}
	}
	parts := make([]Ask, len(asks))
	for i, a := range asks {
		parts[i] = f.part(a)
	}
	return f.config.Local.TakeAll(ctx, parts...)
}

// Reset implements [Limiter]. It fills both buckets; the one in Redis cannot be
// filled while Redis is away.
func (f *Failover) Reset(ctx context.Context, p Policy, c Caller) error {
	if err := f.config.Local.Reset(ctx, p.Divided(f.config.Replicas), c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.config.TimeLimit)
	defer cancel()
	return f.config.Redis.Reset(ctx, p, c)
}

// part is what is asked of the in-process limit instead of a: as much, but
// never more than the whole burst of this gateway's part, since that could never
// succeed.
func (f *Failover) part(a Ask) Ask {
	a.Policy = a.Policy.Divided(f.config.Replicas)
	if !a.Policy.Rate.IsOff() {
		a.N = min(a.N, a.Policy.Burst)
		f.config.Observer.Decided(a.Policy.Name, OutcomeFailover)
	}
	return a
}

// question is one that Redis is asked.
type question struct {
	ctx    limited
	before int64 // times in a row that Redis had failed when it was begun
}

// begin begins a question, unless Redis is away.
func (f *Failover) begin(ctx context.Context) (q *question, away bool) {
	if f.away.Load() {
		return nil, true
	}
	return &question{ctx: limited{Context: ctx, limit: f.limits.now()}, before: f.failed.Load()}, false
}

// answered ends a question, and tells from its error whether Redis answered.
func (f *Failover) answered(q *question, err error, asks ...Ask) bool {
	q.ctx.release()
	switch {
	case err == nil:
		if f.failed.Load() != 0 {
			f.failed.Store(0)
		}
		return true
	case q.ctx.Context.Err() != nil:
		// The caller has gone, or the request's own time is over: that says
		// nothing about Redis.
	case f.failed.CompareAndSwap(q.before, q.before+1) && q.before+1 >= int64(f.config.TripAfter):
		f.trip(asks, err)
	}
	return false
}

// trip goes over to the in-process limit and starts to try Redis.
func (f *Failover) trip(asks []Ask, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.away.Load() {
		return
	}
	probes := make([]Ask, len(asks))
	for i, a := range asks {
		probes[i] = probeOf(a)
	}
	f.away.Store(true)
	f.config.Log.Warn("limits are counted in this process: Redis does not answer",
		"error", cause, "replicas", f.config.Replicas, "next_try", f.config.ProbeEvery)
	f.config.Observer.Switched(StateLocal)
	f.probes.Go(func() { f.probe(probes) })
}

// probeOf is what Redis is tried with after a could not be asked: a take, which
// writes even where a only looked, of a key that dies within a second, in the
// slot of a's key. Braces make a cluster hash what is between them alone.
func probeOf(a Ask) Ask {
	return Ask{
		Policy: Policy{Name: "probe", Rate: Rate{events: MaxEvents, per: time.Second}, Burst: MaxBurst},
		Caller: Caller("{" + a.Policy.Key(a.Caller) + "}"),
		N:      1,
	}
}

// probe tries Redis until it answers in time.
func (f *Failover) probe(probes []Ask) {
	since := time.Now()
	ticker := time.NewTicker(f.config.ProbeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-f.ended.Done():
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(f.ended, f.config.TimeLimit)
		_, err := f.config.Redis.TakeAll(ctx, probes...)
		cancel()
		if err != nil {
			f.config.Log.Debug("Redis does not answer yet", "error", err)
			continue
		}
		f.failed.Store(0)
		f.away.Store(false)
		f.config.Log.Info("limits are counted in Redis again", "away", time.Since(since))
		f.config.Observer.Switched(StateRedis)
		return
	}
}
