package boltstore

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
)

// clock is a clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(time.Now().UnixMilli())} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func sweep(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, s *Store, r handshake.Record) bool {
	t.Helper()
	_, ok, err := s.Lookup(context.Background(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func mintAll(t *testing.T, s *Store, records ...handshake.Record) {
	t.Helper()
	var group sync.WaitGroup
	for _, record := range records {
		group.Go(func() {
			if err := s.Mint(context.Background(), record); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestATokenIsForgottenWhenItsRetentionIsOver(t *testing.T) {
	const retention, lifetime = time.Hour, 10 * time.Minute
	clock := newClock()
	begin := clock.Now()
	s := openTemp(t, WithRetention(retention), WithClock(clock.Now))
	unused, used := newRecord(begin, lifetime), newRecord(begin.Add(1), lifetime)
	mintAll(t, s, unused, used)
	usedAt := begin.Add(5 * time.Minute)
	if _, reason, err := s.Consume(context.Background(), handshake.Claim{ID: used.ID, Kind: used.Kind, At: usedAt}); reason != "" || err != nil {
		t.Fatalf("consuming: %q, error %v", reason, err)
	}
	for _, step := range []struct {
		after time.Duration
		kept  bool
	}{
		{0, true}, {lifetime, true}, {retention, true}, {lifetime + retention - time.Millisecond, true}, {lifetime + retention, false},
	} {
		clock.set(begin.Add(step.after))
		sweep(t, s)
		if has(t, s, unused) != step.kept || has(t, s, used) != step.kept {
			t.Errorf("after %v the unused token is there: %v, the used one: %v; want %v",
				step.after, has(t, s, unused), has(t, s, used), step.kept)
		}
	}
}

func TestALiveTokenIsNeverForgotten(t *testing.T) {
	clock := newClock()
	begin := clock.Now()
	s := openTemp(t, WithRetention(time.Minute), WithClock(clock.Now))
	long := newRecord(begin, 24*time.Hour) // minted when the lifetime was set to a day
	short := newRecord(begin.Add(time.Second), time.Minute)
	before := newRecord(begin.Add(-time.Second), time.Minute)
	mintAll(t, s, long, short, before)
	clock.set(begin.Add(24*time.Hour - time.Millisecond))
	sweep(t, s)
	if !has(t, s, long) {
		t.Error("a live token was forgotten")
	}
	if has(t, s, before) {
		t.Error("what stands before it was not forgotten")
	}
	clock.set(begin.Add(25 * time.Hour))
	sweep(t, s)
	if n := count(t, s, tokensBucket); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestManyAreForgottenInChunksWhileOthersAreMinted(t *testing.T) {
	clock := newClock()
	begin := clock.Now()
	s := openTemp(t, WithRetention(time.Minute), WithClock(clock.Now))
	old := make([]handshake.Record, 5*sweepChunk+17)
	for i := range old {
		old[i] = newRecord(begin.Add(time.Duration(i)), time.Minute)
	}
	mintAll(t, s, old...)
	clock.set(begin.Add(time.Hour))
	fresh := make([]handshake.Record, 200)
	for i := range fresh {
		fresh[i] = newRecord(clock.Now(), time.Minute)
	}
	var group sync.WaitGroup
	group.Go(func() { mintAll(t, s, fresh...) })
	sweep(t, s)
	group.Wait()
	if n := count(t, s, tokensBucket); n != len(fresh) {
		t.Errorf("%d tokens are left, want the %d new ones", n, len(fresh))
	}
}

func TestExpiredStateIsForgotten(t *testing.T) {
	clock := newClock()
	s := openTemp(t, WithClock(clock.Now))
	ctx := context.Background()
	var group sync.WaitGroup
	const entries = 3*sweepChunk + 5
	for i := range entries {
		group.Go(func() {
			ttl := time.Minute
			if i%3 == 0 {
				ttl = time.Hour
			}
			if ok, err := s.State().CompareAndSwap(ctx, fmt.Sprint("key ", i), nil, []byte("v"), ttl); !ok || err != nil {
				t.Errorf("swapping: %v, error %v", ok, err)
			}
		})
	}
	group.Wait()
	clock.set(clock.Now().Add(2 * time.Minute))
	sweep(t, s)
	if n, want := count(t, s, stateBucket), (entries+2)/3; n != want {
		t.Errorf("%d entries are left, want %d", n, want)
	}
}

func TestWhatWasReplacedAfterTheLookIsNotForgotten(t *testing.T) {
	clock := newClock()
	s := openTemp(t, WithClock(clock.Now), WithRetention(time.Minute))
	record := newRecord(clock.Now(), time.Hour)
	mintAll(t, s, record)
	if ok, err := s.State().CompareAndSwap(context.Background(), "key", nil, []byte("v"), time.Hour); !ok || err != nil {
		t.Fatal(ok, err)
	}
	key := tokenKey(record.ID)
	keys := forgotten{tokens: [][]byte{key[:], []byte("gone long ago, and never there...........")[:keySize]}, state: [][]byte{[]byte("key"), []byte("gone")}}
	if err := s.do(context.Background(), &op{kind: opForget, keys: keys}); err != nil {
		t.Fatal(err)
	}
	if !has(t, s, record) || count(t, s, stateBucket) != 1 {
		t.Error("a live entry was forgotten")
	}
}

func TestARecordThatCannotBeReadDoesNotStopTheForgetting(t *testing.T) {
	clock := newClock()
	s := openTemp(t, WithClock(clock.Now), WithRetention(time.Hour))
	minted := clock.Now()
	strange, plain := newRecord(minted, time.Minute), newRecord(minted.Add(time.Second), time.Minute)
	mintAll(t, s, strange, plain)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		key := tokenKey(strange.ID)
		value := encodeRecord(strange)
		value[1] = 99 // a status of some later version
		return tx.Bucket(tokensBucket).Put(key[:], value)
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.set(minted.Add(handshake.MaxLifetime))
	sweep(t, s)
	if n := count(t, s, tokensBucket); n != 2 {
		t.Errorf("%d records are left, want 2: the strange one may still be live", n)
	}
	clock.set(minted.Add(handshake.MaxLifetime + time.Hour + time.Second))
	sweep(t, s)
	if n := count(t, s, tokensBucket); n != 0 {
		t.Errorf("%d records are left", n)
	}
}
