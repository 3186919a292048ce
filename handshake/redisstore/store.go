// Package redisstore keeps the gateway's tokens in Redis, for any number of
// gateways that share them.
//
// A token is one key, and consuming it one step of Redis: a script on that key on a
// cluster, on a single server a script on the keys of all that are claimed at the
// time, each of which it judges by itself. Concurrent requests of a gateway share
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
// otherwise. The same holds for a replica that is promoted before it has received
// the last changes. Two settings close that:
//
//   - The fence ([WithFence], up by default where anything can be lost) refuses
//     the tokens that were minted before a restart or a promotion. It needs no
//     clock and no agreement between gateways.
//   - [WithReplicas] has a change wait until replicas have it, so that a promotion
//     loses nothing and the fence can be left open.
//
// Without the fence a token that was used can be accepted again after Redis has
// lost that; the state table beside the tokens stands behind no fence, nor does the
// audit trail: entries that Redis has lost are missing from a chain that goes on
// (see [Store.Trail]). Redis tells nobody when a token expires unused, so that the
// trail does not say so here.
//
// Both ride at the end of the shared pipelines: one WAIT and one INFO for all
// commands of a pipeline. [Store.Warnings] says what Redis' own settings put at
// risk.
//
// # Rights
//
// A user of Redis' ACL needs the keys trackgate:* and the commands SET, GET, PTTL,
// EVAL, EVALSHA, SCAN, PING, HELLO; for the trail and the count of live tokens HGET,
// HMGET, HGETALL, HSET, HDEL, HINCRBY, PEXPIRE, XADD, XTRIM, XRANGE, XREVRANGE and
// XREAD; INFO for the fence, WAIT for replicas, CONFIG GET for the warnings and so that
// FenceAuto can see that nothing is forgotten; on a cluster CLUSTER SLOTS, COMMAND and
// ASKING as well.
package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// Defaults and limits.
const (
	// DefaultRetention is how long a used or revoked token is known.
	DefaultRetention = 24 * time.Hour
	// DefaultQueue is how many commands of one gateway may wait for Redis.
	DefaultQueue = 16384
	// DefaultReplicaLimit is how long a change usefully waits for replicas.
	DefaultReplicaLimit = 300 * time.Millisecond
	// MaxReplicaLimit is below the time limit for an answer of Redis.
	MaxReplicaLimit = 800 * time.Millisecond
)

// keyPrefix begins the keys of tokens; the raw hash follows.
//
// It is this short because a key of more than 30 bytes takes 16 bytes more of
// Redis' memory. Other keys begin with the same and go on with text: a hash that
// reads like one of them is as unlikely as one that is another token's.
const keyPrefix = "trackgate:"

