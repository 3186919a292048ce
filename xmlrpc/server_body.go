package xmlrpc

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxDiscarded is how much of a body that is refused is read and thrown away,
// in bytes. A client that is still sending when the connection closes never gets
// to read the fault: net/http itself reads 256 KiB on.
const maxDiscarded = 16 << 20

// announcedBuffer is how much memory a request gets for the length in its head
// alone, in bytes. More follows as the body comes.
const announcedBuffer = 64 << 10

// readBody reads the request's body, decompressed, into x.in.
func (x *exchange) readBody() error {
	r, limit := x.r, x.limits.Bytes
	coding, err := contentCoding(r.Header["Content-Encoding"])
	if err != nil {
		discardUnread(r)
		return &Fault{Code: CodeTransportError, String: err.Error()}
	}
	if r.ContentLength > int64(limit) {
		discardUnread(r)
		return tooLarge("the request body", int64(limit))
	}
	doc := *x.in
	if r.ContentLength > 0 {
		// One byte more than it will hold, for the read that finds the end. A length
		// that was only announced gets no more than that.
		doc = slices.Grow(doc, int(min(r.ContentLength+1, announcedBuffer)))
	}
	x.raw = boundedReader{src: r.Body, left: int64(limit)}
	doc, err = inflate(doc, &x.raw, coding, limit)
	*x.in = doc
	if err == nil {
		return nil
	}
	discard(r)
	var outer *http.MaxBytesError
	switch {
	case errors.Is(err, errOverLimit):
		if coding != "" {
			return tooLarge("the request body, decompressed,", int64(limit))
		}
		return tooLarge("the request body", int64(limit))
	case errors.As(err, &outer):
		return tooLarge("the request body", outer.Limit)
	case isTimeout(err):
		return notWellFormed("the request body did not come in time: %d bytes of it did", len(doc))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return notWellFormed("the request body is cut off after %d bytes", len(doc))
	case coding != "":
		return notWellFormed("the request body cannot be decompressed as %s says that it is", coding)
	}
	return notWellFormed("the request body could not be read to its end: %d bytes of it could", len(doc))
}

// discardUnread is discard for a body of which nothing was read. A client that
// waits to be asked for it is not: reading would make net/http ask, with a 100
// (Continue).
func discardUnread(r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		discard(r)
	}
}

func discard(r *http.Request) {
	// Whether it could be read does not change the answer.
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscarded)
}

func tooLarge(what string, limit int64) error {
	return &Fault{
		Code:   CodeInvalidRequest,
		String: fmt.Sprintf("REQUEST_TOO_LARGE: %s has more bytes than the limit Bytes, which is %d", what, limit),
	}
}

func notWellFormed(format string, args ...any) error {
	return &Fault{Code: CodeNotWellFormed, String: fmt.Sprintf("not well formed: "+format, args...)}
}
