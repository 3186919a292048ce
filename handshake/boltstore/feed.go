package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

// The tables of the feed. Events stand under their positions, so that the table is
// in order and what may go is its beginning. A key's digest leads to the position of
// its event; a second table has the digests in the order of positions, which is that
// in which they are forgotten.
var (
	eventsBucket   = []byte("events")
	keysBucket     = []byte("event-keys")
	keyOrderBucket = []byte("event-key-order")
	leasesBucket   = []byte("leases")
	// feedBucket has what is known of the feed as a whole: its last position, and
	// the number of keys.
	feedBucket  = []byte("feed")
	feedBuckets = [][]byte{eventsBucket, keysBucket, keyOrderBucket, leasesBucket, feedBucket}

	lastKey  = []byte("last")
	countKey = []byte("keys")
)

// positionSize is the size of a position as a key: its parts, big-endian.
const positionSize = 16

// errFeed is that of entries which this package cannot have written.
var errFeed = errors.New("boltstore: an entry of the feed is damaged")

// feedState is what a [Store] knows of its feed beside the file. Its zero value is
// ready.
type feedState struct {
	bounds   feed.Bounds
	trimming atomic.Bool

	mu    sync.Mutex
	added chan struct{} // closed when events were added; nil while nobody waits
}

// WithFeedBounds sets what the feed of events keeps.
func WithFeedBounds(b feed.Bounds) Option { return func(s *Store) { s.feed.bounds = b } }

// events is the feed.
type events struct {
	s      *Store
	bounds feed.Bounds
}

var _ feed.Store = events{}

// Feed returns the feed of events, in the same file.
//
// What is beyond the bounds is deleted by the appends that follow, few entries in a
// commit, and by a reader that comes upon it; readers see nothing that is too old
// in any case.
func (s *Store) Feed() feed.Store { return events{s, s.feed.bounds.OrDefault()} }

// Append adds events in one commit, which it shares with all that waits.
func (f events) Append(ctx context.Context, list ...feed.New) ([]string, error) {
	if err := feed.Check(list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, ctx.Err()
	}
	a := f.newAppend(list)
	if err := f.s.do(ctx, &op{kind: opUpdate, update: a.update}); err != nil {
		return nil, err
	}
	f.trimRest(a.more)
	return a.positions, nil
}

// Read reads the events as of the last commit.
func (f events) Read(ctx context.Context, after string, limit int) (feed.Page, error) {
	from, err := feed.ParsePosition(after)
	if err != nil {
		return feed.Page{}, err
	}
	limit = min(max(limit, 1), feed.MaxPage)
	page := feed.Page{After: after}
	old := false
	err = f.s.view(ctx, func(tx *bbolt.Tx) error {
		oldest := f.oldest()
		cursor := tx.Bucket(eventsBucket).Cursor()
		first, _ := cursor.First()
		old = first != nil && position(first).Compare(oldest) < 0
		size := 0
		for key, value := cursor.Seek(start(from, oldest)); key != nil && len(page.Events) < limit; key, value = cursor.Next() {
			if size += len(value); size > feed.MaxPageSize && len(page.Events) > 0 {
				break
			}
			at := position(key)
			event, err := feed.DecodeEvent(value)
			if err != nil {
				return fmt.Errorf("%w: event %v: %w", errFeed, at, err)
			}
			if len(page.Events) == 0 {
				page.Truncated = from.Gap(at)
			}
			event.After = at.String()
			page.Events, page.After = append(page.Events, event), event.After
		}
		if len(page.Events) > 0 {
			return nil
		}
		last, err := lastPosition(tx)
		next, missing := from.Behind(last)
		page.After, page.Truncated = next.String(), missing
		return err
	})
	if err != nil {
		return feed.Page{}, err
	}
	f.trimRest(old)
	return page, nil
}

// Wait returns when events are there or are added.
func (f events) Wait(ctx context.Context, after string) error {
	from, err := feed.ParsePosition(after)
	if err != nil {
		return err
	}
	added := f.s.feed.wait() // before the look, so that nothing comes between
	there := false
	err = f.s.view(ctx, func(tx *bbolt.Tx) error {
		key, _ := tx.Bucket(eventsBucket).Cursor().Seek(start(from, f.oldest()))
		there = key != nil
		return nil
	})
	if err != nil || there {
		return err
	}
	select {
	case <-added:
		return nil
	case <-f.s.stopped:
		return handshake.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait returns what is closed when events are added.
func (s *feedState) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.added == nil {
		s.added = make(chan struct{})
	}
	return s.added
}

// wake wakes those who wait.
func (s *feedState) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.added != nil {
		close(s.added)
		s.added = nil
	}
}

// now is the time that new events and keys get.
func (f events) now() uint64 { return uint64(max(f.s.now().UnixMilli(), 1)) }

// oldest is the position before that of the oldest event that is shown.
func (f events) oldest() feed.Position {
	now, age := f.now(), uint64(f.bounds.MaxAge.Milliseconds())
	return feed.Position{Millis: now - min(now, age)}
}

// start is the key from which events after a position are read.
func start(from, oldest feed.Position) []byte {
	from.Number++
	if from.Compare(oldest) < 0 {
		from = oldest
	}
	return positionKey(from)
}

func positionKey(p feed.Position) []byte {
	key := make([]byte, 0, positionSize)
	key = binary.BigEndian.AppendUint64(key, p.Millis)
	return binary.BigEndian.AppendUint64(key, p.Number)
}

// position reads a key; one of another size is the beginning.
func position(key []byte) feed.Position {
	if len(key) != positionSize {
		return feed.Position{}
	}
	return feed.Position{Millis: binary.BigEndian.Uint64(key), Number: binary.BigEndian.Uint64(key[positionSize/2:])}
}

func lastPosition(tx *bbolt.Tx) (feed.Position, error) {
	value := tx.Bucket(feedBucket).Get(lastKey)
	if value != nil && len(value) != positionSize {
		return feed.Position{}, fmt.Errorf("%w: its last position", errFeed)
	}
	return position(value), nil
}
