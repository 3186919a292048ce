package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

const (
	// statePrefix begins the keys of the state table.
	statePrefix = "trackgate:state:"
	// gravestone is how long a removed entry remembers who removed it, for
	// repetitions of the removal: longer than any of them can take.
	gravestone = time.Minute
	// valueMark begins an entry that has a value.
	valueMark   = 'V'
	stateHeader = 1 + attemptSize
)

// state is the table beside the tokens.
type state struct{ s *Store }

var _ handshake.StateStore = state{}

// State returns the table beside the tokens, in the same Redis.
func (s *Store) State() handshake.StateStore { return state{s} }

// Get returns a value.
func (t state) Get(ctx context.Context, key string) ([]byte, error) {
	if err := handshake.CheckState(key, nil, 0); err != nil {
		return nil, err
	}
	get := redis.NewStringCmd(ctx, "get", statePrefix+key)
	err := t.s.process(ctx, get)
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("redisstore: cannot read a state entry: %w", err)
	}
	entry := get.Val()
	if len(entry) < stateHeader || entry[0] != valueMark {
		return nil, nil
	}
	return []byte(entry[stateHeader:]), nil
}

// CompareAndSwap replaces a value by a script on its key.
func (t state) CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error) {
	if err := handshake.CheckState(key, next, ttl); err != nil {
		return false, err
	}
	// A repetition has the same number, by which it knows what an earlier
	// delivery did.
	attempt := t.s.attempts.next()
	var reply any
	err := t.s.inReign(ctx, func(ctx context.Context, st *stamp) (err error) {
		reply, err = t.s.run(ctx, swapScript, statePrefix+key, st,
			attempt, optional(prev), optional(next), max(ttl.Milliseconds(), 1), gravestone.Milliseconds())
		return err
	})
	if err != nil {
		return false, changeError("state", err)
	}
	return reply == int64(1), nil
}

// optional writes a value for the script: '+' before it, or '-' for none.
func optional(value []byte) string {
	if value == nil {
		return "-"
	}
	return "+" + string(value)
}
