package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// Redis counts in Redis, for all gateways that share it. The arithmetic is that
// of redis_rate: one script on one key for each question, so that it runs on a
// cluster as well, by the clock of Redis. A key lives until its bucket is full.
//
// It has no time limit of its own and fails when Redis does: see [Failover].
type Redis struct {
	limiter *redis_rate.Limiter
}

var _ Limiter = (*Redis)(nil)

// NewRedis returns a limiter over client: a *redis.Client, a *redis.ClusterClient
// or a *redis.AutoPipeliner of one. With AsyncAutoPipeline the questions of
// requests that run at the same time share pipelines, which costs Redis and the
// gateway the least; a question given up early then costs nothing more, while
// on other clients it holds a goroutine until the client's own time limits end
// it. A client that repeats a command whose answer was lost (MaxRetries) can
// charge a caller for it more than once.
func NewRedis(client redis.UniversalClient) *Redis {
	return &Redis{limiter: redis_rate.NewLimiter(newScripts(client))}
}

// Take implements [Limiter].
func (l *Redis) Take(ctx context.Context, p Policy, c Caller, n int) (Decision, error) {
	if err := p.check(n); err != nil {
		return Decision{}, err
	}
	return l.ask(ctx, Ask{p, c, n})
}

// TakeAll implements [Limiter]. It asks all questions at once, and gives back
// what was taken when one is refused.
func (l *Redis) TakeAll(ctx context.Context, asks ...Ask) ([]Decision, error) {
	for _, a := range asks {
		if err := a.Policy.check(a.N); err != nil {
			return nil, err
		}
	}
	decisions, err := l.together(ctx, asks)
	if err != nil {
		return nil, err
	}
	var back []Ask
	refused := false
	for i, a := range asks {
		if !decisions[i].Allowed {
			refused = true
		} else if a.N > 0 && !a.Policy.Rate.IsOff() {
			back = append(back, Ask{a.Policy, a.Caller, -a.N})
		}
	}
	if !refused || len(back) == 0 {
		return decisions, nil
	}
	returned, err := l.together(ctx, back)
	if err != nil {
		return nil, err
	}
	for i, a := range asks {
		if len(returned) > 0 && decisions[i].Allowed && a.N > 0 && !a.Policy.Rate.IsOff() {
			decisions[i], returned = returned[0], returned[1:]
		}
	}
	return decisions, nil
}

// together asks all questions at once: the last in this goroutine, since most
// often there are but two.
func (l *Redis) together(ctx context.Context, asks []Ask) ([]Decision, error) {
	decisions := make([]Decision, len(asks))
	errs := make([]error, len(asks))
	var others sync.WaitGroup
	for i, a := range asks {
		if i == len(asks)-1 {
			decisions[i], errs[i] = l.ask(ctx, a)
			break
		}
		others.Go(func() { decisions[i], errs[i] = l.ask(ctx, a) })
	}
	others.Wait()
	return decisions, errors.Join(errs...)
}

// ask asks one question that was checked. An N below zero gives back what was
// taken; the script's arithmetic allows it, and the bucket never gets more than
// full. (One that is full but for less than what is given back keeps lacking
// that: the script writes no time that is past.)
func (l *Redis) ask(ctx context.Context, a Ask) (Decision, error) {
	p := a.Policy
	if p.Rate.IsOff() {
		return unlimited(p), nil
	}
	limit := redis_rate.Limit{Rate: p.Rate.events, Burst: p.Burst, Period: p.Rate.per}
	res, err := l.limiter.AllowN(ctx, p.Key(a.Caller), limit, a.N)
	if err != nil {
		return Decision{}, fmt.Errorf("ratelimit: asking Redis about policy %s: %w", p.Name, err)
	}
	reset := res.ResetAfter.Seconds()
	var allowed bool
	switch {
	case a.N > 0:
		allowed = res.Allowed == a.N
	case a.N < 0:
		allowed = true
	default:
		// Asked for nothing, the script allows even when less than one event is
		// left, and calls zero what it allowed either way. What it says about the
		// reset is right in both cases, and exact, unlike what it says remains.
		allowed = reset <= (float64(p.Burst-1)+slack)*p.Rate.interval()
	}
	return decide(p, max(a.N, 0), allowed, reset), nil
}
