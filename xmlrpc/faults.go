package xmlrpc

import (
	"errors"
	"fmt"
	"strconv"
)

// Fault codes of the specification for fault code interoperability
// (xmlrpc-epi, version 20010516). They are for what goes wrong around a
// method; a method's own faults have codes of its own, outside -32768..-32000.
const (
	// CodeNotWellFormed: the document is no well-formed XML.
	CodeNotWellFormed = -32700
	// CodeUnsupportedEncoding: the document's encoding is not one we read.
	CodeUnsupportedEncoding = -32701
	// CodeInvalidCharacter: bytes that are none in the document's encoding.
	CodeInvalidCharacter = -32702
	// CodeInvalidRequest: well-formed XML that is not XML-RPC, or XML-RPC
	// beyond the limits of the reader.
	CodeInvalidRequest = -32600
	// CodeMethodNotFound: no method has that name.
	CodeMethodNotFound = -32601
	// CodeInvalidParams: the method does not take these parameters.
	CodeInvalidParams = -32602
	// CodeInternalError: the server itself failed.
	CodeInternalError = -32603
	// CodeApplicationError: the method failed and has no code of its own for it.
	CodeApplicationError = -32500
	// CodeSystemError: something that the server needs failed.
	CodeSystemError = -32400
	// CodeTransportError: the transport failed.
	CodeTransportError = -32300
)

// FaultCoder is an error that knows which fault it is to its caller. Every
// error of reading and of writing in this package is one.
type FaultCoder interface {
	error
	FaultCode() int
	FaultString() string
}

// Fault is a fault document: what a server answers instead of a value. It is
// the error of [ParseResponse] for such a document.
type Fault struct {
	// Code is the faultCode. It is 0 when the code as sent was no integer.
	Code int
	// String is the faultString.
	String string
	// CodeText is the code as sent when it was no integer, else "". Trackers in
	// use send words there.
	CodeText string
}

var _ FaultCoder = (*Fault)(nil)

// Error gives code and text on one line.
func (f *Fault) Error() string {
	code := f.CodeText
	if code == "" {
		code = strconv.Itoa(f.Code)
	}
	return "xmlrpc: fault " + code + ": " + f.String
}

// FaultCode returns the numeric code.
func (f *Fault) FaultCode() int { return f.Code }

// FaultString returns the text of the fault.
func (f *Fault) FaultString() string { return f.String }

// DecodeError is why a document, or one value of it, could not be read. Its
// code is one of the interoperability codes: -32700, -32701 and -32702 for the
// document as XML, -32600 for the document as XML-RPC, -32602 for a value that
// does not fit its Go destination.
type DecodeError struct {
	code   int
	line   int
	column int
	path   string
	reason string
	limit  bool // the document is beyond a limit, and may be fine otherwise
}

var _ FaultCoder = (*DecodeError)(nil)

// FaultCode returns the interoperability code.
func (e *DecodeError) FaultCode() int { return e.code }

// FaultString says what is wrong and where, in ASCII, fit to be sent to the
// caller: it quotes no more than one name or one number of the document, or the
// beginning of what a type that reads itself says about a value. It begins with REQUEST_TOO_LARGE where the document is beyond one of the limits,
// which it names with its value.
func (e *DecodeError) FaultString() string {
	text := e.reason
	if e.path != "" {
		text = e.path + ": " + text
	}
	switch {
	case e.limit:
		text = "REQUEST_TOO_LARGE: " + text
	case e.code == CodeNotWellFormed:
		text = "not well formed: " + text
	case e.code == CodeUnsupportedEncoding:
		text = "unsupported encoding: " + text
	case e.code == CodeInvalidCharacter:
		text = "invalid character: " + text
	case e.code == CodeInvalidRequest:
		text = "not valid XML-RPC: " + text
	}
	if e.line > 0 {
		text += fmt.Sprintf(" (line %d, column %d)", e.line, e.column)
	}
	return text
}

// Error is the fault string behind the name of the package.
func (e *DecodeError) Error() string { return "xmlrpc: " + e.FaultString() }

// Path tells which value could not be read, as in params[0].bugs[3].id. It is
// empty when the document as a whole could not be read.
func (e *DecodeError) Path() string { return e.path }

// Position returns line and column, both from 1, the column in bytes of the
// document as UTF-8. Both are 0 when the error belongs to no place.
func (e *DecodeError) Position() (line, column int) { return e.line, e.column }

// under puts one more step in front of the path, on the way out of a value.
func (e *DecodeError) under(step string) *DecodeError {
	if e.path != "" && e.path[0] != '[' && e.path[0] != '.' && step != "" {
		e.path = step + "." + e.path
		return e
	}
	e.path = step + e.path
	return e
}

// EncodeError is why a Go value could not be written.
type EncodeError struct {
	path   string
	reason string
	cause  error
}

var _ FaultCoder = (*EncodeError)(nil)

// FaultCode is -32603: that a value cannot be written is the fault of the
// program that has it, not of the one that asked.
func (e *EncodeError) FaultCode() int { return CodeInternalError }

// FaultString does not name the value: a caller cannot do anything about it.
func (e *EncodeError) FaultString() string { return "the answer could not be written" }

// Error says which value could not be written and why.
func (e *EncodeError) Error() string {
	text := "xmlrpc: "
	if e.path != "" {
		text += e.path + ": "
	}
	text += e.reason
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Unwrap returns what a Marshaler or a TextMarshaler answered, if one failed.
func (e *EncodeError) Unwrap() error { return e.cause }

// Path tells which value could not be written, as in params[0].bugs[3].id.
func (e *EncodeError) Path() string { return e.path }

func encodeErrorAt(err error, step string) error {
	var e *EncodeError
	if !errors.As(err, &e) {
		return err
	}
	if e.path != "" && e.path[0] != '[' {
		e.path = step + "." + e.path
	} else {
		e.path = step + e.path
	}
	return e
}
