package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// A live token's value is text:
//
//	kind 1 digit | minted 13 digits, Unix milliseconds | lifetime 5 digits, seconds | tracker
//
// Behind the fence it carries the label of a reign, in the room of most of the
// time of minting:
//
//	minus sign | kind 1 digit | label 10 digits | lifetime 5 digits | minted 3 digits, modulo 1000 | tracker
//
// Without a tracker both are integers of 64 bits, for which Redis needs no
// allocation of its own. A token's text says when it was minted, and the hash is
// over all of the text, so that the time that comes with an ID can be relied on: with
// it the scripts make the first form of the second. A token that has ended needs no
// label, and is
//
//	mark 1 | the 19 digits | ended 6 bytes, Unix milliseconds, big-endian | attempt 16 bytes | tracker
const (
	kindDigits   = 1
	mintedDigits = 13
	liveSize     = kindDigits + mintedDigits + lifeDigits
	lifeDigits   = 5
	// subSecondDigits are those of the time of minting that stay beside a label.
	subSecondDigits = 3
	timeSize        = 6
	endedSize       = 1 + liveSize + timeSize + attemptSize
	// maxKind is the last kind that a 64-bit integer has room for.
	maxKind handshake.Kind = 8
	// The first and the last time of 13 digits: 2001 and 2286.
	minMillis, maxMillis = 1_000_000_000_000, 9_999_999_999_999
)

// marks are the first bytes of the values of tokens that have ended.
var marks = map[handshake.Status]string{handshake.Used: "U", handshake.Revoked: "R"}

// errDamaged is returned for values that this package cannot have written.
var errDamaged = errors.New("redisstore: the token's value in Redis is damaged")

func tokenKey(id handshake.ID) string {
	key := make([]byte, 0, len(keyPrefix)+handshake.HashSize)
	key = append(key, keyPrefix...)
	return string(append(key, id.Hash[:]...))
}

// maxStay is how long the key of a token stays at most beyond the token's expiry.
//
// Tokens that expire at the same time leave one by one, so that forgetting a million of
// them holds up nobody: Redis expires keys in bursts, and with an append-only file each is a
// record more to be written before the next answer. Claims are judged by the time in the
// value meanwhile.
const maxStay = time.Minute

// stay is how long the key of a token stays beyond its expiry. It follows from the hash,
// so that it can be told again.
func stay(id handshake.ID) time.Duration {
	const whole = 1 << 16
	part := binary.BigEndian.Uint16(id.Hash[handshake.HashSize-2:])
	return (maxStay * time.Duration(part) / whole).Truncate(time.Millisecond)
}

// encodeLive returns the value of a live token and how long its key lives.
func encodeLive(r handshake.Record) (string, time.Duration, error) {
	lifetime := r.Expires.Sub(r.Minted())
	switch {
	case lifetime < time.Second || lifetime > handshake.MaxLifetime || lifetime%time.Second != 0:
		return "", 0, fmt.Errorf("redisstore: a token cannot live for %v", lifetime)
	case r.ID.Millis < minMillis || r.ID.Millis > maxMillis:
		return "", 0, fmt.Errorf("redisstore: a token cannot be minted at %v", r.Minted())
	case r.Kind == 0 || r.Kind > maxKind:
		return "", 0, fmt.Errorf("redisstore: tokens of the kind %v cannot be stored", r.Kind)
	}
	digits := (int64(r.Kind)*(maxMillis+1)+r.ID.Millis)*100_000 + int64(lifetime/time.Second)
	value := make([]byte, 0, liveSize+len(r.Tracker))
	value = strconv.AppendInt(value, digits, 10)
	return string(append(value, r.Tracker...)), lifetime + stay(r.ID), nil
}

// labelled returns a live token's value with a label.
func labelled(label, value string) string {
	const life = kindDigits + mintedDigits
	return "-" + value[:kindDigits] + label + value[life:liveSize] + value[life-subSecondDigits:life] + value[liveSize:]
}

// decodeRecord returns the record of a value, and the attempt that ended it.
func decodeRecord(id handshake.ID, value string) (handshake.Record, string, error) {
	status, live := handshake.Live, value
	for ended, mark := range marks {
		if len(value) >= endedSize && value[:1] == mark {
			status, live = ended, value[1:]
		}
	}
	if len(live) < liveSize {
		return damaged(id)
	}
	digits, err := strconv.ParseInt(live[:liveSize], 10, 64)
	if err != nil || digits < 0 || digits%100_000 == 0 {
		return damaged(id)
	}
	minted := time.UnixMilli(digits / 100_000 % (maxMillis + 1))
	r := handshake.Record{
		ID:      handshake.ID{Hash: id.Hash, Millis: minted.UnixMilli()},
		Kind:    handshake.Kind(digits / 100_000 / (maxMillis + 1)),
		Expires: minted.Add(time.Duration(digits%100_000) * time.Second),
		Status:  status,
	}
	if status == handshake.Live {
		r.Tracker = live[liveSize:]
		return r, "", nil
	}
	r.Ended = time.UnixMilli(millis(live[liveSize:]))
	r.Tracker = value[endedSize:]
	return r, value[endedSize-attemptSize : endedSize], nil
}

func damaged(id handshake.ID) (handshake.Record, string, error) {
	return handshake.Record{}, "", fmt.Errorf("%w: %v", errDamaged, id.Fingerprint())
}

func encodeMillis(t int64) string {
	encoded := make([]byte, 0, timeSize)
	encoded = binary.BigEndian.AppendUint16(encoded, uint16(t>>32))
	return string(binary.BigEndian.AppendUint32(encoded, uint32(t)))
}

func millis(src string) int64 {
	var padded [8]byte
	copy(padded[8-timeSize:], src[:timeSize])
	return int64(binary.BigEndian.Uint64(padded[:]))
}
