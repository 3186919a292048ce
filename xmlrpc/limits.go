package xmlrpc

import "math"

// Limits bound what a document may cost its reader. A zero field means its
// default. A document beyond a limit is refused with -32600, and no more than
// the limit is ever kept of it.
type Limits struct {
	// Bytes is the length of the document as sent, in bytes. Default 1 MiB.
	Bytes int
	// Depth is how many arrays and structs may stand inside each other. Default 64.
	Depth int
	// Values is how many values the document may have in all, those inside
	// arrays and structs and these themselves included. Default 100,000.
	Values int
	// NameLength bounds each name, in bytes: of members, methods, elements and
	// attributes. Default 64 KiB.
	NameLength int
	// StringLength bounds the text of each value, in bytes of UTF-8, base64
	// before it is decoded. Default: three times Bytes, which no text exceeds: a
	// byte of windows-1252, or one that is repaired, can become three of UTF-8.
	StringLength int
}

// Defaults of [Limits].
const (
	DefaultBytes      = 1 << 20
	DefaultDepth      = 64
	DefaultValues     = 100_000
	DefaultNameLength = 64 << 10
)

// Bounds that no program has a reason to change, since no recorded client comes
// near them.
const (
	// MaxAttributes is how many attributes one element may have. All are
	// ignored; they are compared with each other because XML forbids the same
	// name twice.
	MaxAttributes = 64
	// MaxBigDigits is how many digits an ex:biginteger or ex:bigdecimal may
	// have: reading one costs the square of its length.
	MaxBigDigits = 4096
	// maxBytes is what the offsets of the reader can hold.
	maxBytes = 1 << 30
)

// DefaultLimits returns the defaults, for programs that change one of them.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	l.Bytes = min(l.Bytes, maxBytes)
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	if l.Values <= 0 {
		l.Values = DefaultValues
	}
	if l.NameLength <= 0 {
		l.NameLength = DefaultNameLength
	}
	if l.StringLength <= 0 {
		l.StringLength = 3 * min(l.Bytes, math.MaxInt/3)
	}
	return l
}
