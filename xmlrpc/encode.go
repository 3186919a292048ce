package xmlrpc

import (
	"io"
	"math"
	"strconv"
	"sync"
)

// Every document begins so (rule 4 of docs/clients.md): no byte order mark
// and no byte before it.
const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// Marshal returns a value as one <value> element, without an XML declaration.
// [AppendCall] and [AppendResponse] write whole documents.
func Marshal(value any, opts ...EncodeOption) ([]byte, error) {
	return write(nil, opts, func(e *encoder, b []byte) ([]byte, error) { return e.element(b, value) })
}

// AppendCall appends a methodCall to dst. A method name that the specification
// does not allow, and a value that cannot be written, are an *[EncodeError], and
// dst is returned as it was.
func AppendCall(dst []byte, method string, params []any, opts ...EncodeOption) ([]byte, error) {
	return write(dst, opts, func(e *encoder, b []byte) ([]byte, error) { return e.call(b, method, params) })
}

// AppendResponse appends a methodResponse with result as its one value to dst.
// A result that cannot be written is an *[EncodeError], and dst is returned as
// it was.
func AppendResponse(dst []byte, result any, opts ...EncodeOption) ([]byte, error) {
	return write(dst, opts, func(e *encoder, b []byte) ([]byte, error) { return e.response(b, result) })
}

// AppendFault appends a methodResponse with a fault to dst: a struct of exactly
// faultCode and faultString (rule 11 of docs/clients.md). A code beyond 32 bits
// becomes -32500. What XML forbids in text is replaced, whatever the policy for
// values is: a fault can always be written.
func AppendFault(dst []byte, code int, text string) []byte {
	var e encoder
	dst = e.fault(append(dst, declaration+"<methodResponse><fault>"...), code, text)
	return append(dst, "</fault></methodResponse>\n"...)
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// Buffers past this size are left to the garbage collector.
const keepBuffer = 4 << 20

// write runs one encoder. Where dst has no room it writes into a kept buffer
// first, so that dst grows once and to the right size.
func write(dst []byte, opts []EncodeOption, body func(*encoder, []byte) ([]byte, error)) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.end()
	e.begin(opts)
	if cap(dst)-len(dst) >= 512 {
		out, err := body(e, dst)
		if err != nil {
			return dst, err
		}
		return out, nil
	}
	buf, err := body(e, e.kept[:0])
	if err == nil {
		dst = append(dst, buf...)
	}
	if e.kept = buf; cap(buf) > keepBuffer {
		e.kept = nil
	}
	return dst, err
}

// encoder writes values. Its methods append to the buffer they are given and
// return it, also with an error; a buffer in a field would cost the garbage
// collector's write barrier at every value.
type encoder struct {
	options encodeOptions
	// depth counts arrays and structs, steps pointers and marshalers.
	depth, steps int
	// absent is set by a value that has nothing to write: nil, to a receiver
	// that does not read it. Whoever asked for the value decides what follows.
	absent bool
	// refused is set by text that the policy for forbidden characters refuses.
	refused bool
	pairs   []pair
	// shapes holds, for each depth, that of the last map written there.
	shapes []shape
	kept   []byte
	// out takes the buffer whenever it is full, if there is an out.
	out io.Writer
}

// pair is one member of a map on the way to being sorted.
type pair struct {
	name  string
	value any
}

func (e *encoder) begin(opts []EncodeOption) {
	e.options = encodeOptions{}
	for _, opt := range opts {
		opt(&e.options)
	}
	if e.options.depth <= 0 {
		e.options.depth = DefaultDepth
	}
	e.depth, e.steps, e.absent, e.refused, e.out = 0, 0, false, false, nil
	e.pairs = e.pairs[:0]
}

// end gives the encoder back.
func (e *encoder) end() {
	e.forget()
	encoders.Put(e)
}

// keepMembers is how many members of one map, or of maps inside each other, an
// encoder keeps room for, and keepHeads for how many bytes of their heads.
const (
	keepMembers = 1024
	keepHeads   = 64 << 10
)

// forget lets go of the values and of their names, which are mostly parts of a
// whole document. Slices are cleared to their capacity: what was written before
// was perhaps longer.
func (e *encoder) forget() {
	if cap(e.pairs) > keepMembers {
		e.pairs = nil
	}
	clear(e.pairs[:cap(e.pairs)])
	for i := range e.shapes {
		s := &e.shapes[i]
		if s.forget(); cap(s.names) > keepMembers || cap(s.heads) > keepHeads {
			*s = shape{}
		}
	}
}

func (e *encoder) call(b []byte, method string, params []any) ([]byte, error) {
	if reason := checkMethodName(method); reason != "" {
		return b, &EncodeError{reason: reason}
	}
	b = append(b, declaration+"<methodCall><methodName>"...)
	b = append(b, method...)
	b = append(b, "</methodName><params>"...)
	var err error
	for i, param := range params {
		b = append(b, "<param>"...)
		if b, err = e.element(b, param); err != nil {
			return b, encodeErrorAt(err, "params["+itoa(i)+"]")
		}
		b = append(b, "</param>"...)
	}
	return append(b, "</params></methodCall>\n"...), nil
}

func (e *encoder) response(b []byte, result any) ([]byte, error) {
	b = append(b, declaration+"<methodResponse><params><param>"...)
	b, err := e.element(b, result)
	if err != nil {
		return b, encodeErrorAt(err, "result")
	}
	return append(b, "</param></params></methodResponse>\n"...), nil
}

// fault writes the struct of a fault.
func (e *encoder) fault(b []byte, code int, text string) []byte {
	if code < math.MinInt32 || code > math.MaxInt32 {
		code = CodeApplicationError
	}
	policy := e.options.forbidden
	e.options.forbidden = ReplaceForbidden
	b = append(b, "<value><struct><member><name>faultCode</name><value><int>"...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, "</int></value></member><member><name>faultString</name>"...)
	b = e.str(b, text)
	e.options.forbidden = policy
	return append(b, "</member></struct></value>"...)
}

// element writes a value that cannot be left out: a param, the result, an
// element of an array. What has no value is an empty string there to receivers
// without nil, as several recorded clients send it themselves.
func (e *encoder) element(b []byte, v any) ([]byte, error) {
	b, err := e.value(b, v)
	if err != nil {
		return b, err
	}
	return e.standIn(b), nil
}

func (e *encoder) standIn(b []byte) []byte {
	if e.absent {
		e.absent = false
		return e.str(b, "")
	}
	return b
}

// flush hands the buffer on when it has grown. It is called only between values,
// where nothing in the buffer is taken back any more.
func (e *encoder) flush(b []byte, atLeast int) ([]byte, error) {
	if e.out == nil || len(b) < atLeast {
		return b, nil
	}
	_, err := e.out.Write(b)
	return b[:0], err
}
