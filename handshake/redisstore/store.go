// Package redisstore keeps the gateway's tokens in Redis, for any number of
// gateways that share them.
//
// A token is one key. Consuming it is one script on that key, which Redis runs
// as one step, on a cluster as well. Concurrent requests of a gateway share
// round trips: go-redis gathers what waits while one pipeline is under way
// into the next.
//
// # Lost answers
//
// A connection may break between Redis' commit and its answer, and go-redis
// then sends the command again. Every change carries the number of its attempt,
// which the script leaves in the record: a repetition finds its own number
// there and reports what the first one did. When the repetitions fail too, the
// call fails with handshake.ErrOutcomeUnknown, and the token may be used without
// anybody having been told so; then it is never accepted. A command that a dead
// connection still delivers, late, can at most use up or end a token that way.
//
// # Durability
//
// Redis answers before its data is on disk unless "appendonly yes" and
// "appendfsync always" are set, and may forget a consumption in a crash
// otherwise: [Store.Warnings] says so. The same holds for a replica that is
// promoted before it has received the last changes.
package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

// Defaults and limits.
const (
	// DefaultRetention is how long a used or revoked token is known.
	DefaultRetention = 24 * time.Hour
	// DefaultQueue is how many commands of one gateway may wait for Redis.
	DefaultQueue = 16384
)

// keyPrefix begins the keys of tokens; the raw hash follows.
const keyPrefix = "trackgate:token:"

// Store is a [handshake.Store] in Redis. It must be made by [New] or [Open].
type Store struct {
	client    redis.UniversalClient
	commands  commander // the client, by way of shared pipelines
	owned     bool
	retention time.Duration
	queue     int
	attempts  attempts

	mu     sync.RWMutex // held for reading while a call runs
	closed bool
}

// commander is what the store asks of a client on its hot path.
type commander interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

var _ handshake.Store = (*Store)(nil)

// Option changes a [Store].
type Option func(*Store)

// WithRetention sets how long a used or revoked token is known. It must be
// positive.
func WithRetention(d time.Duration) Option { return func(s *Store) { s.retention = d } }

// WithQueue sets how many commands may wait for Redis; more are refused with
// [handshake.ErrBusy]. It has no effect on a client whose shared pipeline is in
// use already.
func WithQueue(n int) Option { return func(s *Store) { s.queue = n } }

// New returns a store over a client, which stays the caller's to close, and
// must be closed after the store. It does not connect.
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	s := &Store{client: client, retention: DefaultRetention, queue: DefaultQueue, attempts: newAttempts()}
	for _, opt := range opts {
		opt(s)
	}
	if s.retention < time.Millisecond || s.queue <= 0 {
		return nil, errors.New("redisstore: retention and queue must be positive")
	}
	shared := redis.DefaultBlockingAutoPipelineOptions()
	shared.MaxQueuedCommands = s.queue
	pipeline, err := client.AutoPipelineWithOptions(shared)
	if err != nil {
		return nil, fmt.Errorf("redisstore: this client cannot share pipelines: %w", err)
	}
	s.commands = pipeline
	return s, nil
}

// Open returns a store over a client of its own, by [NewClient], and fails when
// Redis does not answer.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	client, err := NewClient(url)
	if err != nil {
		return nil, err
	}
	s, err := New(client, opts...)
	if err == nil {
		s.owned = true
		err = s.Ping(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("redisstore: cannot open %s: %w", Redacted(url), errors.Join(err, client.Close()))
	}
	return s, nil
}

// Mint adds a live token. That the token is there already is no error when its
// record is the very one: then an earlier delivery of this command made it.
func (s *Store) Mint(ctx context.Context, r handshake.Record) error {
	value, lifetime, err := encodeLive(r)
	if err != nil {
		return err
	}
	key := tokenKey(r.ID)
	set := redis.NewStatusCmd(ctx, "set", key, value, "px", lifetime.Milliseconds(), "nx")
	err = s.process(ctx, set)
	if !errors.Is(err, redis.Nil) {
		return changeError("mint", err)
	}
	// The token is there by now, so that the caller's going away comes too late.
	ctx = context.WithoutCancel(ctx)
	get := redis.NewStringCmd(ctx, "get", key)
	if err := s.process(ctx, get); err != nil && !errors.Is(err, redis.Nil) {
		return changeError("mint", err)
	}
	if get.Val() != value {
		return handshake.ErrExists
	}
	return nil
}

// Consume takes a token from live to used.
//
// A token expires by the clock of Redis, which removes the key, and by that of
// the claim, whichever comes first: a gateway whose clock is wrong can end
// tokens early, and cannot make them live longer.
func (s *Store) Consume(ctx context.Context, c handshake.Claim) (handshake.Record, handshake.Reason, error) {
	return s.end(ctx, c, handshake.Used, func(r handshake.Record) handshake.Reason { return r.Judge(c) },
		int(c.Kind), c.Tracker)
}

