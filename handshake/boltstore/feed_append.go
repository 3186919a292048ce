package boltstore

import (
	"context"
	"encoding/binary"
	"errors"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

// trimChunk is how many events, and how many keys, one commit forgets at most for
// each append that it holds; an append of more makes room for as many as it adds.
const trimChunk = 512

// appending is an Append on its way through the writer.
type appending struct {
	events
	list []prepared

	positions []string
	more      bool // whether there is more to forget
}

// prepared is an event as it is stored. The writer does nothing that its callers
// can do beside each other.
type prepared struct {
	value  []byte
	digest [feed.KeySize]byte
	keyed  bool
}

func (f events) newAppend(list []feed.New) *appending {
	a := &appending{events: f, list: make([]prepared, len(list))}
	for i := range list {
		p := &a.list[i]
		p.value = feed.AppendEvent(nil, &list[i].Event)
		p.digest, p.keyed = list[i].Digest()
	}
	return a
}

// update is the change of an op. It looks before it writes: an op that fails must
// have changed nothing.
func (a *appending) update(tx *bbolt.Tx) (bool, error) {
	last, err := lastPosition(tx)
	if err != nil {
		return false, err
	}
	now := a.now()
	at := feed.Position{Millis: max(now, last.Millis), Number: last.Number}
	table, keys, order := tx.Bucket(eventsBucket), tx.Bucket(keysBucket), tx.Bucket(keyOrderBucket)
	table.FillPercent, order.FillPercent = fill, fill
	a.positions = make([]string, len(a.list))
	keyed := 0
	for i, p := range a.list {
		var known []byte
		if p.keyed {
			known = keys.Get(p.digest[:])
			if known != nil && !a.forgotten(known, now) {
				if table.Get(known) != nil && position(known).Compare(a.oldest()) >= 0 {
					a.positions[i] = position(known).String()
				}
				continue
			}
		}
		at.Number++
		key := positionKey(at)
		err = errors.Join(err, table.Put(key, p.value))
		a.positions[i] = at.String()
		if !p.keyed {
			continue
		}
		if known == nil {
			keyed++
		} else {
			err = errors.Join(err, order.Delete(known))
		}
		err = errors.Join(err, keys.Put(p.digest[:], key), order.Put(key, p.digest[:]))
	}
	added := at.Number - last.Number
	if added == 0 {
		return false, err
	}
	err = errors.Join(err, tx.Bucket(feedBucket).Put(lastKey, positionKey(at)), countKeys(tx, keyed))
	more, trimErr := a.trim(tx, max(trimChunk, int(added)))
	a.more = more
	tx.OnCommit(a.s.feed.wake)
	return true, errors.Join(err, trimErr)
}

// forgotten is whether the key of an event at a position is recognised no more.
func (f events) forgotten(at []byte, now uint64) bool {
	return position(at).Millis+uint64(f.bounds.KeyAge.Milliseconds()) < now
}

// trim deletes what is beyond the bounds, chunk events and chunk keys at most, and
// tells whether there is more.
func (f events) trim(tx *bbolt.Tx, chunk int) (more bool, err error) {
	last, err := lastPosition(tx)
	if err != nil {
		return false, err
	}
	oldest := f.oldest()
	cursor := tx.Bucket(eventsBucket).Cursor()
	surplus := func(key []byte) bool {
		at := position(key)
		return at.Compare(oldest) < 0 || at.Number+uint64(f.bounds.MaxEvents) <= last.Number
	}
	for range chunk {
		key, _ := cursor.First()
		if key == nil || !surplus(key) {
			break
		}
		if err := cursor.Delete(); err != nil {
			return false, err
		}
	}
	key, _ := cursor.First()
	moreKeys, err := f.trimKeys(tx, chunk)
	return moreKeys || key != nil && surplus(key), err
}

func (f events) trimKeys(tx *bbolt.Tx, chunk int) (more bool, err error) {
	now, count := f.now(), keyCount(tx)
	keys, cursor := tx.Bucket(keysBucket), tx.Bucket(keyOrderBucket).Cursor()
	deleted := 0
	for key, digest := cursor.First(); key != nil; key, digest = cursor.First() {
		if !f.forgotten(key, now) && count-deleted <= f.bounds.MaxKeys {
			break
		}
		if deleted == chunk {
			more = true
			break
		}
		if err := errors.Join(keys.Delete(digest), cursor.Delete()); err != nil {
			return false, err
		}
		deleted++
	}
	if deleted == 0 {
		return more, nil
	}
	return more, countKeys(tx, -deleted)
}

func keyCount(tx *bbolt.Tx) int {
	value := tx.Bucket(feedBucket).Get(countKey)
	if len(value) != 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(value))
}

func countKeys(tx *bbolt.Tx, added int) error {
	count := max(keyCount(tx)+added, 0)
	return tx.Bucket(feedBucket).Put(countKey, binary.BigEndian.AppendUint64(nil, uint64(count)))
}

// trimRest has what is left beyond the bounds deleted in the background, a chunk a
// commit, by one goroutine at a time. It ends with the store, and with any trouble:
// the next append or reader begins anew.
func (f events) trimRest(more bool) {
	if !more || !f.s.feed.trimming.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer f.s.feed.trimming.Store(false)
		for more := true; more; {
			err := f.s.do(context.Background(), &op{kind: opUpdate, update: func(tx *bbolt.Tx) (bool, error) {
				var err error
				more, err = f.trim(tx, trimChunk)
				return true, err
			}})
			if err != nil {
				if !errors.Is(err, handshake.ErrClosed) {
					f.s.logger.Warn("old events could not be deleted; it is tried again", "error", err)
				}
				return
			}
		}
	}()
}
