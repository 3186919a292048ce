package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// A token's key is the time of minting in Unix milliseconds, big-endian in six
// bytes, and the hash. Its value is of a fixed size but for the tracker, so
// that a token is rewritten in place:
//
//	kind 1 | status 1 | expires 6 | ended 6 | tracker
//
// A value of the state table is its expiry in six bytes, and the caller's bytes.
const (
	timeSize   = 6
	keySize    = timeSize + handshake.HashSize
	recordSize = 1 + 1 + timeSize + timeSize
)

// errDamaged is returned for entries that this package cannot have written.
var errDamaged = errors.New("the token file is damaged")

func tokenKey(id handshake.ID) (key [keySize]byte) {
	putMillis(key[:], id.Millis)
	copy(key[timeSize:], id.Hash[:])
	return key
}

func decodeKey(key []byte) (handshake.ID, error) {
	if len(key) != keySize {
		return handshake.ID{}, fmt.Errorf("%w: a key of %d bytes", errDamaged, len(key))
	}
	return handshake.ID{Millis: millis(key), Hash: [handshake.HashSize]byte(key[timeSize:])}, nil
}

func encodeRecord(r handshake.Record) []byte {
	value := make([]byte, recordSize+len(r.Tracker))
	value[0], value[1] = byte(r.Kind), byte(r.Status)
	putMillis(value[2:], r.Expires.UnixMilli())
	if !r.Ended.IsZero() {
		putMillis(value[2+timeSize:], r.Ended.UnixMilli())
	}
	copy(value[recordSize:], r.Tracker)
	return value
}

func decodeRecord(id handshake.ID, value []byte) (handshake.Record, error) {
	if len(value) < recordSize || handshake.Status(value[1]) > handshake.Revoked {
		return handshake.Record{}, fmt.Errorf("%w: the record of %v", errDamaged, id.Fingerprint())
	}
	r := handshake.Record{
		ID:      id,
		Kind:    handshake.Kind(value[0]),
		Status:  handshake.Status(value[1]),
		Expires: time.UnixMilli(millis(value[2:])),
		Tracker: string(value[recordSize:]),
	}
	if r.Status != handshake.Live {
		r.Ended = time.UnixMilli(millis(value[2+timeSize:]))
	}
	return r, nil
}

// forgettable tells whether a record may go at a time: it has expired, and the
// retention after its end is over.
func forgettable(r handshake.Record, retention time.Duration, now time.Time) bool {
	end := r.Expires
	if r.Ended.After(end) {
		end = r.Ended
	}
	return !now.Before(end.Add(retention))
}

func encodeState(value []byte, expires time.Time) []byte {
	entry := make([]byte, timeSize+len(value))
	putMillis(entry, expires.UnixMilli())
	copy(entry[timeSize:], value)
	return entry
}

// decodeState returns a view of the value that is valid as long as entry is,
// and nil, false for an entry that has expired or is none.
func decodeState(entry []byte, now time.Time) ([]byte, bool) {
	if len(entry) < timeSize || now.UnixMilli() >= millis(entry) {
		return nil, false
	}
	return entry[timeSize:], true
}

func putMillis(dst []byte, t int64) {
	binary.BigEndian.PutUint16(dst, uint16(t>>32))
	binary.BigEndian.PutUint32(dst[2:], uint32(t))
}

func millis(src []byte) int64 {
	return int64(binary.BigEndian.Uint16(src))<<32 | int64(binary.BigEndian.Uint32(src[2:]))
}
