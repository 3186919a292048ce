// Package boltstore keeps the gateway's tokens in one bbolt file, for a gateway
// that runs alone.
//
// One goroutine writes. It commits all changes that wait as one transaction, so
// that a hundred concurrent callers share the two disk flushes of a commit, and
// gives every answer after the commit is on disk. Refusals are read from the
// last commit and wait for nothing.
//
// Keys begin with the time of minting, which the token itself carries: new
// tokens stand side by side, so that a commit rewrites few pages, and what may
// be forgotten is the beginning of the table.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// Defaults and limits.
const (
	// DefaultRetention is how long a used, revoked or expired token is known.
	DefaultRetention = 24 * time.Hour
	// DefaultQueue is how many changes may wait for the writer.
	DefaultQueue = 16384
	// DefaultStallLimit is how long a commit may take before those who wait
	// for it are told that its outcome is unknown. It is the time limit of
	// every change.
	DefaultStallLimit = 5 * time.Second
	// sweepInterval is how often what may be forgotten is looked for.
	sweepInterval = 10 * time.Second
	// sweepChunk is how many entries one commit forgets at most, so that the
	// changes that share the commit do not wait long.
	sweepChunk = 512
)

// Store is a [handshake.Store] in one file. It must be made by [Open].
type Store struct {
	db         *bbolt.DB
	path       string
	retention  time.Duration
	stallLimit time.Duration
	now        func() time.Time
	logger     *slog.Logger
	queue      queue
	feed       feedState
	blocks     bell          // rung when the trail has grown
	sealer     audit.Sealer  // the writer's; nil before Begin
	entries    []audit.Entry // the writer's, for use in one commit
	drained    chan struct{} // closed when the writer has returned
	stopped    chan struct{} // closed when the file is closed
	closeErr   error
}

var _ handshake.Store = (*Store)(nil)

// Option changes a [Store] that [Open] makes.
type Option func(*Store)

// WithRetention sets how long a token is known after it was used or revoked or
// has expired. It must be positive.
func WithRetention(d time.Duration) Option { return func(s *Store) { s.retention = d } }

// WithClock sets the clock by which entries are forgotten, time.Now by default.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// WithLogger sets who is told of what goes wrong in the background; without it
// nobody is.
func WithLogger(l *slog.Logger) Option { return func(s *Store) { s.logger = l } }

// WithQueue sets how many changes may wait for the writer; more are refused
// with [handshake.ErrBusy].
func WithQueue(n int) Option { return func(s *Store) { s.queue.limit = n } }

// WithStallLimit sets how long a commit may take before those who wait for it
// are told that its outcome is unknown.
func WithStallLimit(d time.Duration) Option { return func(s *Store) { s.stallLimit = d } }

// Open opens the file at a path, and makes it, and its directory, where there
// is none. Errors wrap [ErrLocked] when another process has the file open, and
// [ErrFormat] when it is not a token file that this version can read.
func Open(path string, opts ...Option) (*Store, error) {
	s := &Store{
		path:       path,
		retention:  DefaultRetention,
		stallLimit: DefaultStallLimit,
		now:        time.Now,
		logger:     slog.New(slog.DiscardHandler),
		drained:    make(chan struct{}),
		stopped:    make(chan struct{}),
	}
	s.queue.init(DefaultQueue)
	s.blocks.init()
	for _, opt := range opts {
		opt(s)
	}
	if s.retention <= 0 || s.stallLimit <= 0 || s.queue.limit <= 0 {
		return nil, errors.New("boltstore: retention, stall limit and queue must be positive")
	}
	db, err := open(path)
	if err != nil {
		return nil, err
	}
	s.db = db
	go s.run()
	return s, nil
}

// Mint adds a live token.
func (s *Store) Mint(ctx context.Context, r handshake.Record, notes ...audit.Entry) error {
	return s.do(ctx, &op{kind: opMint, record: r, notes: notes})
}

// Consume takes a token from live to used. What is refused is refused from the
// last commit; only a claim that would be granted goes to the writer, where it
// is judged again.
func (s *Store) Consume(ctx context.Context, c handshake.Claim) (handshake.Record, handshake.Reason, error) {
	return s.change(ctx, &op{kind: opConsume, claim: c}, func(r handshake.Record) handshake.Reason { return r.Judge(c) })
}

// Revoke takes a live token to revoked.
func (s *Store) Revoke(ctx context.Context, id handshake.ID, at time.Time) (handshake.Record, handshake.Reason, error) {
	o := &op{kind: opRevoke, claim: handshake.Claim{ID: id, At: at}}
	return s.change(ctx, o, func(r handshake.Record) handshake.Reason { return r.JudgeRevocation(at) })
}

func (s *Store) change(ctx context.Context, o *op, judge func(handshake.Record) handshake.Reason) (handshake.Record, handshake.Reason, error) {
	record, found, err := s.Lookup(ctx, o.claim.ID)
	switch {
	case err != nil:
		return handshake.Record{}, handshake.ReasonStore, err
	case !found:
		return handshake.Record{}, handshake.ReasonUnknown, nil
	}
	if reason := judge(record); reason != handshake.Granted {
		return record, reason, nil
	}
	if err := s.do(ctx, o); err != nil {
		return handshake.Record{}, handshake.ReasonStore, err
	}
	return o.record, o.reason, nil
}

// Lookup returns the record of a token as of the last commit.
func (s *Store) Lookup(ctx context.Context, id handshake.ID) (handshake.Record, bool, error) {
	var record handshake.Record
	var found bool
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		key := tokenKey(id)
		value := tx.Bucket(tokensBucket).Get(key[:])
		if value == nil {
			return nil
		}
		found = true
		var err error
		record, err = decodeRecord(id, value)
		return err
	})
	return record, found && err == nil, err
}

// Find reads through all tokens.
func (s *Store) Find(ctx context.Context, f handshake.Fingerprint) ([]handshake.Record, error) {
	var found []handshake.Record
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(tokensBucket).Cursor()
		seen := 0
		for key, value := cursor.First(); key != nil; key, value = cursor.Next() {
			if seen++; seen%4096 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			id, err := decodeKey(key)
			if err != nil {
				return err
			}
			if id.Fingerprint() != f {
				continue
			}
			record, err := decodeRecord(id, value)
			if err != nil {
				return err
			}
			found = append(found, record)
		}
		return nil
	})
	return found, err
}

// Ping tells whether the file can be read and its writer is not stuck.
func (s *Store) Ping(ctx context.Context) error {
	if since, busy := s.queue.busy(); busy && since > s.stallLimit {
		return fmt.Errorf("boltstore: a commit to %s has been waiting for the disk for %v", s.path, since.Round(time.Second))
	}
	return s.view(ctx, func(*bbolt.Tx) error { return nil })
}

// Path returns the path of the file.
func (s *Store) Path() string { return s.path }

// Close commits what waits, and closes the file.
func (s *Store) Close() error {
	s.queue.close()
	<-s.stopped
	return s.closeErr
}

// view reads the last commit.
func (s *Store) view(ctx context.Context, read func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.db.View(read)
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return handshake.ErrClosed
	}
	return err
}
