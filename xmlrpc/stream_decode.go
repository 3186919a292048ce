package xmlrpc

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
)

// Decoder reads documents that stand one after the other in a stream, as an
// [Encoder] writes them. Each is held in memory as a whole while it is read, since
// nothing of it counts before all of it has been found to be right.
//
// A document ends with the end tag of its root element: there it is handed on,
// also when the stream stays open. White space between documents is skipped;
// comments and processing instructions behind a root element count as the
// beginning of the next document. UTF-16, whose markup is made of other bytes, is
// read to the end of the stream, as one document.
//
// At the end of the stream, when nothing but white space is left, the error is
// [io.EOF]. A document that could not be read ends the reading, since it is not
// certain where the next one would begin: every later call gives the same error.
// After a [*Fault], and after a value that does not fit, reading can go on.
//
// A Decoder reads ahead, but never more than one byte past the limit for the bytes
// of one document. It is not safe for concurrent use.
type Decoder struct {
	in       io.Reader
	opts     []DecodeOption
	maxBytes int
	wide     bool // the charset says UTF-16
	buf      []byte
	used     int  // how much of buf the document before was
	later    bool // there was a document before
	atEnd    bool // of the stream
	err      error
}

// NewDecoder returns a Decoder that reads from r.
func NewDecoder(r io.Reader, opts ...DecodeOption) *Decoder {
	o := newDecodeOptions(opts)
	return &Decoder{in: r, opts: opts, maxBytes: o.limits.Bytes, wide: charsetNames[charsetName(o.charset)] >= charsetUTF16}
}

// Call reads a methodCall, as [ParseCall] does.
func (d *Decoder) Call() (*Call, error) {
	doc, err := d.read()
	if err != nil {
		return nil, err
	}
	call, err := ParseCall(doc, d.opts...)
	return call, d.keep(err)
}

// Response reads a methodResponse, as [ParseResponse] does.
func (d *Decoder) Response(result any) error {
	doc, err := d.read()
	if err != nil {
		return err
	}
	return d.keep(ParseResponse(doc, result, d.opts...))
}

// Value reads one <value> element, as [Unmarshal] does.
func (d *Decoder) Value(v any) error {
	doc, err := d.read()
	if err != nil {
		return err
	}
	return d.keep(Unmarshal(doc, v, d.opts...))
}

// keep remembers the error of a document. Those of values have a path.
func (d *Decoder) keep(err error) error {
	var bad *DecodeError
	if errors.As(err, &bad) && bad.path == "" {
		d.err = err
	}
	return err
}

// streamPiece is how much is read from a stream at a time.
const streamPiece = 32 << 10

func (d *Decoder) read() ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	doc, err := d.next()
	d.err = err
	return doc, err
}

// next returns the next document, which is good until the next call.
func (d *Decoder) next() ([]byte, error) {
	d.buf, d.used = d.buf[d.used:], 0
	var f frame
	skipped := 0
	for {
		if d.later && f.pos == 0 {
			rest := bytes.TrimLeft(d.buf, " \t\r\n")
			skipped += len(d.buf) - len(rest)
			d.buf = rest
		}
		if d.narrow() && f.ended(d.buf) {
			return d.hand(f.pos), nil
		}
		switch {
		case d.atEnd && isBlank(d.buf):
			return nil, io.EOF
		case d.atEnd:
			return d.hand(len(d.buf)), nil
		case len(d.buf) > d.maxBytes, skipped > d.maxBytes:
			return nil, tooLong(Limits{Bytes: d.maxBytes})
		}
		if err := d.fill(); err != nil {
			return nil, err
		}
	}
}

// narrow tells whether the document that begins the buffer has its markup in
// ASCII. With less than four bytes that cannot be told.
func (d *Decoder) narrow() bool {
	if d.wide || len(d.buf) < 4 && !d.atEnd {
		return false
	}
	enc, _ := markOf(d.buf)
	return enc < charsetUTF16
}

func (d *Decoder) hand(n int) []byte {
	d.used, d.later = n, true
	return d.buf[:n]
}

// fill reads once. Errors of the stream are returned as they are; what
// http.MaxBytesReader cuts off is the limit for bytes too.
func (d *Decoder) fill() error {
	room := min(streamPiece, d.maxBytes+1-len(d.buf))
	d.buf = slices.Grow(d.buf, room)
	n, err := d.in.Read(d.buf[len(d.buf) : len(d.buf)+room])
	d.buf = d.buf[:len(d.buf)+n]
	var cut *http.MaxBytesError
	switch {
	case errors.As(err, &cut):
		return tooLong(Limits{Bytes: d.maxBytes})
	case err == io.EOF: // io.Reader gives io.EOF itself; a wrapped one is a failure.
		d.atEnd = true
		return nil
	}
	return err
}

// frame finds where a document's root element ends, while the document comes. It
// looks at markup no closer than that takes: whether it is right the parser says.
type frame struct {
	pos   int    // up to here the document has been looked at
	depth int    // elements that are open
	until string // what ends the comment, CDATA or instruction that is open
	tag   byte   // of the tag that is open the second byte
	quote byte   // of the attribute's value that is open the quote
}

// ended tells whether the root element ends in doc, which is what ended was called
// with before and more; pos is then behind it.
func (f *frame) ended(doc []byte) bool {
	for f.pos < len(doc) {
		switch {
		case f.until != "":
			n := bytes.Index(doc[f.pos:], []byte(f.until))
			if n < 0 {
				f.pos = max(f.pos, len(doc)-len(f.until)+1)
				return false
			}
			f.pos, f.until = f.pos+n+len(f.until), ""
		case f.tag != 0:
			if f.tagEnded(doc) {
				return true
			}
		default:
			n := bytes.IndexByte(doc[f.pos:], '<')
			if n < 0 {
				f.pos = len(doc)
				return false
			}
			f.pos += n
			if !f.open(doc[f.pos:]) {
				return false
			}
		}
	}
	return false
}

// open looks at what begins at a <, and fails if too little of it is there.
func (f *frame) open(markup []byte) bool {
	if len(markup) < 2 {
		return false
	}
	if markup[1] != '!' && markup[1] != '?' {
		f.tag = markup[1]
		f.pos++
		return true
	}
	for _, known := range [...]struct{ begin, end string }{{"<?", "?>"}, {"<!--", "-->"}, {"<![CDATA[", "]]>"}} {
		n := min(len(markup), len(known.begin))
		if string(markup[:n]) != known.begin[:n] {
			continue
		}
		if n < len(known.begin) {
			return false
		}
		f.pos, f.until = f.pos+n, known.end
		return true
	}
	// A document type, which is refused whatever it holds.
	f.pos, f.until = f.pos+len("<!"), ">"
	return true
}

// tagEnded reads on in a tag, and tells whether the root element ends with it.
func (f *frame) tagEnded(doc []byte) bool {
	for f.pos < len(doc) {
		c := doc[f.pos]
		f.pos++
		switch {
		case f.quote != 0:
			if c == f.quote {
				f.quote = 0
			}
		case c == '"' || c == '\'':
			f.quote = c
		case c == '>':
			switch {
			case f.tag == '/':
				f.depth--
			case doc[f.pos-2] != '/':
				f.depth++
			}
			f.tag = 0
			return f.depth <= 0
		}
	}
	return false
}
