package xmlrpc

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// ErrAnswerTooLarge is wrapped by the error of a call whose answer is larger than
// [WithMaxAnswer] allows. The call was executed, or may have been.
var ErrAnswerTooLarge = errors.New("the answer is too large")

// maxErrorBody is how much of a body an error keeps.
const maxErrorBody = 512

// HTTPError is an answer whose status is no success. Its text has the status, and
// the fault if there is one: header and body are the server's, and may hold
// anything.
type HTTPError struct {
	StatusCode int
	Header     http.Header
	Body       []byte // the first 512 bytes, after decompression, as far as they came
	Fault      *Fault // what the body says, if it came as XML and is a fault; else nil
}

var _ error = (*HTTPError)(nil)

func (e *HTTPError) Error() string {
	text := fmt.Sprintf("xmlrpc: the server answered with HTTP status %d", e.StatusCode)
	if name := http.StatusText(e.StatusCode); name != "" {
		text += " (" + name + ")"
	}
	if e.Fault != nil {
		text += ": " + e.Fault.Error()
	}
	return text
}

// Unwrap returns the fault, if there is one.
func (e *HTTPError) Unwrap() error {
	if e.Fault == nil {
		return nil
	}
	return e.Fault
}

// AnswerError is an answer with a status of success that is no XML-RPC response:
// a page of HTML, a document that is not well-formed, one that was cut off or
// whose compression is broken. The call was executed, or may have been.
type AnswerError struct {
	StatusCode  int
	ContentType string // as the server sent it
	Body        []byte // the first 512 bytes, after decompression
	Err         error
}

var _ error = (*AnswerError)(nil)

func (e *AnswerError) Error() string {
	return fmt.Sprintf("xmlrpc: the answer (HTTP status %d, Content-Type %.80q) is no XML-RPC response: %v",
		e.StatusCode, e.ContentType, e.Err)
}

// Unwrap returns what is wrong with the answer, such as the decoder's error.
func (e *AnswerError) Unwrap() error { return e.Err }

// TransportError says that no answer came: the server could not be reached, the
// connection broke, or the time was over.
//
// Sent tells whether the server may have the call. While the last byte of the
// document was not written to a connection it cannot, and Sent is false: the
// address was not found, the connection refused, the TLS handshake failed, a
// large document was cut off half way. From then on it may have been executed,
// and a call that writes must not simply be repeated.
type TransportError struct {
	Sent bool
	Err  error // without the URL, which may hold a token
}

var _ error = (*TransportError)(nil)

func (e *TransportError) Error() string {
	if e.Sent {
		return "xmlrpc: the call was sent, and no whole answer came: " + e.Err.Error()
	}
	return "xmlrpc: the call could not be sent: " + e.Err.Error()
}

// Unwrap returns the cause, such as [context.DeadlineExceeded].
func (e *TransportError) Unwrap() error { return e.Err }

// Timeout tells whether the time was over, the client's limit or the context's.
func (e *TransportError) Timeout() bool { return isTimeout(e.Err) }

// minSecret is the length from which a segment of the URL's path counts as
// something that could be a token.
const minSecret = 8

// conceal takes the URL out of an error of net/http. url.Error is dropped for
// what it wraps; a text that still quotes a URL or a part of ours is replaced.
func (c *Client) conceal(err error) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	text := err.Error()
	if strings.Contains(text, "://") || strings.Contains(text, "Location") {
		return &concealedError{err: err}
	}
	u, parseErr := url.Parse(c.url)
	if parseErr != nil {
		return &concealedError{err: err}
	}
	parts := append(strings.Split(u.Path, "/"), strings.Split(u.EscapedPath(), "/")...)
	for _, part := range append(parts, u.RawQuery, u.Fragment) {
		// What the host's name has as well is no secret, and nothing to recognise the URL by.
		if len(part) >= minSecret && strings.Contains(text, part) && !strings.Contains(u.Host, part) {
			return &concealedError{err: err}
		}
	}
	return err
}

// concealedError stands for an error whose text quotes a URL. errors.Is and
// errors.As see through it, but it cannot be unwrapped: no text of it reaches a log
// unless a program asks for an error of that very type.
type concealedError struct{ err error }

var _ net.Error = (*concealedError)(nil)

func (e *concealedError) Error() string {
	return "the HTTP client failed; its message holds a URL and is not shown"
}

// Is lets errors.Is see through.
func (e *concealedError) Is(target error) bool { return errors.Is(e.err, target) }

// As lets errors.As see through.
func (e *concealedError) As(target any) bool { return errors.As(e.err, target) }

// Timeout is that of the concealed error.
func (e *concealedError) Timeout() bool { return isTimeout(e.err) }

// Temporary is that of the concealed error.
func (e *concealedError) Temporary() bool {
	var t interface{ Temporary() bool }
	return errors.As(e.err, &t) && t.Temporary()
}
