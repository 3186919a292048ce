package audit

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
)

// A block, as a store keeps it:
//
//	version   1 byte, blockVersion
//	flags     1 byte, flagKeyed or none
//	key       4 bytes, the ID of the key, only with flagKeyed
//	chain     16 bytes
//	first     uvarint, the number of the first entry
//	before    32 bytes, the MAC of the entry before the first, zero when there is none
//	count     uvarint, at least 1
//	entries   each: uvarint length, entry, 32 bytes MAC
//
// An entry:
//
//	time      uvarint, milliseconds since 1970
//	subsystem 1 byte, its place in subsystems, or 0 and a text
//	code      uvarint
//	outcome   1 byte, its place in outcomes, or 0 and a text
//	fields    1 byte, which of the following there are, in the order of the bits
//	caller    1 byte length, 4 or 16, and the address
//	listener  1 byte, its place in listeners, or 0 and a text
//	route     text
//	subject   text, or 0 and the 8 bytes of a fingerprint
//	name      text
//	reason    text
//	detail    text
//	heads     1 byte number, and the heads
//
// A text is a uvarint length and that many bytes. Every uvarint is as short as
// can be. Places are stored: the lists below may only grow at their ends.
const (
	blockVersion = 1
	flagKeyed    = 1

	fixedHeader = 1 + 1 + keyIDSize + chainIDSize + binary.MaxVarintLen64 + macSize + binary.MaxVarintLen32
	// minEntry is the shortest entry in bytes.
	minEntry = 5
	// fingerprintSize is that of a token's fingerprint in bytes.
	fingerprintSize = 8
)

// The bits of the fields that an entry has.
const (
	hasCaller = 1 << iota
	hasListener
	hasRoute
	hasSubject
	hasName
	hasReason
	hasDetail
	hasHeads
)

var (
	subsystems = []string{"", string(SubsystemToken), string(SubsystemHook), string(SubsystemTracker), string(SubsystemThrottle),
		string(SubsystemGateway), string(SubsystemOperator), string(SubsystemTrail)}
	outcomes  = []string{"", string(Intended), string(Done), string(Refused), string(Failed)}
	listeners = []string{"", "public", "private", "admin", "control"}
)

// appendEntry encodes an entry. What its texts hold is made harmless first.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(min(max(e.Time.UnixMilli(), 0), maxMillis)))
	dst = appendWord(dst, string(e.Subsystem), subsystems)
	dst = binary.AppendUvarint(dst, uint64(e.Code))
	dst = appendWord(dst, string(e.Outcome), outcomes)
	at := len(dst)
	fields := byte(0)
	dst = append(dst, 0)
	if caller := e.Caller.Unmap(); caller.IsValid() {
		fields |= hasCaller
		dst = append(dst, byte(caller.BitLen()/8))
		if caller.Is4() {
			raw := caller.As4()
			dst = append(dst, raw[:]...)
		} else {
			raw := caller.As16()
			dst = append(dst, raw[:]...)
		}
	}
	if e.Listener != "" {
		fields |= hasListener
		dst = appendWord(dst, e.Listener, listeners)
	}
	if e.Route != "" {
		fields |= hasRoute
		dst = appendText(dst, e.Route, MaxText)
	}
	if e.Subject != "" {
		fields |= hasSubject
		dst = appendSubject(dst, e.Subject)
	}
	if e.Name != "" {
		fields |= hasName
		dst = appendText(dst, e.Name, MaxText)
	}
	if e.Reason != "" {
		fields |= hasReason
		dst = appendText(dst, e.Reason, MaxText)
	}
	if e.Detail != "" {
		fields |= hasDetail
		dst = appendText(dst, e.Detail, MaxDetail)
	}
	if n := min(e.Heads.Len(), MaxHeads); n > 0 {
		fields |= hasHeads
		dst = append(dst, byte(n))
		dst = append(dst, e.Heads[:n*headSize]...)
	}
	dst[at] = fields
	return dst
}

// appendWord encodes a word of a list as its place, any other as a text.
func appendWord(dst []byte, word string, list []string) []byte {
	if i := slices.Index(list, word); i > 0 {
		return append(dst, byte(i))
	}
	return appendText(append(dst, 0), word, MaxText)
}

func appendText(dst []byte, text string, limit int) []byte {
	text = clean(text, limit)
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// appendSubject encodes a fingerprint in half the space of its text.
func appendSubject(dst []byte, subject string) []byte {
	if !isFingerprint(subject) {
		return appendText(dst, subject, MaxText)
	}
	dst = append(dst, 0)
	for i := 0; i < len(subject); i += 2 {
		dst = append(dst, digit(subject[i])<<4|digit(subject[i+1]))
	}
	return dst
}

// digit is the value of a lower-case hexadecimal digit.
func digit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func isFingerprint(text string) bool {
	if len(text) != hex.EncodedLen(fingerprintSize) {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// sizeHint is about what an entry takes in a block, so that most blocks are
// allocated once.
func sizeHint(e *Entry) int {
	return 40 + macSize + len(e.Route) + len(e.Subject) + len(e.Name) + len(e.Reason) + min(len(e.Detail), MaxDetail) + len(e.Heads)
}
