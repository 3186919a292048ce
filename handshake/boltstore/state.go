package boltstore

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
)

// state is the table beside the tokens.
type state struct{ s *Store }

var _ handshake.StateStore = state{}

// swap is what CompareAndSwap was asked for.
type swap struct {
	key        string
	prev, next []byte
	ttl        time.Duration
}

// State returns the table beside the tokens, in the same file.
func (s *Store) State() handshake.StateStore { return state{s} }

// Get returns a copy of a value as of the last commit.
func (t state) Get(ctx context.Context, key string) ([]byte, error) {
	if err := handshake.CheckState(key, nil, 0); err != nil {
		return nil, err
	}
	var value []byte
	err := t.s.view(ctx, func(tx *bbolt.Tx) error {
		if found, ok := decodeState(tx.Bucket(stateBucket).Get([]byte(key)), t.s.now()); ok {
			value = append([]byte{}, found...)
		}
		return nil
	})
	return value, err
}

// CompareAndSwap replaces a value through the writer. The slices are copied:
// they stay the caller's, also when it gives up waiting.
func (t state) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	if err := handshake.CheckState(key, next, ttl); err != nil {
		return false, err
	}
	o := &op{kind: opSwap, swap: swap{key: key, prev: bytes.Clone(prev), next: bytes.Clone(next), ttl: ttl}}
	if err := t.s.do(ctx, o); err != nil {
		return false, err
	}
	return o.swapped, nil
}
