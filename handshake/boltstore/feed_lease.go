package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/trackgate/trackgate/handshake/feed"
)

// lease is an entry of the table of leases. It stays when the lease has ended: its
// fence must grow, and the position is the next holder's.
type lease struct {
	fence    uint64
	until    uint64 // in Unix milliseconds; 0 after a release
	holder   string // "" after a release
	position []byte
}

// leaseHeader is the size of the fence and the time; the holder follows behind its
// length, and then the position.
const leaseHeader = 16

func (l lease) encode() []byte {
	value := make([]byte, 0, leaseHeader+binary.MaxVarintLen64+len(l.holder)+len(l.position))
	value = binary.BigEndian.AppendUint64(value, l.fence)
	value = binary.BigEndian.AppendUint64(value, l.until)
	value = binary.AppendUvarint(value, uint64(len(l.holder)))
	value = append(value, l.holder...)
	return append(value, l.position...)
}

// readLease returns a lease's entry, which shares memory with the transaction. One
// that nobody ever had is zero.
func readLease(tx *bbolt.Tx, name string) (lease, error) {
	value := tx.Bucket(leasesBucket).Get([]byte(name))
	if value == nil {
		return lease{}, nil
	}
	if len(value) < leaseHeader {
		return lease{}, fmt.Errorf("%w: lease %q", errFeed, name)
	}
	l := lease{fence: binary.BigEndian.Uint64(value), until: binary.BigEndian.Uint64(value[8:])}
	size, n := binary.Uvarint(value[leaseHeader:])
	rest := value[leaseHeader:]
	if n <= 0 || size > uint64(len(rest)-n) {
		return lease{}, fmt.Errorf("%w: lease %q", errFeed, name)
	}
	l.holder, l.position = string(rest[n:n+int(size)]), rest[n+int(size):]
	return l, nil
}

// put writes an entry.
func (l lease) put(tx *bbolt.Tx, name string) error {
	return tx.Bucket(leasesBucket).Put([]byte(name), l.encode())
}

// has is whether the entry is as a holder has got it.
func (l lease) has(held feed.Lease) bool {
	return l.fence != 0 && l.fence == held.Fence && l.holder == held.Holder
}

// Lease takes or prolongs a lease by the gateway's clock. Fences are times, so that
// they grow even when the file is replaced.
func (f events) Lease(ctx context.Context, name, holder string, ttl time.Duration) (feed.Lease, error) {
	if err := feed.CheckLease(name, holder, ttl); err != nil {
		return feed.Lease{}, err
	}
	var got feed.Lease
	err := f.s.do(ctx, &op{kind: opUpdate, update: func(tx *bbolt.Tx) (bool, error) {
		l, err := readLease(tx, name)
		now := f.now()
		switch {
		case err != nil:
			return false, err
		case l.holder != holder && l.until > now:
			return false, fmt.Errorf("boltstore: %q: %w", name, feed.ErrLeased)
		case l.holder != holder:
			l.fence, l.holder = max(l.fence+1, now), holder
		}
		l.until = now + uint64(ttl.Milliseconds())
		got = feed.Lease{Name: name, Holder: holder, Fence: l.fence, Position: kept(l.position)}
		return true, l.put(tx, name)
	}})
	if err != nil {
		return feed.Lease{}, err
	}
	return got, nil
}

// kept is a copy of a position, nil when nobody left any.
func kept(position []byte) []byte {
	if len(position) == 0 {
		return nil
	}
	return bytes.Clone(position)
}

// Advance adds events and moves the lease's position in one commit.
func (f events) Advance(ctx context.Context, held feed.Lease, position []byte, list ...feed.New) error {
	if err := feed.Check(list); err != nil {
		return err
	}
	if err := feed.CheckLeasePosition(position); err != nil {
		return err
	}
	position = bytes.Clone(position) // which stays the caller's when it gives up waiting
	a := f.newAppend(list)
	err := f.s.do(ctx, &op{kind: opUpdate, update: func(tx *bbolt.Tx) (bool, error) {
		l, err := readLease(tx, held.Name)
		if err == nil && !l.has(held) {
			err = fmt.Errorf("boltstore: %q: %w", held.Name, feed.ErrLeaseLost)
		}
		if err != nil {
			return false, err
		}
		if _, err := a.update(tx); err != nil {
			return false, err
		}
		l.position = position
		return true, l.put(tx, held.Name)
	}})
	if err != nil {
		return err
	}
	f.trimRest(a.more)
	return nil
}

// Release ends a lease early, and leaves its fence and position.
func (f events) Release(ctx context.Context, held feed.Lease) error {
	return f.s.do(ctx, &op{kind: opUpdate, update: func(tx *bbolt.Tx) (bool, error) {
		l, err := readLease(tx, held.Name)
		if err != nil || !l.has(held) {
			return false, err
		}
		l.until, l.holder = 0, ""
		return true, l.put(tx, held.Name)
	}})
}
