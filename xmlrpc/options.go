package xmlrpc

// Features are the two extensions that some programs understand and others
// choke on (captures of 28 clients: nil is read by 20, i8 by 15). A reader
// reports which of them a document used; a writer uses only those it is given.
type Features struct {
	// Nil: <nil/>. ex:nil does not count: its senders do not read <nil/>.
	Nil bool
	// I8: <i8>. ex:i8 does not count, for the same reason.
	I8 bool
}

// DecodeOption changes how a document is read.
type DecodeOption func(*decodeOptions)

type decodeOptions struct {
	limits  Limits
	charset string
	repair  bool
}

func newDecodeOptions(opts []DecodeOption) decodeOptions {
	var o decodeOptions
	for _, opt := range opts {
		opt(&o)
	}
	o.limits = o.limits.withDefaults()
	return o
}

// WithLimits bounds what the document may cost. The default is [DefaultLimits].
func WithLimits(l Limits) DecodeOption {
	return func(o *decodeOptions) { o.limits = l }
}

// WithCharset gives the charset parameter of the Content-Type. It overrules the
// document's own declaration, not a byte order mark (RFC 7303, section 3).
// The empty string means that there was no such parameter.
func WithCharset(charset string) DecodeOption {
	return func(o *decodeOptions) { o.charset = charset }
}

// WithRepair replaces characters that XML forbids (control characters, also as
// references such as &#1;, lone surrogate references, U+FFFE and U+FFFF) by U+FFFD
// instead of refusing the document. It is for reading answers of trackers
// whose bug comments hold such characters, not for requests.
func WithRepair() DecodeOption {
	return func(o *decodeOptions) { o.repair = true }
}

// Forbidden is what a writer does with characters that no XML document can
// hold: control characters except tab, LF and CR, U+FFFE, U+FFFF. Bytes that
// are no UTF-8 are treated the same way.
type Forbidden int

const (
	// ReplaceForbidden writes U+FFFD for each. It is the default.
	ReplaceForbidden Forbidden = iota
	// DropForbidden leaves them out.
	DropForbidden
	// RefuseForbidden makes the value one that cannot be written.
	RefuseForbidden
)

// EncodeOption changes how values are written.
type EncodeOption func(*encodeOptions)

type encodeOptions struct {
	features  Features
	forbidden Forbidden
	depth     int
}

// WithFeatures says which extensions the receiver understands. The default is
// none: see [Features].
func WithFeatures(f Features) EncodeOption {
	return func(o *encodeOptions) { o.features = f }
}

// WithDepth sets how many arrays and structs may stand inside each other; a value
// that is deeper, perhaps because it is tied into a circle, cannot be written.
// Zero or less means [DefaultDepth], which is the default and as deep as readers
// with [DefaultLimits] go.
func WithDepth(levels int) EncodeOption {
	return func(o *encodeOptions) { o.depth = levels }
}

// WithForbidden sets what becomes of characters that XML forbids. The default
// is [ReplaceForbidden]. It holds for texts and for the names of members. Whatever
// is set, the document is well formed.
func WithForbidden(policy Forbidden) EncodeOption {
	return func(o *encodeOptions) { o.forbidden = policy }
}
