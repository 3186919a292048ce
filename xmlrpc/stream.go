package xmlrpc

import "io"

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
