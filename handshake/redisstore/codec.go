package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

// A live token's value is mark 1 | kind 1 | minted 6 | lifetime 4 | tracker, in
// milliseconds and big-endian. Twelve bytes and no tracker are the most that
// Redis keeps in its smallest allocation for a string. A token that has ended
// has ended 6 | attempt 16 before the tracker.
const (
	liveSize  = 1 + 1 + timeSize + 4
	endedSize = liveSize + timeSize + attemptSize
	timeSize  = 6
)

// marks are the first bytes of values.
var marks = map[handshake.Status]string{handshake.Live: "L", handshake.Used: "U", handshake.Revoked: "R"}

// errDamaged is returned for values that this package cannot have written.
var errDamaged = errors.New("redisstore: the token's value in Redis is damaged")

func tokenKey(id handshake.ID) string {
	key := make([]byte, 0, len(keyPrefix)+handshake.HashSize)
	key = append(key, keyPrefix...)
	return string(append(key, id.Hash[:]...))
}

func encodeLive(r handshake.Record, lifetime int64) (string, error) {
	if lifetime <= 0 || lifetime > math.MaxUint32 {
		return "", fmt.Errorf("redisstore: a token cannot live for %d ms", lifetime)
	}
	value := make([]byte, 0, liveSize+len(r.Tracker))
	value = append(value, marks[handshake.Live]...)
	value = append(value, byte(r.Kind))
	value = appendMillis(value, r.ID.Millis)
	value = binary.BigEndian.AppendUint32(value, uint32(lifetime))
	return string(append(value, r.Tracker...)), nil
}

// decodeRecord returns the record of a value, and the attempt that ended it.
func decodeRecord(id handshake.ID, value string) (handshake.Record, string, error) {
	damaged := fmt.Errorf("%w: %v", errDamaged, id.Fingerprint())
	if len(value) < liveSize {
		return handshake.Record{}, "", damaged
	}
	minted := millis(value[2:])
	lifetime := int64(binary.BigEndian.Uint32([]byte(value[2+timeSize : liveSize])))
	r := handshake.Record{
		ID:      handshake.ID{Hash: id.Hash, Millis: minted},
		Kind:    handshake.Kind(value[1]),
		Expires: time.UnixMilli(minted + lifetime),
	}
	switch value[:1] {
	case marks[handshake.Live]:
		r.Tracker = value[liveSize:]
		return r, "", nil
	case marks[handshake.Used]:
		r.Status = handshake.Used
	case marks[handshake.Revoked]:
		r.Status = handshake.Revoked
	default:
		return handshake.Record{}, "", damaged
	}
	if len(value) < endedSize {
		return handshake.Record{}, "", damaged
	}
	r.Ended = time.UnixMilli(millis(value[liveSize:]))
	r.Tracker = value[endedSize:]
	return r, value[liveSize+timeSize : endedSize], nil
}

func appendMillis(dst []byte, t int64) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(t>>32))
	return binary.BigEndian.AppendUint32(dst, uint32(t))
}

func encodeMillis(t int64) string { return string(appendMillis(make([]byte, 0, timeSize), t)) }

func millis(src string) int64 {
	var padded [8]byte
	copy(padded[8-timeSize:], src[:timeSize])
	return int64(binary.BigEndian.Uint64(padded[:]))
}
