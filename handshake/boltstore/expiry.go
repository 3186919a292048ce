package boltstore

import (
	"context"
	"slices"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
)

// expiryReads is how many tokens one commit looks at to find those that have
// expired unused; it tells sweepChunk of them at most.
const expiryReads = 8 * sweepChunk

// tellExpired writes into the trail which tokens have expired without having been
// used, each once. Before a chain has begun it does nothing.
func (s *Store) tellExpired(ctx context.Context) error {
	for {
		o := &op{kind: opExpire}
		if err := s.do(ctx, o); err != nil || !o.more {
			return err
		}
	}
}

// expire goes on where the last one stopped, which stands in the file, as far as
// all tokens have expired: tokens stand in the order of their minting, and nothing
// is put before one that has expired. A token that lives longer than those after
// it delays what is told of them, by MaxLifetime at most.
func (o *op) expire(t tables, begun bool, now time.Time) {
	if !begun {
		return
	}
	told := t.heads.Get(expiredKey)
	last := slices.Clone(told)
	cursor := t.tokens.Cursor()
	key, value := cursor.Seek(last)
	if key != nil && slices.Equal(key, last) {
		key, value = cursor.Next()
	}
	for seen := 0; key != nil; key, value = cursor.Next() {
		if seen++; seen > expiryReads || len(o.notes) == sweepChunk {
			o.more = true
			break
		}
		id, err := decodeKey(key)
		if err != nil {
			o.err = err
			return
		}
		// Of a record that cannot be read nothing can be told.
		if record, err := decodeRecord(id, value); err == nil {
			if now.Before(record.Expires) {
				break
			}
			if record.Status == handshake.Live {
				o.notes = append(o.notes, expiryOf(record))
			}
		}
		last = append(last[:0], key...)
	}
	if !slices.Equal(last, told) {
		o.put(t.heads, expiredKey, last)
	}
}

func expiryOf(r handshake.Record) audit.Entry {
	return audit.Entry{
		Time: r.Expires, Subsystem: audit.SubsystemToken, Code: audit.TokenExpired, Outcome: audit.Done,
		Subject: r.ID.Fingerprint().String(), Name: r.Tracker,
	}
}
