package audit

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// ErrBlock is the failure of a block that cannot be decoded.
var ErrBlock = errors.New("not a block of the trail")

// Header is what a store may want to know of a block.
type Header struct {
	// Chain is whose block it is.
	Chain ChainID
	// First is the number of the first entry, Count how many there are.
	First uint64
	Count int
	// Before is the MAC of the entry before the first.
	Before MAC
	// Keyed is whether the MACs were made with a key, Key which.
	Keyed bool
	Key   KeyID
	// Time is the first entry's.
	Time time.Time
}

// Last is the number of the last entry.
func (h Header) Last() uint64 { return h.First + uint64(h.Count) - 1 }

// ReadHeader reads the beginning of a block. It does not look at the MACs, nor
// at more than the first entry's time. Errors wrap [ErrBlock].
func ReadHeader(data []byte) (Header, error) {
	d := decoder{rest: data}
	h := d.header()
	if d.wrong == "" {
		entry := decoder{rest: d.bytes(d.length(len(d.rest)))}
		h.Time = entry.time()
	}
	return h, d.err()
}

// sealed is one entry of a block, with what its MAC is over.
type sealed struct {
	Entry
	raw []byte
	mac MAC
}

// decodeBlock reads a block. What it takes is bounded by the length of the data,
// of which it keeps parts. The texts of the entries are clean whatever stands
// there. Errors wrap [ErrBlock].
func decodeBlock(data []byte) (Header, []sealed, error) {
	d := decoder{rest: data}
	h := d.header()
	if d.wrong != "" {
		return h, nil, d.err()
	}
	entries := make([]sealed, h.Count)
	for i := range entries {
		raw := d.bytes(d.length(len(d.rest)))
		inner := decoder{rest: raw, wrong: d.wrong}
		entries[i] = sealed{Entry: inner.entry(), raw: raw, mac: d.mac()}
		if d.wrong == "" {
			d.wrong = inner.wrong
		}
		if d.wrong != "" {
			return h, nil, d.err()
		}
	}
	h.Time = entries[0].Time
	if len(d.rest) > 0 {
		d.wrong = "there is more behind the last entry"
	}
	return h, entries, d.err()
}

// decoder reads from the front of rest. After something wrong it reads zeros.
type decoder struct {
	rest  []byte
	wrong string
}

func (d *decoder) err() error {
	if d.wrong == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBlock, d.wrong)
}

func (d *decoder) fail(what string) {
	if d.wrong == "" {
		d.wrong = what
	}
	d.rest = nil
}

func (d *decoder) header() Header {
	var h Header
	if version := d.byte(); version != blockVersion {
		d.fail("it is of another version")
	}
	flags := d.byte()
	if flags&^flagKeyed != 0 {
		d.fail("it has flags that are not known")
	}
	if h.Keyed = flags&flagKeyed != 0; h.Keyed {
		copy(h.Key[:], d.bytes(keyIDSize))
	}
	copy(h.Chain[:], d.bytes(chainIDSize))
	h.First = d.uvarint()
	h.Before = d.mac()
	count := d.uvarint()
	switch {
	case d.wrong != "":
	case h.First == 0:
		d.fail("its first entry has no number")
	case count == 0:
		d.fail("it has no entries")
	case count > uint64(len(d.rest)/(1+minEntry+macSize)):
		d.fail("it is too short for its number of entries")
	case h.First+count < h.First:
		d.fail("the numbers of its entries are too large")
	}
	if d.wrong != "" {
		return Header{}
	}
	h.Count = int(count)
	return h
}

func (d *decoder) entry() Entry {
	var e Entry
	e.Time = d.time()
	e.Subsystem = Subsystem(d.word(subsystems))
	code := d.uvarint()
	if code > 1<<16-1 {
		d.fail("an entry's code is too large")
	}
	e.Code = Code(code)
	e.Outcome = Outcome(d.word(outcomes))
	fields := d.byte()
	if fields&hasCaller != 0 {
		e.Caller = d.caller()
	}
	if fields&hasListener != 0 {
		e.Listener = d.word(listeners)
	}
	if fields&hasRoute != 0 {
		e.Route = d.text(MaxText)
	}
	if fields&hasSubject != 0 {
		e.Subject = d.subject()
	}
	if fields&hasName != 0 {
		e.Name = d.text(MaxText)
	}
	if fields&hasReason != 0 {
		e.Reason = d.text(MaxText)
	}
	if fields&hasDetail != 0 {
		e.Detail = d.text(MaxDetail)
	}
	if fields&hasHeads != 0 {
		n := int(d.byte())
		if n == 0 || n > MaxHeads {
			d.fail("an entry's heads are too many or none")
		}
		e.Heads = Heads(d.bytes(n * headSize))
	}
	if len(d.rest) > 0 {
		d.fail("an entry is longer than what stands in it")
	}
	return e
}

// maxMillis keeps times within what every rendering can show: the year 9999.
const maxMillis = 253402300799999

func (d *decoder) time() time.Time {
	millis := d.uvarint()
	if millis > maxMillis {
		d.fail("an entry's time is too far in the future")
		return time.Time{}
	}
	return time.UnixMilli(int64(millis)).UTC()
}

func (d *decoder) caller() netip.Addr {
	size := d.byte()
	if size != 4 && size != 16 {
		d.fail("an entry's caller is no address")
		return netip.Addr{}
	}
	addr, _ := netip.AddrFromSlice(d.bytes(int(size)))
	return addr
}

func (d *decoder) subject() string {
	if len(d.rest) > 0 && d.rest[0] == 0 {
		d.byte()
		return hex.EncodeToString(d.bytes(fingerprintSize))
	}
	return d.text(MaxText)
}

func (d *decoder) word(list []string) string {
	switch i := int(d.byte()); {
	case i == 0:
		return d.text(MaxText)
	case i < len(list):
		return list[i]
	default:
		d.fail("an entry has a word that is not known")
		return ""
	}
}

func (d *decoder) text(limit int) string {
	return clean(string(d.bytes(d.length(limit))), limit)
}

func (d *decoder) mac() (m MAC) {
	copy(m[:], d.bytes(macSize))
	return m
}

func (d *decoder) byte() byte {
	b := d.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.fail("it ends too early")
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// length reads a length of limit at most.
func (d *decoder) length(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) {
		d.fail("a length in it is too large")
		return 0
	}
	return int(n)
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || n > 1 && d.rest[n-1] == 0 { // too long, or longer than it must be
		d.fail("a number in it is not readable")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}
