package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

// watchRetry is how long a watcher waits after a question that failed.
const watchRetry = 100 * time.Millisecond

// watcher tells everybody who waits that the trail has grown. It has one
// connection for all of them, and none while nobody waits.
type watcher struct {
	s       *Store
	mu      sync.Mutex
	waiting int
	running bool
	closed  bool
	grown   chan struct{} // closed when it has
	stopped sync.Cond     // signalled when running ends
}

func newWatcher(s *Store) *watcher {
	w := &watcher{s: s, grown: make(chan struct{})}
	w.stopped.L = &w.mu
	return w
}

// enter returns a channel that is closed when the trail grows after this, and
// sometimes without a reason. Until leave is called somebody watches.
func (w *watcher) enter() (grown <-chan struct{}, leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, nil, handshake.ErrClosed
	}
	w.waiting++
	if !w.running {
		w.running = true
		go w.run()
	}
	return w.grown, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}, nil
}

func (w *watcher) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.grown)
	w.grown = make(chan struct{})
}

// idle tells whether nobody waits any more, and then ends the run.
func (w *watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting > 0 && !w.closed {
		return false
	}
	w.running = false
	w.stopped.Broadcast()
	return true
}

func (w *watcher) run() {
	var from *streamID
	for !w.idle() {
		next, err := w.ask(from)
		if errors.Is(err, handshake.ErrClosed) {
			w.wake()
			continue
		}
		if err != nil {
			time.Sleep(watchRetry)
			next = nil
		}
		if next != nil && (from == nil || *next != *from) {
			w.wake()
		}
		from = next
	}
}

// ask returns the ID of the last block: at once when the one before is not known,
// otherwise when there is another, or when it took too long.
func (w *watcher) ask(from *streamID) (*streamID, error) {
	ctx := context.Background()
	last := streamID{}
	err := w.s.direct(ctx, func(client redis.UniversalClient) error {
		if from != nil {
			last = *from
			// Not by the client's XRead, which would give a server that hangs ten seconds.
			read := redis.NewXStreamSliceCmd(ctx, "xread", "count", 1, "block", blockTime(client).Milliseconds(), "streams", trailBlocks, from.String())
			read.SetFirstKeyPos(6)
			if err := client.Process(ctx, read); errors.Is(err, redis.Nil) {
				return nil
			} else if err != nil {
				return err
			}
		}
		newest, err := client.XRevRangeN(ctx, trailBlocks, "+", "-", 1).Result()
		if err != nil || len(newest) == 0 {
			return err
		}
		last, err = parsePosition(newest[0].ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: cannot wait for the audit trail to grow: %w", err)
	}
	return &last, nil
}

// close ends the watching, and wakes who waits.
func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.running {
		w.stopped.Wait()
	}
	close(w.grown)
	w.grown = make(chan struct{}) // so that it can be closed again
}
