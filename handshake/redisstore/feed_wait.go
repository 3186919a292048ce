package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

const (
	// watchBlock is how long one XREAD blocks at most. When nobody waits any more,
	// its connection is free after that time. It is below the time limit for an
	// answer of Redis, so that a server that hangs is noticed as soon as in any call.
	watchBlock = 500 * time.Millisecond
	// The watcher tries again after watchPause, and each time later, up to
	// maxWatchPause, while Redis is away.
	watchPause    = 20 * time.Millisecond
	maxWatchPause = 500 * time.Millisecond
)

// feedWatcher watches the end of the stream for all who wait for events: one goroutine
// with one connection, as long as somebody waits.
type feedWatcher struct {
	mu      sync.Mutex
	waiting int
	running bool
	// last is a position behind which there was nothing when somebody looked.
	last feed.Position
	// added is closed when events were added behind last, or when watching has ended
	// for the reason that err says.
	added chan struct{}
	err   error
}

// Wait returns when events are there or are added, by whichever gateway.
func (f events) Wait(ctx context.Context, after string) error {
	from, err := feed.ParsePosition(after)
	if err != nil {
		return err
	}
	last, found, err := f.page(ctx, from, 0)
	if err != nil || len(found) > 0 {
		return err
	}
	added := f.join(last)
	defer f.leave()
	select {
	case <-added:
		return f.s.feed.watcher.outcome()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join begins to wait for events behind what was the last position a moment ago. Every
// join must be followed by a leave.
func (f events) join(last feed.Position) <-chan struct{} {
	w := &f.s.feed.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	switch {
	case !w.running:
		w.running, w.last, w.added, w.err = true, last, make(chan struct{}), nil
		go f.watch()
	case last.Compare(w.last) > 0:
		w.wake(last) // the others, who do not know of it yet
	case last.Compare(w.last) < 0:
		// Events came since the look; or Redis has lost its last ones, and then it is
		// to be watched from here on.
		added := w.added
		w.wake(last)
		return added
	}
	return w.added
}

func (f events) leave() {
	w := &f.s.feed.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

// wake lets all go who wait, and watches from a position on.
func (w *feedWatcher) wake(last feed.Position) {
	close(w.added)
	w.last, w.added = last, make(chan struct{})
}

func (w *feedWatcher) outcome() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// watch watches until nobody waits.
func (f events) watch() {
	w := &f.s.feed.watcher
	pause := watchPause
	for {
		w.mu.Lock()
		if w.waiting == 0 {
			w.running = false
			w.mu.Unlock()
			return
		}
		last := w.last
		w.mu.Unlock()
		next, err := f.next(last)
		switch {
		case errors.Is(err, handshake.ErrClosed), redis.HasErrorPrefix(err, "NOPERM"):
			// Trying again would help with neither; whatever else fails, comes back.
			w.mu.Lock()
			w.running, w.err = false, fmt.Errorf("redisstore: cannot wait for events: %w", err)
			close(w.added)
			w.mu.Unlock()
			return
		case err != nil:
			time.Sleep(pause)
			pause = min(2*pause, maxWatchPause)
			continue
		}
		pause = watchPause
		w.mu.Lock()
		// Somebody may have set last back meanwhile, to where nothing has come since.
		if next != last && next.Compare(w.last) > 0 {
			w.wake(next)
		}
		w.mu.Unlock()
	}
}

// next waits for an event behind a position, for a while, and returns its position;
// the same when none has come.
func (f events) next(last feed.Position) (feed.Position, error) {
	id := last.String()
	if id == "" {
		id = noPosition
	}
	ctx := context.Background()
	found := last
	err := f.s.direct(ctx, func(client redis.UniversalClient) error {
		// Not by the client's XRead, which would give a server that hangs ten seconds.
		read := redis.NewXStreamSliceCmd(ctx, "xread", "count", 1, "block", blockTime(client).Milliseconds(), "streams", feedKeys[0], id)
		read.SetFirstKeyPos(6)
		err := client.Process(ctx, read)
		if errors.Is(err, redis.Nil) {
			return nil
		}
		for _, stream := range read.Val() {
			for _, entry := range stream.Messages {
				at, parseErr := feed.ParsePosition(entry.ID)
				err = errors.Join(err, parseErr)
				found = at
			}
		}
		return err
	})
	return found, err
}

// blockTime is how long XREAD may block on the connections of a client.
func blockTime(client redis.UniversalClient) time.Duration {
	limit := time.Duration(0)
	switch client := client.(type) {
	case *redis.Client:
		limit = client.Options().ReadTimeout
	case *redis.ClusterClient:
		limit = client.Options().ReadTimeout
	}
	if limit <= 0 {
		return watchBlock
	}
	return max(min(watchBlock, limit/2), time.Millisecond)
}
