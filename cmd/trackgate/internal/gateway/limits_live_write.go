package gateway

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
)

func liveKey(c ratelimit.Caller) string { return "trackgate:live:" + string(c) }

func accountKey(a handshake.Account) string { return "trackgate:o:" + string(a) }

// missed is what happened to tokens of an account that Redis did not know.
type missed struct {
	change int64
	again  time.Time // when to look a second time
}

// batch is news, sorted by what is known.
type batch struct {
	*news
	counts  map[owner]int64
	unknown map[handshake.Account]int64 // changes by accounts that are looked up
	second  map[handshake.Account]bool  // those that are looked up a second time
}

func (b *batch) empty() bool { return len(b.made)+len(b.counts)+len(b.unknown) == 0 }

// run writes until the ledger is closed.
func (l *sharedLedger) run() {
	defer close(l.stopped)
	for {
		select {
		case <-l.bell:
		case <-l.closing:
			l.write(l.take())
			return
		}
		l.write(l.take())
		select {
		case <-l.haste:
		case <-l.closing:
		case <-time.After(ledgerPause):
		}
	}
}

// take takes what is to be written.
func (l *sharedLedger) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &batch{news: l.next, counts: map[owner]int64{}, unknown: map[handshake.Account]int64{}, second: map[handshake.Account]bool{}}
	l.next = newNews()
	for a, m := range l.missed {
		if l.closed || !l.now().Before(m.again) {
			b.second[a] = true
			b.changes[a] += m.change
			delete(l.missed, a)
		}
	}
	for a, n := range b.changes {
		o, known := l.owners[a]
		m, waits := l.missed[a]
		switch {
		case n == 0: // what was minted has ended
		case known && l.over(o.slice):
		case known:
			b.counts[o] += n
		case waits:
			m.change += n
			l.missed[a] = m
		default:
			b.unknown[a] = n
		}
	}
	if len(l.missed) > 0 {
		ring(l.bell)
	}
	return b
}

// write makes two round trips at most: one for what is known and whose the other
// accounts are, and one for those that Redis knew.
func (l *sharedLedger) write(b *batch) {
	defer close(b.written)
	if b.empty() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), ledgerWrite)
	defer cancel()
	made, found := map[handshake.Account]*redis.BoolCmd{}, map[handshake.Account]*redis.StringCmd{}
	err := l.pipelined(ctx, func(p redis.Pipeliner) {
		for a, o := range b.made {
			// The last token of the slice lives shorter than that.
			made[a] = p.SetNX(ctx, accountKey(a), o.String(), l.lifetime+2*l.length)
		}
		for a := range b.unknown {
			found[a] = p.Get(ctx, accountKey(a))
		}
		l.change(ctx, p, b.counts)
	})
	if counts := l.learn(b, made, found); len(counts) > 0 {
		err = errors.Join(err, l.pipelined(ctx, func(p redis.Pipeliner) { l.change(ctx, p, counts) }))
	}
	if err != nil {
		l.logger.Debug("live tokens were not counted", "accounts", len(b.changes), "error", err)
	}
}

// pipelined makes commands in one round trip. That a key is not there is no error.
func (l *sharedLedger) pipelined(ctx context.Context, fill func(redis.Pipeliner)) error {
	commands, err := l.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		fill(p)
		return nil
	})
	if !errors.Is(err, redis.Nil) {
		return err
	}
	for _, c := range commands {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

// sentOnce is a command that is not sent again when its answer was lost, nor are those
// that share a pipeline with it. What is counted twice would refuse a caller wrongly; what
// is not counted lets it have more for a while.
type sentOnce struct{ *redis.IntCmd }

// NoRetry tells go-redis so.
func (sentOnce) NoRetry() bool { return true }

// change adds to counts. The hash outlives the last token that is counted in it.
func (l *sharedLedger) change(ctx context.Context, p redis.Pipeliner, counts map[owner]int64) {
	for o, n := range counts {
		_ = p.Process(ctx, sentOnce{redis.NewIntCmd(ctx, "hincrby", liveKey(o.caller), o.slice, n)}) // queues it
		p.PExpire(ctx, liveKey(o.caller), l.lifetime+2*l.length)
	}
}

// learn takes in what became of the accounts that were made, and whose the unknown
// ones are, and returns what is to be counted for these.
func (l *sharedLedger) learn(b *batch, made map[handshake.Account]*redis.BoolCmd, found map[handshake.Account]*redis.StringCmd) map[owner]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a, cmd := range made {
		o := b.made[a]
		switch isNew, err := cmd.Result(); {
		case l.over(o.slice):
		case err != nil:
			l.next.made[a] = o
		case !isNew:
			// It is another's, or an earlier try came through: Redis knows which.
			delete(l.owners, a)
			if l.byCaller[o.caller] == a {
				delete(l.byCaller, o.caller)
			}
		}
	}
	counts := map[owner]int64{}
	for a, cmd := range found {
		o, ok := parseOwner(cmd.Val())
		switch {
		case ok:
			l.remember(a, o)
			if !l.over(o.slice) {
				counts[o] += b.unknown[a]
			}
		case errors.Is(cmd.Err(), redis.Nil) && !b.second[a] && len(l.missed) < ledgerWaiting:
			l.missed[a] = missed{change: b.unknown[a], again: l.now().Add(ledgerPause)}
			ring(l.bell)
		}
	}
	return counts
}

// String is how Redis keeps an owner.
func (o owner) String() string { return strconv.FormatInt(o.slice, 10) + " " + string(o.caller) }

// parseOwner reads what [owner.String] wrote.
func parseOwner(text string) (owner, bool) {
	slice, caller, found := strings.Cut(text, " ")
	n, err := strconv.ParseInt(slice, 10, 64)
	return owner{ratelimit.Caller(caller), n}, found && err == nil && caller != ""
}
