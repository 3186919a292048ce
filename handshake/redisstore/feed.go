package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake/feed"
)

// feedState is what a [Store] knows of its feed beside Redis. Its zero value is
// ready.
type feedState struct {
	bounds   feed.Bounds
	gatherer gatherer
	watcher  feedWatcher
}

// errFeed is that of answers which the scripts of this version do not give.
var errFeed = errors.New("redisstore: the feed in Redis is damaged, or of a later version")

// WithFeedBounds sets what the feed of events keeps. All gateways that share a Redis
// must have the same bounds.
func WithFeedBounds(b feed.Bounds) Option { return func(s *Store) { s.feed.bounds = b } }

// events is the feed.
type events struct {
	s      *Store
	bounds feed.Bounds
}

var _ feed.Store = events{}

// Feed returns the feed of events, in the same Redis.
//
// What is beyond the bounds is deleted by the appends that follow; readers see
// nothing that is too old in any case. While calls wait for events, the store has one
// connection of the client's pool blocked in XREAD, for all of them.
//
// A user of Redis' ACL needs the commands TIME, GET, SET, HGET, HSET, HMGET, HDEL,
// LINDEX, LLEN, LRANGE, LTRIM, RPUSH, XADD, XLEN, XRANGE, XREVRANGE, XTRIM and XREAD
// for it. Redis must be of version 6.2 or later.
func (s *Store) Feed() feed.Store { return events{s, s.feed.bounds.OrDefault()} }

// Append adds events by one script, which it shares with the appends that wait at
// the same time.
func (f events) Append(ctx context.Context, list ...feed.New) ([]string, error) {
	if err := feed.Check(list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ctx.Err()
	}
	return f.gather(ctx, newPending(list))
}

// Advance adds events and moves the lease's position by one script.
func (f events) Advance(ctx context.Context, l feed.Lease, position []byte, list ...feed.New) error {
	if err := feed.Check(list); err != nil {
		return err
	}
	if err := feed.CheckLeasePosition(position); err != nil {
		return err
	}
	if l.Name == "" {
		return fmt.Errorf("redisstore: no lease: %w", feed.ErrLeaseLost)
	}
	reply, err := f.add(ctx, l, position, newPending(list).values)
	if err != nil {
		return err
	}
	if reply == int64(0) {
		return fmt.Errorf("redisstore: %q: %w", l.Name, feed.ErrLeaseLost)
	}
	return nil
}

// add runs appendScript with the digests and values of events.
func (f events) add(ctx context.Context, l feed.Lease, position []byte, values []any) (any, error) {
	// A repetition has the same number, by which it knows what an earlier delivery
	// did.
	args := append(make([]any, 0, 9+len(values)), f.s.attempts.next(),
		f.bounds.MaxEvents, f.bounds.MaxAge.Milliseconds(), f.bounds.MaxKeys, f.bounds.KeyAge.Milliseconds(),
		l.Name, l.Holder, strconv.FormatUint(l.Fence, 10), position)
	return f.change(ctx, appendScript, append(args, values...)...)
}

// positions reads what appendScript returns.
func positions(reply any, want int) ([]string, error) {
	text, _ := reply.(string)
	list := strings.Split(text, " ")
	if len(list) != want {
		return nil, errFeed
	}
	var at feed.Position
	for i, answer := range list {
		switch answer {
		case "-":
			list[i] = ""
		case "+":
			at.Number++
			list[i] = at.String()
		default:
			var err error
			if at, err = feed.ParsePosition(answer); err != nil {
				return nil, fmt.Errorf("%w: %w", errFeed, err)
			}
		}
	}
	return list, nil
}

