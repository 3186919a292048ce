package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// fill is how full a page of tokens is left when it is split. New keys are the
// greatest, and values keep their size, so that pages need little room to grow.
const fill = 0.95

// run is the writer, with the housekeeper beside it.
func (s *Store) run() {
	housekeeper := make(chan struct{})
	go func() {
		defer close(housekeeper)
		s.keepHouse()
	}()
	for {
		b := s.queue.take()
		if b == nil {
			break
		}
		s.commit(b)
		close(b.done)
	}
	close(s.drained)
	<-housekeeper
	s.closeErr = s.db.Close()
	close(s.stopped)
}

// commit makes one transaction of a batch. When it fails, all of the batch has
// failed; the next one begins from what is on disk.
func (s *Store) commit(b *batch) {
	tx, err := s.db.Begin(true)
	if err != nil {
		fail(b, fmt.Errorf("boltstore: cannot begin a change of %s: %w", s.path, err))
		return
	}
	changed, taken := false, b.ops[:0:0]
	tables := openTables(tx)
	for _, o := range b.ops {
		if o.progress.CompareAndSwap(opWaiting, opTaken) {
			taken = append(taken, o)
		}
	}
	early := s.sealEarly(tables.heads, taken)
	entries, foreseen := s.entries[:0], early != nil
	for _, o := range taken {
		would, before := o.notesForeseen(), len(entries)
		s.apply(tables, o)
		changed = changed || o.changed
		entries = o.leave(entries)
		foreseen = foreseen && len(entries)-before == would
	}
	block := early.wait()
	if !changed {
		_ = tx.Rollback() // gives the lock back; there is nothing to undo
		return
	}
	if len(entries) > 0 {
		var err error
		if !foreseen {
			block, err = s.sealNow(tables.heads, entries)
		}
		if err == nil {
			err = s.putBlock(tx, block)
		}
		clear(entries)
		s.entries = entries
		if err != nil {
			_ = tx.Rollback()
			fail(b, fmt.Errorf("boltstore: cannot write the audit trail in %s: %w", s.path, err))
			return
		}
	}
	id := tx.ID()
	if err := tx.Commit(); err != nil {
		fail(b, s.commitError(id, err))
	}
	if len(entries) > 0 {
		s.blocks.wake()
	}
}

// commitError says what a failed commit has left. It was not made as long as
// readers do not see it. When they do, the disk refused to confirm the last of
// its writes, and whether the change survives is unknown.
func (s *Store) commitError(id int, err error) error {
	visible := true
	viewErr := s.db.View(func(tx *bbolt.Tx) error {
		visible = tx.ID() >= id
		return nil
	})
	if visible || viewErr != nil {
		return fmt.Errorf("boltstore: %w: %s: %w", handshake.ErrOutcomeUnknown, s.path, err)
	}
	return fmt.Errorf("boltstore: cannot write %s: %w", s.path, err)
}

// fail gives an error to every op of a batch that has none of its own.
func fail(b *batch, err error) {
	for _, o := range b.ops {
		if o.err == nil {
			o.err = err
		}
	}
}

// tables are the buckets of one transaction.
type tables struct {
	tx            *bbolt.Tx
	tokens, state *bbolt.Bucket
	heads         *bbolt.Bucket // of the trail
}

func openTables(tx *bbolt.Tx) tables {
	t := tables{tx: tx, tokens: tx.Bucket(tokensBucket), state: tx.Bucket(stateBucket), heads: tx.Bucket(headsBucket)}
	t.tokens.FillPercent = fill
	return t
}

// apply makes the change of one op, seeing those of the ops before it.
func (s *Store) apply(t tables, o *op) {
	if s.sealer == nil && (len(o.notes) > 0 || o.claim.Note != nil) {
		o.err = audit.ErrNoChain
		return
	}
	switch o.kind {
	case opMint:
		o.mint(t.tokens)
	case opConsume:
		o.end(t.tokens, handshake.Used, func(r handshake.Record) handshake.Reason { return r.Judge(o.claim) })
	case opRevoke:
		o.end(t.tokens, handshake.Revoked, func(r handshake.Record) handshake.Reason { return r.JudgeRevocation(o.claim.At) })
	case opSwap:
		o.compareAndSwap(t.state, s.now())
	case opForget:
		o.forget(t, s.retention, s.now())
	case opUpdate:
		o.changed, o.err = o.update(t.tx)
		o.changed = o.changed || len(o.notes) > 0
	case opNote:
		o.changed = true
	case opExpire:
		o.expire(t, s.sealer != nil, s.now())
	}
}

func (o *op) mint(tokens *bbolt.Bucket) {
	key := tokenKey(o.record.ID)
	if tokens.Get(key[:]) != nil {
		o.err = handshake.ErrExists
		return
	}
	o.put(tokens, key[:], encodeRecord(o.record))
}

// end takes a live token to a final status.
func (o *op) end(tokens *bbolt.Bucket, status handshake.Status, judge func(handshake.Record) handshake.Reason) {
	key := tokenKey(o.claim.ID)
	value := tokens.Get(key[:])
	if value == nil {
		o.reason = handshake.ReasonUnknown
		return
	}
	o.record, o.err = decodeRecord(o.claim.ID, value)
	if o.err != nil {
		return
	}
	if o.reason = judge(o.record); o.reason != handshake.Granted {
		return
	}
	o.record.Status, o.record.Ended = status, time.UnixMilli(o.claim.At.UnixMilli())
	o.put(tokens, key[:], encodeRecord(o.record))
}

// leave adds what an op leaves in the trail: its notes, or the intention of a claim
// and what came of it.
func (o *op) leave(entries []audit.Entry) []audit.Entry {
	if o.err != nil || o.claim.Note != nil && !o.changed {
		return entries
	}
	return o.wouldLeave(entries)
}

// notesForeseen is how many entries an op leaves when it is done, as far as that
// can be told before.
func (o *op) notesForeseen() int {
	if o.claim.Note != nil {
		return len(o.notes) + 2
	}
	return len(o.notes)
}

// wouldLeave adds what an op leaves in the trail when it is done.
func (o *op) wouldLeave(entries []audit.Entry) []audit.Entry {
	entries = append(entries, o.notes...)
	if note := o.claim.Note; note != nil {
		entries = append(entries, *note, *note)
		n := len(entries)
		entries[n-2].Outcome, entries[n-1].Outcome = audit.Intended, audit.Done
	}
	return entries
}

func (o *op) compareAndSwap(state *bbolt.Bucket, now time.Time) {
	key := []byte(o.swap.key)
	value, found := decodeState(state.Get(key), now)
	if found != (o.swap.prev != nil) || !bytes.Equal(value, o.swap.prev) {
		return
	}
	o.swapped = true
	if o.swap.next != nil {
		o.put(state, key, encodeState(o.swap.next, now.Add(o.swap.ttl)))
		return
	}
	if found {
		o.delete(state, key)
	}
}

func (o *op) put(bucket *bbolt.Bucket, key, value []byte) {
	o.changed = true
	o.err = errors.Join(o.err, bucket.Put(key, value))
}

func (o *op) delete(bucket *bbolt.Bucket, key []byte) {
	o.changed = true
	o.err = errors.Join(o.err, bucket.Delete(key))
}