// Revoke takes a live token to revoked.
func (s *Store) Revoke(ctx context.Context, id handshake.ID, at time.Time) (handshake.Record, handshake.Reason, error) {
	c := handshake.Claim{ID: id, At: at}
	return s.end(ctx, c, handshake.Revoked, func(r handshake.Record) handshake.Reason { return r.JudgeRevocation(at) })
}

// end runs the script that takes a live token to a final status. expected are
// the kind and the tracker that the token must have, or nothing.
func (s *Store) end(
	ctx context.Context, c handshake.Claim, status handshake.Status,
	judge func(handshake.Record) handshake.Reason, expected ...any,
) (handshake.Record, handshake.Reason, error) {
	attempt := s.attempts.next()
	now := c.At.UnixMilli()
	args := append([]any{marks[status], now, encodeMillis(now), attempt, s.retention.Milliseconds()}, expected...)
	reply, err := s.run(ctx, endScript, tokenKey(c.ID), args...)
	switch {
	case errors.Is(err, redis.Nil):
		return handshake.Record{}, handshake.ReasonUnknown, nil
	case err != nil:
		return handshake.Record{}, handshake.ReasonStore, changeError("change", err)
	}
	value, _ := reply.(string)
	record, by, err := decodeRecord(c.ID, value)
	if err != nil {
		return handshake.Record{}, handshake.ReasonStore, err
	}
	if record.Status == status && by == attempt {
		return record, handshake.Granted, nil
	}
	reason := judge(record)
	if reason == handshake.Granted {
		return handshake.Record{}, handshake.ReasonStore, fmt.Errorf("%w: %v was refused without a reason", errDamaged, c.ID.Fingerprint())
	}
	return record, reason, nil
}

// Lookup returns the record of a token.
func (s *Store) Lookup(ctx context.Context, id handshake.ID) (handshake.Record, bool, error) {
	get := redis.NewStringCmd(ctx, "get", tokenKey(id))
	err := s.process(ctx, get)
	switch {
	case errors.Is(err, redis.Nil):
		return handshake.Record{}, false, nil
	case err != nil:
		return handshake.Record{}, false, fmt.Errorf("redisstore: cannot look up a token: %w", err)
	}
	record, _, err := decodeRecord(id, get.Val())
	return record, err == nil, err
}

// Ping asks Redis for an answer.
func (s *Store) Ping(ctx context.Context) error {
	return s.direct(ctx, func(client redis.UniversalClient) error { return client.Ping(ctx).Err() })
}

// Close waits for the calls under way, and closes the client if the store has
// made it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.owned {
		return s.client.Close()
	}
	return nil
}

// process sends a command with those of other callers.
func (s *Store) process(ctx context.Context, cmd redis.Cmder) error {
	return s.guard(ctx, func() error { return s.commands.Process(ctx, cmd) })
}

// direct uses the client itself, for what is rare.
func (s *Store) direct(ctx context.Context, use func(redis.UniversalClient) error) error {
	return s.guard(ctx, func() error { return use(s.client) })
}

func (s *Store) guard(ctx context.Context, use func() error) error {
	if err := ctx.Err(); err != nil {
		return &notSentError{err}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return handshake.ErrClosed
	}
	err := use()
	switch {
	case errors.Is(err, redis.ErrClosed):
		return handshake.ErrClosed
	case errors.Is(err, redis.ErrAutoPipelineQueueFull):
		return handshake.ErrBusy
	default:
		return err
	}
}

// notSentError is that of a context that had ended before anything was sent. A
// dial that takes too long gives context.DeadlineExceeded too, and means nothing
// of the kind.
type notSentError struct{ error }

// Unwrap returns the context's error.
func (e *notSentError) Unwrap() error { return e.error }

// changeError says what an error means for a change. Whatever Redis or the
// network said last, an earlier delivery of the command may have been executed.
func changeError(what string, err error) error {
	var unsent *notSentError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, handshake.ErrClosed), errors.Is(err, handshake.ErrBusy), errors.As(err, &unsent):
		return err
	default:
		return fmt.Errorf("redisstore: %s: %w: %w", what, handshake.ErrOutcomeUnknown, err)
	}
}

// attempts numbers the changes of one store: a random part that no other store
// has, and a count.
type attempts struct {
	origin string
	count  *atomic.Uint64
}

const attemptSize = 16

func newAttempts() attempts {
	var origin [attemptSize / 2]byte
	_, _ = rand.Read(origin[:]) // documented never to fail
	return attempts{origin: string(origin[:]), count: new(atomic.Uint64)}
}

func (a attempts) next() string {
	number := make([]byte, 0, attemptSize)
	number = append(number, a.origin...)
	return string(binary.BigEndian.AppendUint64(number, a.count.Add(1)))
}
