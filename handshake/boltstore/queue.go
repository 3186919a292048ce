package boltstore

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// opKind says what an op changes.
type opKind uint8

const (
	opMint opKind = iota
	opConsume
	opRevoke
	opSwap
	opForget
	opUpdate
	opNote
	opExpire
)

// The progress of an op: the writer takes it or its caller gives it up, never both.
const (
	opWaiting int32 = iota
	opTaken
	opAbandoned
)

// op is one change on its way through the writer, and its outcome.
type op struct {
	kind     opKind
	progress atomic.Int32

	claim handshake.Claim // of opConsume; ID and At of opRevoke
	swap  swap            // of opSwap
	keys  forgotten       // of opForget
	// update is the change of opUpdate, which sees those of the ops before it, and
	// tells whether it made one. When the commit fails it is as if it had not run.
	update func(tx *bbolt.Tx) (bool, error)
	// notes go into the trail in the transaction of the change, if it is made.
	notes []audit.Entry
	more  bool // of opExpire: whether there may be more to tell

	record  handshake.Record // what opMint adds; what opConsume and opRevoke leave
	reason  handshake.Reason
	swapped bool
	changed bool
	err     error
}

// batch is what becomes one transaction.
type batch struct {
	ops []*op
	// done is closed when all outcomes are known, which orders the writer's
	// stores to the ops before the callers' loads.
	done chan struct{}
	// stalled is closed when the disk takes so long that nobody waits longer.
	stalled chan struct{}
}

func newBatch() *batch { return &batch{done: make(chan struct{}), stalled: make(chan struct{})} }

// finished tells whether all outcomes are known, which counts for more than that
// it took long.
func (b *batch) finished() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// queue is what waits for the writer.
type queue struct {
	limit int

	mu      sync.Mutex
	some    sync.Cond // signalled when next gets its first op, or the queue closes
	next    *batch
	current *batch // the writer's; nil while it waits
	begun   time.Time
	closed  bool
}

func (q *queue) init(limit int) {
	q.limit = limit
	q.some.L = &q.mu
	q.next = newBatch()
}

// add puts an op into the next batch. The store's own ops are not counted
// against the limit.
func (q *queue) add(o *op) (*batch, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, handshake.ErrClosed
	}
	b := q.next
	if len(b.ops) >= q.limit && o.kind != opForget && o.kind != opExpire {
		return nil, handshake.ErrBusy
	}
	b.ops = append(b.ops, o)
	if len(b.ops) == 1 {
		q.some.Signal()
	}
	return b, nil
}

// take waits for ops and returns them as the current batch; nil means that
// the queue is closed and empty.
func (q *queue) take() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.current = nil
	for len(q.next.ops) == 0 {
		if q.closed {
			return nil
		}
		q.some.Wait()
	}
	q.gather()
	q.current, q.begun = q.next, time.Now()
	q.next = newBatch()
	q.next.ops = make([]*op, 0, cap(q.current.ops))
	return q.current
}

// gather gives way to callers that are about to add an op, as long as more
// come: those whom the last commit woke and who are back with their next
// request. Without it two halves of the callers take turns, each waiting for
// the other's commit.
func (q *queue) gather() {
	for n := -1; n < len(q.next.ops); {
		n = len(q.next.ops)
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
	}
}

// busy tells for how long the current batch has been under way.
func (q *queue) busy() (time.Duration, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.current == nil {
		return 0, false
	}
	return time.Since(q.begun), true
}

// release lets all callers go whose outcome the disk holds back, when it has
// done so for longer than a limit.
func (q *queue) release(limit time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.current == nil || time.Since(q.begun) <= limit {
		return
	}
	for _, b := range []*batch{q.current, q.next} {
		select {
		case <-b.stalled:
		default:
			close(b.stalled)
		}
	}
	q.next = newBatch()
}

// close refuses further ops.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.some.Signal()
}

// do hands an op to the writer and waits for its outcome.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b, err := s.queue.add(o)
	if err != nil {
		return err
	}
	select {
	case <-b.done:
		return o.err
	case <-b.stalled:
		if o.progress.CompareAndSwap(opWaiting, opAbandoned) {
			return fmt.Errorf("boltstore: the disk of %s does not answer: %w", s.path, handshake.ErrBusy)
		}
	case <-ctx.Done():
		if o.progress.CompareAndSwap(opWaiting, opAbandoned) {
			return ctx.Err()
		}
	}
	// The commit has begun: what comes of it is soon known, and better than to
	// leave it open.
	select {
	case <-b.done:
		return o.err
	case <-b.stalled:
		if b.finished() {
			return o.err
		}
		return fmt.Errorf("boltstore: the disk of %s does not answer: %w", s.path, handshake.ErrOutcomeUnknown)
	}
}
