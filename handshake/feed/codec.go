package feed

import (
	"encoding/binary"
	"errors"
	"time"
)

// codecVersion begins an encoded event.
const codecVersion = 1

// errDamaged is that of bytes which AppendEvent cannot have written.
var errDamaged = errors.New("the event's value is damaged, or of a later version")

// AppendEvent appends an event as stores keep it, without its position: a version,
// the time in milliseconds, the texts with their lengths before them, and the data.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = append(dst, codecVersion)
	dst = binary.AppendVarint(dst, e.Time.UnixMilli())
	for _, text := range [...]string{e.Source, e.Kind, e.Tracker, e.Bug} {
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return append(dst, e.Data...)
}

// DecodeEvent reads what AppendEvent writes. Nothing of the result shares memory
// with src.
func DecodeEvent(src []byte) (Event, error) {
	if len(src) == 0 || src[0] != codecVersion {
		return Event{}, errDamaged
	}
	millis, n := binary.Varint(src[1:])
	if n <= 0 {
		return Event{}, errDamaged
	}
	src = src[1+n:]
	e := Event{Time: time.UnixMilli(millis).UTC()}
	for _, text := range [...]*string{&e.Source, &e.Kind, &e.Tracker, &e.Bug} {
		size, n := binary.Uvarint(src)
		if n <= 0 || size > uint64(len(src)-n) {
			return Event{}, errDamaged
		}
		*text, src = string(src[n:n+int(size)]), src[n+int(size):]
	}
	if len(src) > 0 {
		e.Data = append([]byte{}, src...)
	}
	return e, nil
}
