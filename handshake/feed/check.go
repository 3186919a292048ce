package feed

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Check returns an error that wraps [ErrTooLarge] for events that no [Store] takes
// at once. Implementations of Append and Advance call it first.
func Check(events []New) error {
	if len(events) > MaxAppend {
		return tooLarge("%d events at once are more than %d", len(events), MaxAppend)
	}
	size := 0
	for i := range events {
		e := &events[i]
		for _, text := range [...]string{e.Source, e.Kind, e.Tracker, e.Bug} {
			if len(text) > MaxText {
				return tooLarge("source, kind, tracker and bug have at most %d bytes each, one of event %d has %d", MaxText, i, len(text))
			}
			size += len(text)
		}
		switch {
		case len(e.Data) > MaxData:
			return tooLarge("the data of event %d are %d bytes, more than %d", i, len(e.Data), MaxData)
		case len(e.Key) > MaxKey:
			return tooLarge("the key of event %d has %d bytes, more than %d", i, len(e.Key), MaxKey)
		}
		size += len(e.Data)
	}
	if size > MaxAppendSize {
		return tooLarge("%d bytes at once are more than %d; append fewer events at a time", size, MaxAppendSize)
	}
	return nil
}

// CheckLease returns an error for a lease that no [Store] gives: without a name or
// a holder, with a longer one than [MaxKey], or for less than a millisecond.
func CheckLease(name, holder string, ttl time.Duration) error {
	switch {
	case name == "" || holder == "":
		return errors.New("a lease needs a name and a holder")
	case len(name) > MaxKey || len(holder) > MaxKey:
		return tooLarge("the names of a lease and of its holder have at most %d bytes", MaxKey)
	case ttl < time.Millisecond:
		return errors.New("a lease lasts for a millisecond at least")
	}
	return nil
}

// CheckLeasePosition returns an error that wraps [ErrTooLarge] for a position that
// no [Store] keeps with a lease.
func CheckLeasePosition(position []byte) error {
	if len(position) > MaxLeasePosition {
		return tooLarge("the position of a lease is %d bytes, more than %d", len(position), MaxLeasePosition)
	}
	return nil
}

func tooLarge(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrTooLarge}, args...)...)
}

// KeySize is the size of a [New.Digest].
const KeySize = sha256.Size / 2

// Digest stands for an event's source and key in a store; ok is false for an event
// that is never recognised.
func (n *New) Digest() (digest [KeySize]byte, ok bool) {
	if n.Key == "" {
		return digest, false
	}
	text := binary.AppendUvarint(nil, uint64(len(n.Source)))
	text = append(append(text, n.Source...), n.Key...)
	sum := sha256.Sum256(text)
	copy(digest[:], sum[:])
	return digest, true
}

// Validate refuses bounds below zero.
func (b Bounds) Validate() error {
	switch {
	case b.MaxEvents < 0 || b.MaxKeys < 0:
		return errors.New("the numbers of events and of keys that a feed keeps must be positive, or 0 for the default")
	case b.MaxAge < 0 || b.KeyAge < 0:
		return errors.New("the ages to which a feed keeps events and keys must be positive, or 0 for the default")
	}
	return nil
}

// OrDefault returns the bounds with their defaults filled in, also in place of what
// Validate refuses.
func (b Bounds) OrDefault() Bounds {
	if b.MaxEvents <= 0 {
		b.MaxEvents = DefaultMaxEvents
	}
	if b.MaxKeys <= 0 {
		b.MaxKeys = DefaultMaxKeys
	}
	if b.MaxAge <= 0 {
		b.MaxAge = DefaultMaxAge
	}
	if b.KeyAge <= 0 {
		b.KeyAge = DefaultKeyAge
	}
	// Stores count in milliseconds, and up to what a double holds.
	b.MaxAge = min(max(b.MaxAge, time.Millisecond), maxBound)
	b.KeyAge = min(max(b.KeyAge, time.Millisecond), maxBound)
	return b
}

// maxBound is beyond any age that is meant.
const maxBound = 100 * 365 * 24 * time.Hour
