package boltstore

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/trackgate/trackgate/handshake"
)

func openTemp(t *testing.T, opts ...Option) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "tokens.db"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newRecord(now time.Time, lifetime time.Duration) handshake.Record {
	id := handshake.ID{Millis: now.UnixMilli()}
	_, _ = rand.Read(id.Hash[:])
	return handshake.Record{ID: id, Kind: handshake.BugTracker, Expires: id.Time().Add(lifetime)}
}

// hold keeps the writer from the file until the returned function is called,
// as a disk does that does not answer.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	tx, err := s.db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	return sync.OnceFunc(func() { _ = tx.Rollback() })
}

// waitUntil waits until the queue is in a state.
func waitUntil(s *Store, state func(q *queue) bool) {
	for {
		s.queue.mu.Lock()
		reached := state(&s.queue)
		s.queue.mu.Unlock()
		if reached {
			return
		}
		runtime.Gosched()
	}
}

// waitForQueue waits until so many ops wait behind the current batch.
func waitForQueue(s *Store, n int) {
	waitUntil(s, func(q *queue) bool { return len(q.next.ops) == n })
}

// occupy makes the writer take a batch that it cannot begin.
func occupy(s *Store, group *sync.WaitGroup) handshake.Record {
	record := newRecord(time.Now(), time.Minute)
	group.Go(func() { _ = s.Mint(context.Background(), record) })
	waitUntil(s, func(q *queue) bool { return q.current != nil && q.current.ops[0].record.ID == record.ID })
	return record
}

func TestOfManyClaimsInOneCommitOneIsGranted(t *testing.T) {
	s := openTemp(t, WithStallLimit(time.Hour))
	record := newRecord(time.Now(), time.Minute)
	if err := s.Mint(context.Background(), record); err != nil {
		t.Fatal(err)
	}
	release := hold(t, s)
	defer release()
	var group sync.WaitGroup
	occupy(s, &group)
	const claims = 1000
	var granted, used atomic.Int32
	for range claims {
		group.Go(func() {
			claim := handshake.Claim{ID: record.ID, Kind: record.Kind, At: time.Now()}
			got, reason, err := s.Consume(context.Background(), claim)
			switch {
			case err != nil || got.Status != handshake.Used:
				t.Errorf("record %+v, error %v", got, err)
			case reason == handshake.Granted:
				granted.Add(1)
			case reason == handshake.ReasonUsed:
				used.Add(1)
			}
		})
	}
	waitForQueue(s, claims)
	release()
	group.Wait()
	if granted.Load() != 1 || used.Load() != claims-1 {
		t.Errorf("%d granted, %d used", granted.Load(), used.Load())
	}
}

func TestMoreThanTheQueueHoldsIsRefused(t *testing.T) {
	s := openTemp(t, WithQueue(2), WithStallLimit(time.Hour))
	release := hold(t, s)
	defer release()
	var group sync.WaitGroup
	occupy(s, &group)
	for range 2 {
		group.Go(func() {
			if err := s.Mint(context.Background(), newRecord(time.Now(), time.Minute)); err != nil {
				t.Errorf("what the queue holds: %v", err)
			}
		})
	}
	waitForQueue(s, 2)
	if err := s.Mint(context.Background(), newRecord(time.Now(), time.Minute)); !errors.Is(err, handshake.ErrBusy) {
		t.Errorf("one more: %v, want ErrBusy", err)
	}
	release()
	group.Wait()
}

