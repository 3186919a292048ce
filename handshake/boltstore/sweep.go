package boltstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
)

// forgotten are the keys that one commit is to forget.
type forgotten struct {
	tokens, state [][]byte
}

// keepHouse watches the disk and forgets what may be forgotten, until the
// writer has nothing left to do.
func (s *Store) keepHouse() {
	watch := time.NewTicker(min(time.Second, s.stallLimit))
	defer watch.Stop()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	swept := make(chan struct{}, 1)
	swept <- struct{}{}
	for {
		select {
		case <-s.drained:
			<-swept
			return
		case <-watch.C:
			s.queue.release(s.stallLimit)
		case <-sweep.C:
			select {
			case <-swept:
				go func() {
					defer func() { swept <- struct{}{} }()
					if err := s.Sweep(context.Background()); err != nil && !errors.Is(err, handshake.ErrClosed) {
						s.logger.Warn("old tokens could not be forgotten; it is tried again", "error", err)
					}
				}()
			default: // the last one is still at it
			}
		}
	}
}

// Sweep tells the trail what has expired unused and forgets, a chunk a commit,
// every token and state entry that may be forgotten now. The store does so by
// itself every ten seconds.
func (s *Store) Sweep(ctx context.Context) error {
	// What is forgotten must have been told before.
	if err := s.tellExpired(ctx); err != nil {
		return fmt.Errorf("boltstore: the audit trail cannot be told what has expired: %w", err)
	}
	var from []byte
	for {
		var keys forgotten
		var next []byte
		err := s.view(ctx, func(tx *bbolt.Tx) error {
			now := s.now()
			var err error
			keys.tokens, err = oldTokens(tx.Bucket(tokensBucket), s.retention, now)
			if err != nil {
				return err
			}
			keys.state, next = oldState(tx.Bucket(stateBucket), from, now)
			return nil
		})
		if err != nil {
			return err
		}
		if len(keys.tokens)+len(keys.state) > 0 {
			err := s.do(ctx, &op{kind: opForget, keys: keys})
			if err != nil && !errors.Is(err, handshake.ErrBusy) {
				return err
			}
		}
		if len(keys.tokens) < sweepChunk && next == nil {
			return nil
		}
		from = next
	}
}

// oldTokens returns the keys of the oldest tokens as far as they may be
// forgotten. It stops at the first that may not, so that it reads no more than
// it returns: one token that lives longer than those after it delays them, by
// MaxLifetime at most.
func oldTokens(tokens *bbolt.Bucket, retention time.Duration, now time.Time) ([][]byte, error) {
	var keys [][]byte
	cursor := tokens.Cursor()
	for key, value := cursor.First(); key != nil && len(keys) < sweepChunk; key, value = cursor.Next() {
		id, err := decodeKey(key)
		if err != nil {
			return nil, err
		}
		if !outlived(id, value, retention, now) {
			break
		}
		keys = append(keys, append([]byte{}, key...))
	}
	return keys, nil
}

// outlived tells whether an entry may be forgotten. One that cannot be read, of
// a later version say, goes when any token of its age may.
func outlived(id handshake.ID, value []byte, retention time.Duration, now time.Time) bool {
	record, err := decodeRecord(id, value)
	if err != nil {
		record = handshake.Record{ID: id, Expires: id.Time().Add(handshake.MaxLifetime)}
	}
	return forgettable(record, retention, now)
}

// oldState looks at a chunk of the state table from a key on and returns the
// keys that have expired, and the key to go on from: nil at the end.
func oldState(state *bbolt.Bucket, from []byte, now time.Time) (keys [][]byte, next []byte) {
	cursor := state.Cursor()
	seen := 0
	for key, entry := cursor.Seek(from); key != nil; key, entry = cursor.Next() {
		if seen++; seen > sweepChunk {
			return keys, append([]byte{}, key...)
		}
		if _, live := decodeState(entry, now); !live {
			keys = append(keys, append([]byte{}, key...))
		}
	}
	return keys, nil
}

// forget deletes what may still be forgotten of its keys: between the look and
// the commit an entry may have been replaced.
func (o *op) forget(t tables, retention time.Duration, now time.Time) {
	for _, key := range o.keys.tokens {
		id, err := decodeKey(key)
		if err != nil {
			o.err = err
			return
		}
		if value := t.tokens.Get(key); value != nil && outlived(id, value, retention, now) {
			o.delete(t.tokens, key)
		}
	}
	for _, key := range o.keys.state {
		if entry := t.state.Get(key); entry != nil {
			if _, live := decodeState(entry, now); !live {
				o.delete(t.state, key)
			}
		}
	}
}
