package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"

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
	scripts *scripts
	gather  gather
	// refused remembers, by the hash of their first key, questions of which one
	// was refused after another was granted. They are asked one by one the next
	// time, so that a caller that keeps coming costs Redis one script and not
	// three. It is a guess that costs nothing when it is wrong.
	refused [refusedSlots]atomic.Uint64
	seed    maphash.Seed
}

// refusedSlots is for how many sets of questions Redis remembers a refusal.
const refusedSlots = 4096

var _ Limiter = (*Redis)(nil)

// NewRedis returns a limiter over client: a *redis.Client, a *redis.ClusterClient
// or a *redis.AutoPipeliner of one. With AsyncAutoPipeline the questions of
// requests that run at the same time share pipelines, which costs Redis and the
// gateway the least; a question given up early then costs nothing more, while
// on other clients it holds a goroutine until the client's own time limits end
// it. Those limits also say how long a connection that was lost silently holds
// up what comes after it. A client that repeats a command whose answer was lost
// (MaxRetries) can charge a caller for it more than once.
func NewRedis(client redis.UniversalClient) *Redis {
	scripts := newScripts(client)
	return &Redis{limiter: redis_rate.NewLimiter(scripts), scripts: scripts, gather: gather{waiting: map[bucket][]*want{}}, seed: maphash.MakeSeed()}
}

// Take implements [Limiter].
func (l *Redis) Take(ctx context.Context, p Policy, c Caller, n int) (Decision, error) {
	if err := p.check(n); err != nil {
		return Decision{}, err
	}
	return l.ask(ctx, Ask{p, c, n})
}

// TakeAll implements [Limiter]. It asks all questions in one round trip, and
// gives back what was taken when one is refused. What is given back to a bucket
// that was full stays missing for as long as it takes to fill, because the
// script never writes a time that is past.
func (l *Redis) TakeAll(ctx context.Context, asks ...Ask) ([]Decision, error) {
	for _, a := range asks {
		if err := a.Policy.check(a.N); err != nil {
			return nil, err
		}
	}
	if len(asks) == 0 {
		return nil, nil
	}
	hash := maphash.String(l.seed, asks[0].Policy.Key(asks[0].Caller)) | 1 // zero is nobody's
	before := &l.refused[hash/2%refusedSlots]
	guessRefusal := before.Load() == hash

	decisions := make([]Decision, len(asks))
	for i, a := range asks {
		decisions[i] = unlimited(a.Policy)
	}
	var err error
	if guessRefusal {
		err = l.oneByOne(ctx, asks, decisions)
	} else {
		err = l.together(ctx, asks, decisions)
	}
	if err != nil {
		return nil, err
	}
	if allowed(decisions) {
		if guessRefusal {
			before.Store(0)
		}
		return decisions, nil
	}
	var taken []Ask
	for i, a := range asks {
		if d := decisions[i]; d.Allowed && d.Limit > 0 && a.N > 0 {
			taken = append(taken, Ask{a.Policy, a.Caller, -a.N})
		}
	}
	if len(taken) > 0 {
		before.Store(hash)
		if err := l.together(ctx, taken, make([]Decision, len(taken))); err != nil {
			return nil, err
		}
	}
	return decisions, nil
}

// Reset implements [Limiter].
func (l *Redis) Reset(ctx context.Context, p Policy, c Caller) error {
	del := redis.NewIntCmd(ctx, "del", p.Key(c))
	if err := l.scripts.begin(ctx, del)(); err != nil {
		return askError(p, err)
	}
	return nil
}

// oneByOne asks until one question is refused.
func (l *Redis) oneByOne(ctx context.Context, asks []Ask, decisions []Decision) (err error) {
	for i, a := range asks {
		if decisions[i], err = l.ask(ctx, a); err != nil || decisions[i].refuses() {
			return err
		}
	}
	return nil
}

// together asks all questions at once. Of several that take, one pipeline is made.
// A single one, as on most routes, shares the pipelines of other requests: looks
// are only begun before it, since most of them need no more than the answer to one
// command.
func (l *Redis) together(ctx context.Context, asks []Ask, decisions []Decision) error {
	takes := 0
	for _, a := range asks {
		if a.N != 0 && !a.Policy.Rate.IsOff() {
			takes++
		}
	}
	if takes > 1 {
		return l.inOnePipeline(ctx, asks, decisions)
	}
	errs := make([]error, len(asks))
	begun := make([]func() (Decision, error), len(asks))
	take := -1
	for i, a := range asks {
		if a.N == 0 {
			begun[i] = l.beginLook(ctx, a)
		} else if !a.Policy.Rate.IsOff() {
			take = i
		}
	}
	if take >= 0 {
		decisions[take], errs[take] = l.ask(ctx, asks[take])
	}
	for i, finish := range begun {
		if finish != nil {
			decisions[i], errs[i] = finish()
		}
	}
	return errors.Join(errs...)
}

// beginLook asks whether a bucket has been touched, and returns what waits for
// the answer. Most callers that are looked at have taken nothing lately, and then
// have no key. That is cheaper to see than to have the script find it out.
func (l *Redis) beginLook(ctx context.Context, a Ask) func() (Decision, error) {
	p := a.Policy
	if p.Rate.IsOff() {
		return func() (Decision, error) { return unlimited(p), nil }
	}
	touched := l.scripts.beginExists(ctx, p.Key(a.Caller))
	return func() (Decision, error) {
		switch yes, err := touched(); {
		case err != nil:
			return Decision{}, askError(p, err)
		case !yes:
			return decide(p, 0, true, 0), nil
		}
		return runScript(ctx, l.limiter, a)
	}
}

// ask asks one question that was checked. An N below zero gives back what was
// taken: the script's arithmetic allows it, and no bucket gets more than full.
func (l *Redis) ask(ctx context.Context, a Ask) (Decision, error) {
	p := a.Policy
	if p.Rate.IsOff() {
		return unlimited(p), nil
	}
	switch a.N {
	case 0:
		return l.beginLook(ctx, a)()
	case 1:
		return l.gather.take(ctx, bucket{p, a.Caller}, func(ctx context.Context, n int) (Decision, error) {
			return runScript(ctx, l.limiter, Ask{p, a.Caller, n})
		})
	}
	return runScript(ctx, l.limiter, a)
}

// runScript asks the limiter's script.
func runScript(ctx context.Context, limiter *redis_rate.Limiter, a Ask) (Decision, error) {
	p := a.Policy
	limit := redis_rate.Limit{Rate: p.Rate.events, Burst: p.Burst, Period: p.Rate.per}
	res, err := limiter.AllowN(ctx, p.Key(a.Caller), limit, a.N)
	if err != nil {
		return Decision{}, askError(p, err)
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

func askError(p Policy, err error) error {
	return fmt.Errorf("ratelimit: asking Redis about policy %s: %w", p.Name, err)
}