func TestACallerThatGivesUpWhileItWaitsHasDoneNothing(t *testing.T) {
	s := openTemp(t, WithStallLimit(time.Hour))
	release := hold(t, s)
	defer release()
	var group sync.WaitGroup
	occupy(s, &group)
	ctx, cancel := context.WithCancel(context.Background())
	record := newRecord(time.Now(), time.Minute)
	outcome := make(chan error)
	go func() { outcome <- s.Mint(ctx, record) }()
	waitForQueue(s, 1)
	cancel()
	if err := <-outcome; !errors.Is(err, context.Canceled) {
		t.Errorf("the outcome is %v, want Canceled", err)
	}
	release()
	group.Wait()
	if err := s.Mint(context.Background(), newRecord(time.Now(), time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Lookup(context.Background(), record.ID); ok || err != nil {
		t.Errorf("the token is found: %v, error %v", ok, err)
	}
}

func TestADiskThatDoesNotAnswerHoldsNobodyForLong(t *testing.T) {
	s := openTemp(t, WithStallLimit(10*time.Millisecond))
	release := hold(t, s)
	defer release()
	ctx := context.Background()
	first, second := newRecord(time.Now(), time.Minute), newRecord(time.Now(), time.Minute)
	for _, record := range []handshake.Record{first, second} {
		if err := s.Mint(ctx, record); !errors.Is(err, handshake.ErrBusy) {
			t.Errorf("minting: %v, want ErrBusy", err)
		}
	}
	if err := s.Ping(ctx); err == nil {
		t.Error("ping says that all is well")
	}
	if _, ok, err := s.Lookup(ctx, first.ID); ok || err != nil {
		t.Errorf("reading, which needs no writer: found %v, error %v", ok, err)
	}
	release()
	for s.Mint(ctx, newRecord(time.Now(), time.Minute)) != nil {
		runtime.Gosched() // the writer may need a moment to notice
	}
	if err := s.Ping(ctx); err != nil {
		t.Errorf("ping after the disk has answered: %v", err)
	}
	for _, record := range []handshake.Record{first, second} {
		if _, ok, err := s.Lookup(ctx, record.ID); ok || err != nil {
			t.Errorf("a token that nobody was given: found %v, error %v", ok, err)
		}
	}
}

func TestAClosedStoreLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s, err := Open(filepath.Join(t.TempDir(), "tokens.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Mint(context.Background(), newRecord(time.Now(), time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWaitsWhenTheStoreClosesIsDone(t *testing.T) {
	s := openTemp(t, WithStallLimit(time.Hour))
	release := hold(t, s)
	defer release()
	var group sync.WaitGroup
	first := occupy(s, &group)
	second := newRecord(time.Now(), time.Minute)
	group.Go(func() {
		if err := s.Mint(context.Background(), second); err != nil {
			t.Errorf("what waits: %v", err)
		}
	})
	waitForQueue(s, 1)
	group.Go(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	waitUntil(s, func(q *queue) bool { return q.closed })
	if err := s.Mint(context.Background(), newRecord(time.Now(), time.Minute)); !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("what comes later: %v, want ErrClosed", err)
	}
	release()
	group.Wait()
	again, err := Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	for _, record := range []handshake.Record{first, second} {
		if _, ok, err := again.Lookup(context.Background(), record.ID); !ok || err != nil {
			t.Errorf("found %v, error %v", ok, err)
		}
	}
}

func TestAFailedCommitFailsAllThatSharedItAndIsToldApart(t *testing.T) {
	s := openTemp(t)
	b := newBatch()
	for range 3 {
		b.ops = append(b.ops, &op{kind: opMint, record: newRecord(time.Now(), time.Minute)})
	}
	known := errors.New("known before")
	b.ops[1].err = known
	if err := s.commitError(1<<30, errors.New("no space")); errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("a commit that readers do not see: %v", err)
	}
	err := s.commitError(1, errors.New("no answer"))
	if !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("a commit that readers see: %v, want ErrOutcomeUnknown", err)
	}
	fail(b, err)
	if !errors.Is(b.ops[0].err, err) || !errors.Is(b.ops[1].err, known) || !errors.Is(b.ops[2].err, err) {
		t.Errorf("the errors are %v, %v, %v", b.ops[0].err, b.ops[1].err, b.ops[2].err)
	}
}

func count(t *testing.T, s *Store, bucket []byte) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, _ []byte) error {
			n++
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
