package ratelimit

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// usualLooks is how many looks a request makes at most, as a rule.
const usualLooks = 2

// look is a question whether one event is left in a bucket, begun and not yet
// answered: one that is shared, or one that the request asks by itself.
type look struct {
	bucket bucket
	place  place
	shared bool
	exists exists
}

// beginLook begins a look, which must be finished.
func (l *Redis) beginLook(ctx context.Context, b bucket) look {
	k := look{bucket: b}
	if k.place, k.shared = l.looks.join(ctx, b); !k.shared {
		k.exists = l.beginExists(ctx, b)
	}
	return k
}

// finishLook waits for the answer of a look.
func (l *Redis) finishLook(ctx context.Context, k look) (Decision, error) {
	var a answer
	var err error
	if k.shared {
		a, err = k.place.wait(ctx)
	} else {
		a, err = l.finishExists(ctx, k.bucket, k.exists)
		l.looks.leave(k.bucket)
	}
	return a.decide(k.bucket.policy, 0, err)
}

// lookFor answers the looks of one round, all in the same way.
func (l *Redis) lookFor(ctx context.Context, b bucket, requests []request) error {
	a, err := l.finishExists(ctx, b, l.beginExists(ctx, b))
	for i := range requests {
		requests[i].answer = a
	}
	return err
}

// exists is the question whether Redis has the key of a bucket. Most callers that
// are looked at have taken nothing lately, and then have none. That is cheaper to
// see than to have the script find it out.
type exists struct {
	cmd    *redis.IntCmd
	flight flight
}

func (l *Redis) beginExists(ctx context.Context, b bucket) exists {
	cmd := redis.NewIntCmd(ctx, "exists", b.policy.Key(b.caller))
	return exists{cmd, l.scripts.begin(ctx, cmd)}
}

// finishExists asks the script about a bucket that there is.
func (l *Redis) finishExists(ctx context.Context, b bucket, e exists) (answer, error) {
	switch err := e.flight.wait(ctx); {
	case err != nil:
		return answer{}, err
	case e.cmd.Val() == 0:
		return answer{allowed: true}, nil
	}
	return runScript(ctx, l.limiter, b, 0)
}

// takeOne takes one event from a bucket, together with those who ask for one at
// the same time.
func (l *Redis) takeOne(ctx context.Context, b bucket) (answer, error) {
	if place, shared := l.takes.join(ctx, b); shared {
		return place.wait(ctx)
	}
	defer l.takes.leave(b)
	return runScript(ctx, l.limiter, b, 1)
}

// takeFor takes one event for each request of a round that has not gone or, where
// that is more than is left, for the first of them.
func (l *Redis) takeFor(ctx context.Context, b bucket, requests []request) error {
	wanted := 0
	for i := range requests {
		if !requests[i].gone { // whoever has gone is not charged
			wanted++
		}
	}
	burst, interval := b.policy.Burst, b.policy.Rate.interval()
	granted := min(wanted, burst)
	a, err := runScript(ctx, l.limiter, b, granted)
	for err == nil && !a.allowed && granted > 0 {
		// Of what is left others can take some before the next question.
		if granted = min(remaining(burst, a.reset/interval), granted-1); granted > 0 {
			a, err = runScript(ctx, l.limiter, b, granted)
		}
	}
	if err != nil {
		return err
	}
	before := 0
	for i := range requests {
		switch {
		case requests[i].gone:
			continue
		case before < granted: // as if each had asked by itself, in this order
			requests[i].answer = answer{true, a.reset - float64(granted-1-before)*interval}
		default:
			requests[i].answer = answer{false, max(a.reset, float64(burst-1)*interval+slack)}
		}
		before++
	}
	return nil
}
