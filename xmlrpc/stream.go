package xmlrpc

import (
	"errors"
	"io"
	"net/http"
)

// streamBuffer is how much an Encoder collects before it writes.
const streamBuffer = 32 << 10

// Encoder writes documents to a stream, a piece at a time: what it keeps in
// memory does not grow with the document. When a method fails, part of the
// document may have been written already; [AppendResponse] has no such half
// documents.
type Encoder struct {
	out  io.Writer
	opts []EncodeOption
}

// NewEncoder returns an Encoder that writes to w.
func NewEncoder(w io.Writer, opts ...EncodeOption) *Encoder {
	return &Encoder{out: w, opts: opts}
}

// Call writes a methodCall.
func (enc *Encoder) Call(method string, params ...any) error {
	return enc.run(func(e *encoder, b []byte) ([]byte, error) { return e.call(b, method, params) })
}

// Response writes a methodResponse with result as its value.
func (enc *Encoder) Response(result any) error {
	return enc.run(func(e *encoder, b []byte) ([]byte, error) { return e.response(b, result) })
}

// Fault writes a methodResponse with a fault, as [AppendFault] does.
func (enc *Encoder) Fault(code int, text string) error {
	_, err := enc.out.Write(AppendFault(nil, code, text))
	return err
}

// Value writes one <value> element, as [Marshal] does.
func (enc *Encoder) Value(v any) error {
	return enc.run(func(e *encoder, b []byte) ([]byte, error) { return e.element(b, v) })
}

func (enc *Encoder) run(body func(*encoder, []byte) ([]byte, error)) error {
	e := &encoder{}
	e.begin(enc.opts)
	e.out = enc.out
	b, err := body(e, nil)
	if err != nil {
		return err
	}
	_, err = e.flush(b, 0)
	return err
}

// Decoder reads one document from a stream, to its end. It reads no more than
// one byte past the limit for bytes.
type Decoder struct {
	in   io.Reader
	opts []DecodeOption
}

// NewDecoder returns a Decoder that reads from r.
func NewDecoder(r io.Reader, opts ...DecodeOption) *Decoder {
	return &Decoder{in: r, opts: opts}
}

// Call reads a methodCall, as [ParseCall] does.
func (d *Decoder) Call() (*Call, error) {
	doc, err := d.read()
	if err != nil {
		return nil, err
	}
	return ParseCall(doc, d.opts...)
}

// Response reads a methodResponse, as [ParseResponse] does.
func (d *Decoder) Response(result any) error {
	doc, err := d.read()
	if err != nil {
		return err
	}
	return ParseResponse(doc, result, d.opts...)
}

// Value reads one <value> element, as [Unmarshal] does.
func (d *Decoder) Value(v any) error {
	doc, err := d.read()
	if err != nil {
		return err
	}
	return Unmarshal(doc, v, d.opts...)
}

// read returns the document. Errors of the stream are returned as they are;
// what http.MaxBytesReader cuts off is the limit for bytes too.
func (d *Decoder) read() ([]byte, error) {
	limits := newDecodeOptions(d.opts).limits
	doc, err := io.ReadAll(io.LimitReader(d.in, int64(limits.Bytes)+1))
	var cut *http.MaxBytesError
	if len(doc) > limits.Bytes || errors.As(err, &cut) {
		return nil, tooLong(limits)
	}
	return doc, err
}
