package boltstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/storetest"
)

func TestFeedConformance(t *testing.T) {
	storetest.Feed(t, func(t *testing.T, bounds feed.Bounds) storetest.Backend {
		path := filepath.Join(t.TempDir(), "tokens.db")
		return storetest.Backend{Open: func(t *testing.T) handshake.Store {
			s, err := boltstore.Open(path, boltstore.WithFeedBounds(bounds))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}}
	})
}

// clock is a clock that stands still until it is set.
type clock struct{ millis atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.millis.Store(time.Now().UnixMilli())
	return c
}

func (c *clock) now() time.Time           { return time.UnixMilli(c.millis.Load()) }
func (c *clock) advance(by time.Duration) { c.millis.Add(by.Milliseconds()) }

func addEvents(t *testing.T, f feed.Store, n int, key string) []string {
	t.Helper()
	list := make([]feed.New, n)
	for i := range list {
		list[i].Source, list[i].Bug = "hook:test", strconv.Itoa(i)
		if key != "" {
			list[i].Key = key + strconv.Itoa(i)
		}
	}
	positions, err := f.Append(context.Background(), list...)
	if err != nil {
		t.Fatal(err)
	}
	return positions
}

func readEvents(t *testing.T, f feed.Store, after string) feed.Page {
	t.Helper()
	page, err := f.Read(context.Background(), after, feed.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// entries counts what tables have in the file of a closed store.
func entries(t *testing.T, path string, tables ...string) map[string]int {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	count := map[string]int{}
	err = db.View(func(tx *bbolt.Tx) error {
		for _, table := range tables {
			count[table] = tx.Bucket([]byte(table)).Stats().KeyN
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

func TestEventsAndKeysGoWithTheirAge(t *testing.T) {
	path, c := filepath.Join(t.TempDir(), "tokens.db"), newClock()
	opts := []boltstore.Option{boltstore.WithClock(c.now), boltstore.WithFeedBounds(feed.Bounds{MaxAge: 2 * time.Hour, KeyAge: time.Hour})}
	s, err := boltstore.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	f := s.Feed()
	first := addEvents(t, f, 700, "a")
	c.advance(time.Hour)
	if again := addEvents(t, f, 700, "a"); again[0] != first[0] || again[699] != first[699] {
		t.Error("a key is forgotten too early")
	}
	c.advance(time.Millisecond)
	second := addEvents(t, f, 10, "a")
	if second[0] == first[0] {
		t.Error("a key is remembered too long")
	}
	c.advance(time.Hour - time.Millisecond)
	if page := readEvents(t, f, ""); len(page.Events) != 710 || page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
	c.advance(time.Millisecond)
	if page := readEvents(t, f, ""); len(page.Events) != 10 || !page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
	if page := readEvents(t, f, first[699]); len(page.Events) != 10 || page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
	addEvents(t, f, 1, "") // brings room for 512 at once
	if again := addEvents(t, f, 10, "a"); again[0] != second[0] {
		t.Errorf("with the first event of a key its second is forgotten")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	count := entries(t, path, "events", "event-keys", "event-key-order")
	if count["events"] > 710-512+1 || count["event-keys"] != count["event-key-order"] || count["event-keys"] > 200 {
		t.Errorf("the file has %v", count)
	}
}

func TestBoundsThatAreLoweredHoldSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		addEvents(t, s.Feed(), feed.MaxAppend, "")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = boltstore.Open(path, boltstore.WithFeedBounds(feed.Bounds{MaxEvents: 20}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for addEvents(t, s.Feed(), 1, ""); len(readEvents(t, s.Feed(), "").Events) > 20; {
	}
	if page := readEvents(t, s.Feed(), ""); len(page.Events) != 20 || !page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
}

func TestALeaseLastsByTheClockOfTheStore(t *testing.T) {
	c := newClock()
	f := openTemp(t, boltstore.WithClock(c.now)).Feed()
	ctx := context.Background()
	first, err := f.Lease(ctx, "lease", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute - time.Millisecond)
	if _, err := f.Lease(ctx, "lease", "b", time.Minute); !errors.Is(err, feed.ErrLeased) {
		t.Errorf("just before its end: %v", err)
	}
	c.advance(time.Millisecond)
	second, err := f.Lease(ctx, "lease", "b", time.Minute)
	if err != nil || second.Fence <= first.Fence {
		t.Errorf("at its end: %+v, error %v", second, err)
	}
	c.advance(-time.Hour) // a clock that was set back ends no lease, and lets no fence shrink
	if _, err := f.Lease(ctx, "lease", "c", time.Minute); !errors.Is(err, feed.ErrLeased) {
		t.Errorf("an hour earlier: %v", err)
	}
	if err := f.Release(ctx, second); err != nil {
		t.Fatal(err)
	}
	if third, err := f.Lease(ctx, "lease", "c", time.Minute); err != nil || third.Fence <= second.Fence {
		t.Errorf("after a release: %+v, error %v", third, err)
	}
}

func TestWhenTheClockGoesBackReadersMissNothing(t *testing.T) {
	c := newClock()
	f := openTemp(t, boltstore.WithClock(c.now)).Feed()
	after := addEvents(t, f, 2, "")[1]
	c.advance(-time.Hour)
	addEvents(t, f, 2, "")
	if page := readEvents(t, f, after); len(page.Events) != 2 || page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
}

func TestAReaderOfAFileThatWasReplacedIsToldAndGoesOn(t *testing.T) {
	c := newClock()
	after := addEvents(t, openTemp(t, boltstore.WithClock(c.now)).Feed(), 5, "")[4]
	c.advance(time.Millisecond)
	f := openTemp(t, boltstore.WithClock(c.now)).Feed()
	if page := readEvents(t, f, after); len(page.Events) != 0 || page.After != "" || !page.Truncated {
		t.Errorf("an empty feed gives %+v", page)
	}
	addEvents(t, f, 2, "")
	if page := readEvents(t, f, after); len(page.Events) != 2 || !page.Truncated {
		t.Errorf("%d events, truncated %v", len(page.Events), page.Truncated)
	}
}

func TestAReaderWhoseEventsAreLostAndWhoseClockWentBackIsToldAndGoesOn(t *testing.T) {
	c := newClock()
	after := addEvents(t, openTemp(t, boltstore.WithClock(c.now)).Feed(), 5, "")[4]
	c.advance(-time.Hour)
	f := openTemp(t, boltstore.WithClock(c.now)).Feed()
	last := addEvents(t, f, 7, "")[6]
	page := readEvents(t, f, after)
	if len(page.Events) != 0 || page.After != last || !page.Truncated {
		t.Errorf("%d events, after %s, truncated %v; want to go on at the end, %s", len(page.Events), page.After, page.Truncated, last)
	}
	addEvents(t, f, 1, "")
	if page := readEvents(t, f, page.After); len(page.Events) != 1 || page.Truncated {
		t.Errorf("then %d events, truncated %v", len(page.Events), page.Truncated)
	}
}

func TestADamagedFeedIsAnErrorAndTheTokensGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.db")
	s, err := boltstore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	addEvents(t, s.Feed(), 1, "")
	if _, err := s.Feed().Lease(t.Context(), "lease", "a", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		event, _ := tx.Bucket([]byte("events")).Cursor().First()
		return errors.Join(
			tx.Bucket([]byte("events")).Put(append([]byte{}, event...), []byte("x")),
			tx.Bucket([]byte("feed")).Put([]byte("last"), []byte("x")),
			tx.Bucket([]byte("leases")).Put([]byte("lease"), []byte("x")),
			tx.Bucket([]byte("leases")).Put([]byte("other"), []byte("0123456701234567\xff\xff\xff")),
		)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = boltstore.Open(path); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	f, ctx := s.Feed(), t.Context()
	_, readErr := f.Read(ctx, "", 1)
	_, appendErr := f.Append(ctx, feed.New{})
	_, leaseErr := f.Lease(ctx, "lease", "a", time.Minute)
	_, otherErr := f.Lease(ctx, "other", "a", time.Minute)
	for what, err := range map[string]error{"reading": readErr, "adding": appendErr, "leasing": leaseErr, "leasing another": otherErr} {
		if err == nil {
			t.Errorf("%s succeeded", what)
		}
	}
	record := newRecord(time.UnixMilli(time.Now().UnixMilli()))
	if err := s.Mint(ctx, record); err != nil {
		t.Errorf("minting: %v", err)
	}
}