// Store is a [handshake.Store] in Redis. It must be made by [New] or [Open].
type Store struct {
	client    redis.UniversalClient
	commands  commander // the client, by way of shared pipelines
	owned     bool
	retention time.Duration
	queue     int
	batches   *batches
	attempts  attempts
	feed      feedState
	journal   *journal
	watcher   *watcher

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

// WithFence sets the fence, [FenceAuto] by default.
func WithFence(f Fence) Option { return func(s *Store) { s.batches.fence = f } }

// WithReplicas has every change wait until n replicas (of its primary) have it, for
// as long as limit; a change that they do not acknowledge in time fails with
// [handshake.ErrOutcomeUnknown]. The limit must be from a millisecond to
// [MaxReplicaLimit]. By default, or with 0, nothing waits. A replica
// acknowledges what it has in memory; with as many as there are, whichever is
// promoted has every change.
func WithReplicas(n int, limit time.Duration) Option {
	return func(s *Store) { s.batches.replicas, s.batches.limit = n, limit }
}

// New returns a store over a client, which stays the caller's to close, and
// must be closed after the store. It does not connect.
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	s := &Store{
		client: client, retention: DefaultRetention, queue: DefaultQueue, attempts: newAttempts(),
		batches: &batches{limit: DefaultReplicaLimit},
	}
	for _, opt := range opts {
		opt(s)
	}
	if s.retention < time.Millisecond || s.queue <= 0 {
		return nil, errors.New("redisstore: retention and queue must be positive")
	}
	if b := s.batches; b.replicas < 0 || b.limit < time.Millisecond || b.limit > MaxReplicaLimit || b.fence.String() == "invalid" {
		return nil, fmt.Errorf("redisstore: a change can wait for 0 replicas or more, for 1ms to %v; the fence is FenceAuto, FenceAlways or FenceNever", MaxReplicaLimit)
	}
	shared := redis.DefaultBlockingAutoPipelineOptions()
	shared.MaxQueuedCommands = s.queue
	pipeline, err := client.AutoPipelineWithOptions(shared)
	if err != nil {
		return nil, fmt.Errorf("redisstore: this client cannot share pipelines: %w", err)
	}
	s.batches.fence = s.batches.fence.settled(client)
	s.batches.watch(client)
	s.commands = pipeline
	s.journal, s.watcher = newJournal(s), newWatcher(s)
	if _, apart := client.(*redis.ClusterClient); !apart {
		s.batches.journal = s.journal
		s.batches.joins.Store(true)
	}
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
//
// The notes are written at the same time.
func (s *Store) Mint(ctx context.Context, r handshake.Record, notes ...audit.Entry) error {
	value, lifetime, err := encodeLive(r)
	if err != nil {
		return err
	}
	if len(notes) == 0 {
		return s.mint(ctx, r.ID, value, lifetime)
	}
	written, err := s.journal.add(ctx, notes)
	if err != nil {
		return err
	}
	if err := s.mint(ctx, r.ID, value, lifetime); err != nil {
		s.journal.hurry(written)
		return err
	}
	if err := s.journal.wait(written); err != nil {
		return fmt.Errorf("redisstore: mint: %w: %w", handshake.ErrOutcomeUnknown, err)
	}
	return nil
}

// mint mints a token in one reign. A minting that was sent again is not repeated in
// another reign: the server that it was sent to first may execute it yet, and go on
// believing that it reigns, so that each of two servers would accept the token.
func (s *Store) mint(ctx context.Context, id handshake.ID, value string, lifetime time.Duration) error {
	key := tokenKey(id)
	err := s.inReign(ctx, func(ctx context.Context, st *stamp) error {
		st.value = value
		set := redis.NewStatusCmd(ctx, "set", key, st, "px", lifetime.Milliseconds(), "nx")
		err := s.process(ctx, set)
		first := st.reign
		switch {
		case st.resent && errors.Is(st.outcome, errReign):
			return errTwoReigns
		case !errors.Is(err, redis.Nil):
			return err
		}
		// The token is there by now, so that the caller's going away comes too late.
		reply, err := s.run(context.WithoutCancel(ctx), confirmScript, key, st, id.Millis)
		switch {
		case err == nil && first != nil && st.reign.id != first.id:
			return errTwoReigns
		case err == nil && reply != int64(1):
			return handshake.ErrExists
		}
		return err
	})
	if errors.Is(err, handshake.ErrExists) {
		return handshake.ErrExists
	}
	return changeError("mint", err)
}

// Consume takes a token from live to used.
//
// A token expires by the clock of the claim, and by that of Redis, which removes the
// key up to a minute later: a gateway whose clock is wrong can end tokens early, and
// make them live longer by no more than that.
//
// The intention of a claim with a note stands in the trail before the token is
// touched. Where the trail is on the same server, both are sent at once, and the
// script looks whether the intention is there: what is on disk, or on a replica, of
// the two is there in this order. On a cluster, and when the intention came too late
// for the pipeline, the claim waits until the intention is durable.
func (s *Store) Consume(ctx context.Context, c handshake.Claim) (handshake.Record, handshake.Reason, error) {
	if c.Note == nil {
		return s.consume(ctx, c, nil)
	}
	defer s.journal.enter()()
	note := *c.Note
	note.Outcome = audit.Intended
	intention, err := s.journal.add(ctx, []audit.Entry{note})
	if err != nil {
		return handshake.Record{}, handshake.ReasonStore, err
	}
	record, reason, err := s.consumeBehind(context.WithoutCancel(ctx), c, intention)
	switch {
	case err != nil:
		note.Outcome, note.Reason = audit.Failed, string(handshake.ReasonStore)
	case reason != handshake.Granted:
		note.Outcome, note.Reason = audit.Refused, string(reason)
	default:
		note.Outcome = audit.Done
	}
	s.journal.follow(note)
	return record, reason, err
}

// errApart is that of a claim whose intention is not in the trail yet.
var errApart = errors.New("redisstore: the intention is not in the audit trail")

// consumeBehind makes a claim whose intention must stand in the trail.
func (s *Store) consumeBehind(ctx context.Context, c handshake.Claim, intention *group) (handshake.Record, handshake.Reason, error) {
	if s.journal.rides() {
		record, reason, err := s.consume(ctx, c, intention)
		if !errors.Is(err, errApart) {
			if waitErr := s.journal.wait(intention); waitErr != nil && err == nil && reason == handshake.Granted {
				return handshake.Record{}, handshake.ReasonStore, fmt.Errorf("redisstore: consume: %w: %w", handshake.ErrOutcomeUnknown, waitErr)
			}
			return record, reason, err
		}
	}
	if err := s.journal.wait(intention); err != nil {
		return handshake.Record{}, handshake.ReasonStore, err
	}
	return s.consume(ctx, c, nil)
}

func (s *Store) consume(ctx context.Context, c handshake.Claim, intention *group) (handshake.Record, handshake.Reason, error) {
	judge := func(r handshake.Record) handshake.Reason { return r.Judge(c) }
	return s.end(ctx, c, handshake.Used, intention, judge, strconv.Itoa(int(c.Kind)))
}

// Revoke takes a live token to revoked.
func (s *Store) Revoke(ctx context.Context, id handshake.ID, at time.Time) (handshake.Record, handshake.Reason, error) {
	c := handshake.Claim{ID: id, At: at}
	return s.end(ctx, c, handshake.Revoked, nil, func(r handshake.Record) handshake.Reason { return r.JudgeRevocation(at) }, "")
}

// end takes a live token to a final status. expected are the digit of the kind and the
// tracker that the token must have, or nothing. With an intention that is not in the
// trail it fails with errApart, and nothing was done.
func (s *Store) end(
	ctx context.Context, c handshake.Claim, status handshake.Status, intention *group,
	judge func(handshake.Record) handshake.Reason, kind string,
) (handshake.Record, handshake.Reason, error) {
	var reply any
	var tried tries
	err := s.inReign(ctx, func(ctx context.Context, st *stamp) (err error) {
		attempt := s.attempts.next()
		tried = append(tried, try{attempt, st})
		reply, err = s.finish(ctx, st, ended{
			claim: &c, mark: marks[status], attempt: attempt, kind: kind, intention: intention,
		})
		return err
	})
	late := errors.Is(err, errReplicas) // which matters to a change and not to a refusal
	switch {
	case errors.Is(err, redis.Nil), late && reply == nil:
		return handshake.Record{}, handshake.ReasonUnknown, nil
	case err != nil && !late:
		return handshake.Record{}, handshake.ReasonStore, changeError("change", err)
	case reply == int64(0):
		return handshake.Record{}, handshake.ReasonStore, errApart
	}
	value, _ := reply.(string)
	record, by, decodeErr := decodeRecord(c.ID, value)
	if decodeErr != nil {
		return handshake.Record{}, handshake.ReasonStore, decodeErr
	}
	if record.Status == status && tried.made(by) {
		if late {
			return handshake.Record{}, handshake.ReasonStore, changeError("change", err)
		}
		return record, handshake.Granted, nil
	}
	reason := judge(record)
	if reason == handshake.Granted {
		return handshake.Record{}, handshake.ReasonStore, fmt.Errorf("%w: %v was refused without a reason", errDamaged, c.ID.Fingerprint())
	}
	return record, reason, nil
}

// try is one of the times that a change was sent, under a number of its own.
type try struct {
	attempt string
	stamp   *stamp
}

// tries are those of one call: more than one where the reign of Redis turned out
// to be another than was thought.
type tries []try

// made tells whether this call made the change that bears the number. What an
// earlier try did in another reign says nothing about who else was let in then,
// unless nothing of that reign was lost, nor of this one can have been.
func (t tries) made(by string) bool {
	last := t[len(t)-1]
	for _, earlier := range t[:len(t)-1] {
		if earlier.attempt == by {
			return earlier.stamp.keepsAll() && last.stamp.keepsAll()
		}
	}
	return last.attempt == by
}

// Lookup returns the record of a token. Behind the fence a live token of an
// earlier reign is not found, since nobody can use it any more.
func (s *Store) Lookup(ctx context.Context, id handshake.ID) (handshake.Record, bool, error) {
	return s.look(ctx, lookScript, id, id.Millis)
}

// look runs a script that returns the value of a token.
func (s *Store) look(ctx context.Context, sc script, id handshake.ID, args ...any) (handshake.Record, bool, error) {
	var reply any
	err := s.inReign(ctx, func(ctx context.Context, st *stamp) (err error) {
		reply, err = s.run(ctx, sc, tokenKey(id), st, args...)
		return err
	})
	switch {
	case errors.Is(err, redis.Nil), errors.Is(err, errReplicas) && reply == nil:
		return handshake.Record{}, false, nil
	case err != nil && !errors.Is(err, errReplicas): // a look changes nothing that replicas could miss
		return handshake.Record{}, false, fmt.Errorf("redisstore: cannot look up a token: %w", err)
	}
	value, _ := reply.(string)
	record, _, err := decodeRecord(id, value)
	return record, err == nil, err
}

// Ping asks Redis for an answer, every primary of a cluster.
func (s *Store) Ping(ctx context.Context) error {
	return s.direct(ctx, func(client redis.UniversalClient) error {
		if cluster, ok := client.(*redis.ClusterClient); ok {
			return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return node.Ping(ctx).Err() })
		}
		return client.Ping(ctx).Err()
	})
}

// Close waits for the calls under way and for what they have yet to tell the
// trail, and closes the client if the store has made it.
func (s *Store) Close() error {
	s.journal.close()
	s.watcher.close()
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

// reignTries is how often a call is made in all when the reign of Redis turns out
// to be another than was thought.
const reignTries = 3

// inReign makes a call whose command carries the stamp, until it was executed in
// the reign for which it was meant. It returns the call's error, or why its answer
// must not be relied on.
func (s *Store) inReign(ctx context.Context, call func(ctx context.Context, st *stamp) error) error {
	var outcome error
	for range reignTries {
		st := s.batches.newStamp()
		err := call(ctx, st)
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if st.outcome == nil {
			return err
		}
		if outcome = st.outcome; !errors.Is(outcome, errReign) {
			return outcome
		}
		ctx = context.WithoutCancel(ctx) // something may have been done
	}
	return outcome
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
