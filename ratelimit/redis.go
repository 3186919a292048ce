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
	takes   gather
	looks   gather
	// refused remembers, by the hash of their first bucket, questions of which one
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
	l := &Redis{limiter: redis_rate.NewLimiter(scripts), scripts: scripts, seed: maphash.MakeSeed()}
	l.takes, l.looks = newGather(l.takeFor), newGather(l.lookFor)
	return l
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
	hash := (maphash.String(l.seed, asks[0].Policy.Name) ^ maphash.String(l.seed, string(asks[0].Caller))) | 1 // zero is nobody's
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
	if err := l.scripts.begin(ctx, del).wait(ctx); err != nil {
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
	var room [usualLooks]look // keeps the looks of usual requests off the heap
	looks := room[:0]
	for _, a := range asks {
		if a.N == 0 && !a.Policy.Rate.IsOff() {
			looks = append(looks, l.beginLook(ctx, bucket{a.Policy, a.Caller}))
		}
	}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for i, a := range asks {
		if a.N != 0 && !a.Policy.Rate.IsOff() {
			var err error
			decisions[i], err = l.ask(ctx, a)
			note(err)
		}
	}
	for i, a := range asks {
		if a.N == 0 && !a.Policy.Rate.IsOff() {
			var err error
			decisions[i], err = l.finishLook(ctx, looks[0])
			note(err)
			looks = looks[1:]
		}
	}
	return errors.Join(errs...)
}

// ask asks one question that was checked. An N below zero gives back what was
// taken: the script's arithmetic allows it, and no bucket gets more than full.
func (l *Redis) ask(ctx context.Context, a Ask) (Decision, error) {
	if a.Policy.Rate.IsOff() {
		return unlimited(a.Policy), nil
	}
	b := bucket{a.Policy, a.Caller}
	var got answer
	var err error
	switch a.N {
	case 0:
		return l.finishLook(ctx, l.beginLook(ctx, b))
	case 1:
		got, err = l.takeOne(ctx, b)
	default:
		got, err = runScript(ctx, l.limiter, b, a.N)
	}
	return got.decide(a.Policy, a.N, err)
}

// answer is what Redis says about a bucket: whether what was asked for was taken,
// and how long the bucket needs to be full again, in seconds.
type answer struct {
	allowed bool
	reset   float64
}

// decide makes a decision of what was asked for and got this answer or err.
func (a answer) decide(p Policy, n int, err error) (Decision, error) {
	if err != nil {
		return Decision{}, askError(p, err)
	}
	return decide(p, max(n, 0), a.allowed, a.reset), nil
}

func askError(p Policy, err error) error {
	return fmt.Errorf("ratelimit: asking Redis about policy %s: %w", p.Name, err)
}

// runScript asks the limiter's script for n events.
func runScript(ctx context.Context, limiter *redis_rate.Limiter, b bucket, n int) (answer, error) {
	p := b.policy
	limit := redis_rate.Limit{Rate: p.Rate.events, Burst: p.Burst, Period: p.Rate.per}
	res, err := limiter.AllowN(ctx, p.Key(b.caller), limit, n)
	if err != nil {
		return answer{}, err
	}
	a := answer{reset: res.ResetAfter.Seconds()}
	switch {
	case n > 0:
		a.allowed = res.Allowed == n
	case n < 0:
		a.allowed = true
	default:
		// Asked for nothing, the script allows even when less than one event is
		// left, and calls zero what it allowed either way. What it says about the
		// reset is right in both cases, and exact, unlike what it says remains.
		a.allowed = a.reset <= (float64(p.Burst-1)+slack)*p.Rate.interval()
	}
	return a, nil
}
