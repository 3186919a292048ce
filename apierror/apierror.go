// Package apierror is the catalogue of errors of the gateway: one table of
// names, HTTP statuses, XML-RPC fault codes and messages, and its three
// renderings as JSON, as plain text and as an XML-RPC fault.
//
// A name never changes its meaning. What an [Error] shows to a caller is its
// name, its message, its detail and its extra; the wrapped cause is for logs
// and is never rendered.
package apierror

import (
	"errors"
	"maps"
	"strings"
	"time"
)

// Error is one refusal. Its zero value is of no use: errors are made by [New].
// It is immutable; the With methods return a changed copy.
type Error struct {
	entry      *entry
	message    string
	detail     string
	extra      map[string]any
	retryAfter time.Duration
	cause      error
}

// New returns an error of the catalogue. A name that is not in the catalogue
// gives [ServerError], with the name in the cause.
func New(name Name) *Error {
	e, ok := catalogue[name]
	if !ok {
		return &Error{entry: catalogue[ServerError], cause: errors.New("apierror: no entry named " + string(name))}
	}
	return &Error{entry: e}
}

// From returns the catalogue's error that err is or wraps, and [ServerError]
// around err when there is none. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(ServerError).WithCause(err)
}

// Is tells whether err is, or wraps, the catalogue's error of that name.
func Is(err error, name Name) bool {
	var e *Error
	return errors.As(err, &e) && e.entry.name == name
}

// WithMessage replaces the message of the catalogue, for the routes whose
// contract has words of its own.
func (e *Error) WithMessage(text string) *Error {
	c := *e
	c.message = text
	return &c
}

// WithDetail adds what happened, to what, and what to do. It is shown to
// callers: it must hold nothing secret.
func (e *Error) WithDetail(text string) *Error {
	c := *e
	c.detail = text
	return &c
}

// WithExtra adds one member to the error's extra object. The value must be one
// that encoding/json can write.
func (e *Error) WithExtra(name string, value any) *Error {
	c := *e
	c.extra = maps.Clone(e.extra)
	if c.extra == nil {
		c.extra = map[string]any{}
	}
	c.extra[name] = value
	return &c
}

// WithRetryAfter says when a repetition can succeed. It becomes the
// Retry-After header, in whole seconds, rounded up.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.retryAfter = d
	return &c
}

// WithCause wraps the error that led to this one. It is never shown to callers.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// Name returns the name in the catalogue.
func (e *Error) Name() Name { return e.entry.name }

// HTTPStatus returns the status of the error on HTTP routes.
func (e *Error) HTTPStatus() int { return e.entry.status }

// Message returns the message alone, as the plain text rendering shows it.
func (e *Error) Message() string {
	if e.message != "" {
		return e.message
	}
	return e.entry.message
}

// RetryAfter returns when a repetition can succeed; zero means unknown.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// Error returns name, message, detail and cause, for logs.
func (e *Error) Error() string {
	s := e.FaultString()
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// FaultCode returns the code of the XML-RPC rendering.
func (e *Error) FaultCode() int { return e.entry.fault }

// FaultString returns the text of the XML-RPC rendering: "NAME: message", then
// the detail, in plain ASCII, since not every client reads more than that.
func (e *Error) FaultString() string {
	s := string(e.entry.name) + ": " + e.Message()
	switch {
	case e.detail == "":
	case strings.HasSuffix(s, "."):
		s += " " + e.detail
	default:
		s += ": " + e.detail
	}
	return ascii(s)
}

// ascii replaces what is not printable ASCII, a run of it by one '?'.
func ascii(s string) string {
	var b strings.Builder
	replaced := false
	for _, r := range s {
		if r == '\n' || r == '\r' || r == '\t' {
			r = ' '
		}
		printable := r >= ' ' && r <= '~'
		switch {
		case printable:
			b.WriteRune(r)
		case !replaced:
			b.WriteByte('?')
		}
		replaced = !printable
	}
	return b.String()
}