// Read reads a page by one script.
func (f events) Read(ctx context.Context, after string, limit int) (feed.Page, error) {
	from, err := feed.ParsePosition(after)
	if err != nil {
		return feed.Page{}, err
	}
	last, list, err := f.page(ctx, from, min(max(limit, 1), feed.MaxPage))
	if err != nil {
		return feed.Page{}, err
	}
	page := feed.Page{After: after, Events: make([]feed.Event, 0, len(list)/2)}
	for ; len(list) >= 2; list = list[2:] {
		at, atErr := feed.ParsePosition(list[0])
		event, err := feed.DecodeEvent([]byte(list[1]))
		if err != nil || atErr != nil {
			return feed.Page{}, fmt.Errorf("%w: event %.40q", errFeed, list[0])
		}
		if len(page.Events) == 0 {
			page.Truncated = from.Gap(at)
		}
		event.After = list[0]
		page.Events, page.After = append(page.Events, event), event.After
	}
	if len(page.Events) == 0 {
		next, missing := from.Behind(last)
		page.After, page.Truncated = next.String(), missing
	}
	return page, nil
}

// page runs pageScript, and returns the last position of the feed and what the
// script has found.
func (f events) page(ctx context.Context, from feed.Position, limit int) (feed.Position, []string, error) {
	args := []any{from.Millis, from.Number, limit, f.bounds.MaxAge.Milliseconds(), feed.MaxPageSize}
	reply, err := f.run(ctx, pageScript, args)
	if err != nil {
		return feed.Position{}, nil, fmt.Errorf("redisstore: cannot read the feed: %w", err)
	}
	list := texts(reply)
	if len(list) == 0 {
		return feed.Position{}, nil, errFeed
	}
	if list[0] == noPosition {
		return feed.Position{}, list[1:], nil
	}
	last, err := feed.ParsePosition(list[0])
	if err != nil {
		return feed.Position{}, nil, fmt.Errorf("%w: its last position", errFeed)
	}
	return last, list[1:], nil
}

// noPosition is how scripts and XREAD write the beginning.
const noPosition = "0-0"

// Lease takes or prolongs a lease by the clock of Redis.
func (f events) Lease(ctx context.Context, name, holder string, ttl time.Duration) (feed.Lease, error) {
	if err := feed.CheckLease(name, holder, ttl); err != nil {
		return feed.Lease{}, err
	}
	reply, err := f.change(ctx, leaseScript, name, holder, ttl.Milliseconds())
	if err != nil {
		return feed.Lease{}, err
	}
	got := texts(reply)
	if len(got) != 2 {
		return feed.Lease{}, fmt.Errorf("redisstore: %q: %w", name, feed.ErrLeased)
	}
	l := feed.Lease{Name: name, Holder: holder}
	if l.Fence, err = strconv.ParseUint(got[0], 10, 64); err != nil {
		return feed.Lease{}, fmt.Errorf("%w: lease %q", errFeed, name)
	}
	if got[1] != "" {
		l.Position = []byte(got[1])
	}
	return l, nil
}

// Release ends a lease early, and leaves its fence and position.
func (f events) Release(ctx context.Context, l feed.Lease) error {
	_, err := f.change(ctx, releaseScript, l.Name, l.Holder, strconv.FormatUint(l.Fence, 10))
	return err
}

// change runs a script that changes something.
func (f events) change(ctx context.Context, sc script, args ...any) (any, error) {
	var reply any
	err := f.s.inReign(ctx, func(ctx context.Context, st *stamp) (err error) {
		reply, err = f.run(ctx, sc, append([]any{st}, args...))
		return err
	})
	return reply, changeError("feed", err)
}

// run is [Store.run] for a script on all keys of the feed, with or without a stamp.
func (f events) run(ctx context.Context, sc script, args []any) (any, error) {
	reply, err := f.eval(ctx, "evalsha", sc.hash, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = f.eval(ctx, "eval", sc.text, args)
	}
	return reply, err
}

func (f events) eval(ctx context.Context, name, what string, args []any) (any, error) {
	all := make([]any, 0, 3+len(feedKeys)+len(args))
	all = append(append(append(all, name, what, len(feedKeys)), feedKeys...), args...)
	cmd := redis.NewCmd(ctx, all...)
	err := f.s.process(ctx, cmd)
	return cmd.Val(), err
}

// texts returns an answer of several texts.
func texts(reply any) []string {
	parts, _ := reply.([]any)
	list := make([]string, 0, len(parts))
	for _, part := range parts {
		if text, ok := part.(string); ok {
			list = append(list, text)
		}
	}
	return list
}
