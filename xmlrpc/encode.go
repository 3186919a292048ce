package xmlrpc

import (
	"io"
	"math"
	"sync"
)

// Every document begins so (rule 4 of captures/clients): no byte order mark
// and no byte before it.
const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// Marshal returns a value as one <value> element, without an XML declaration.
// [AppendCall] and [AppendResponse] write whole documents.
func Marshal(value any, opts ...EncodeOption) ([]byte, error) {
	return write(nil, opts, func(e *encoder) error { return e.element(value) })
}

// AppendCall appends a methodCall to dst. A method name that the specification
// does not allow, and a value that cannot be written, are an *[EncodeError], and
// dst is returned as it was.
func AppendCall(dst []byte, method string, params []any, opts ...EncodeOption) ([]byte, error) {
	return write(dst, opts, func(e *encoder) error { return e.call(method, params) })
}

// AppendResponse appends a methodResponse with result as its one value to dst.
// A result that cannot be written is an *[EncodeError], and dst is returned as
// it was.
func AppendResponse(dst []byte, result any, opts ...EncodeOption) ([]byte, error) {
	return write(dst, opts, func(e *encoder) error { return e.response(result) })
}

// AppendFault appends a methodResponse with a fault to dst: a struct of exactly
// faultCode and faultString (rule 11 of captures/clients). A code beyond 32 bits
// becomes -32500. What XML forbids in text is replaced.
func AppendFault(dst []byte, code int, text string) []byte {
	e := encoder{buf: dst}
	e.fault(code, text)
	return e.buf
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// Buffers past this size are left to the garbage collector.
const keepBuffer = 4 << 20

// write runs one encoder. Where dst has no room it writes into a kept buffer
// first, so that dst grows once and to the right size.
func write(dst []byte, opts []EncodeOption, body func(*encoder) error) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer func() {
		if cap(e.buf) > keepBuffer {
			e.buf = nil
		}
		encoders.Put(e)
	}()
	e.begin(opts)
	own := e.buf[:0]
	direct := cap(dst)-len(dst) >= 512
	if direct {
		e.buf = dst
	} else {
		e.buf = own
	}
	err := body(e)
	out := dst
	if direct {
		if err == nil {
			out = e.buf
		}
		e.buf = own
	} else if err == nil {
		out = append(dst, e.buf...)
	}
	return out, err
}

// encoder writes documents at the end of buf.
type encoder struct {
	buf     []byte
	options encodeOptions
	// depth counts arrays and structs, steps pointers and marshalers.
	depth, steps int
	// absent is set by a value that has nothing to write: nil, to a receiver
	// that does not read it. Whoever asked for the value decides what follows.
	absent bool
	// refused is set by text that the policy for forbidden characters refuses.
	refused bool
	pairs   []pair
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
	e.depth, e.steps, e.absent, e.refused, e.out = 0, 0, false, false, nil
}

func (e *encoder) add(text string) { e.buf = append(e.buf, text...) }

func (e *encoder) call(method string, params []any) error {
	if reason := checkMethodName(method); reason != "" {
		return &EncodeError{reason: reason}
	}
	e.add(declaration)
	e.add("<methodCall><methodName>")
	e.add(method)
	e.add("</methodName><params>")
	for i, param := range params {
		e.add("<param>")
		if err := e.element(param); err != nil {
			return encodeErrorAt(err, "params["+itoa(i)+"]")
		}
		e.add("</param>")
	}
	e.add("</params></methodCall>\n")
	return nil
}

func (e *encoder) response(result any) error {
	e.add(declaration)
	e.add("<methodResponse><params><param>")
	if err := e.element(result); err != nil {
		return encodeErrorAt(err, "result")
	}
	e.add("</param></params></methodResponse>\n")
	return nil
}

func (e *encoder) fault(code int, text string) {
	if code < math.MinInt32 || code > math.MaxInt32 {
		code = CodeApplicationError
	}
	e.add(declaration)
	e.add("<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>")
	e.add(itoa(code))
	e.add("</int></value></member><member><name>faultString</name>")
	e.str(text)
	e.add("</member></struct></value></fault></methodResponse>\n")
}

// element writes a value that cannot be left out: a param, the result, an
// element of an array. What has no value is an empty string there to receivers
// without nil, as several recorded clients send it themselves.
func (e *encoder) element(v any) error {
	if err := e.value(v); err != nil {
		return err
	}
	e.standIn()
	return nil
}

func (e *encoder) standIn() {
	if e.absent {
		e.absent = false
		e.str("")
	}
}

// flush hands the buffer on when it has grown. It is called only between values,
// where nothing in the buffer is taken back any more.
func (e *encoder) flush(atLeast int) error {
	if e.out == nil || len(e.buf) < atLeast {
		return nil
	}
	_, err := e.out.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}
