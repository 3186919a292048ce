package bridge

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

const (
	// firstBuffer holds most calls and answers.
	firstBuffer = 8 << 10
	// keptBuffer bounds the buffers that are used again, so that one large answer
	// does not stay in memory for ever.
	keptBuffer = 256 << 10
	// maxDiscarded is how much of a request that is refused is read all the same: a
	// client that is still sending when the connection closes never reads the fault.
	maxDiscarded = 16 << 20
)

// buffers hold requests and answers while they pass.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, firstBuffer)
	return &b
}}

func borrowBuffer() *[]byte { return buffers.Get().(*[]byte) }

func returnBuffer(b *[]byte) {
	if cap(*b) <= keptBuffer {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// errOverLimit says that a body is larger than it may be.
var errOverLimit = errors.New("bridge: more bytes than the limit")

// errCoding says that a body is compressed in a way that is not read here.
var errCoding = errors.New("its Content-Encoding is not one of gzip, deflate and identity")

// boundedReader fails with errOverLimit in place of giving more than left bytes.
type boundedReader struct {
	src  io.Reader
	left int64
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, errOverLimit
	}
	return n, err
}

// readBody appends a body to dst, decompressed, both within the limit.
func readBody(dst []byte, src io.Reader, header http.Header, limit int64) ([]byte, error) {
	coding, err := contentCoding(header["Content-Encoding"])
	if err != nil {
		return dst, err
	}
	if src, err = decompressed(src, coding, limit); err != nil {
		return dst, err
	}
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(len(dst), firstBuffer))
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// contentCoding reads Content-Encoding headers: "" is nothing to undo. More than
// one coding is not supported, since that would multiply what a bomb can do.
func contentCoding(values []string) (string, error) {
	found := ""
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			coding := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(part)), "x-")
			switch {
			case coding == "" || coding == "identity":
			case found == "" && (coding == "gzip" || coding == "deflate"):
				found = coding
			default:
				return "", errCoding
			}
		}
	}
	return found, nil
}

// decompressed undoes a coding that contentCoding has found. The limit holds for
// the bytes as they come, and again for what they are then.
func decompressed(src io.Reader, coding string, limit int64) (plain io.Reader, err error) {
	src = &boundedReader{src: src, left: limit}
	switch coding {
	case "gzip":
		plain, err = gzip.NewReader(src)
	case "deflate":
		plain, err = deflated(src)
	default:
		return src, nil
	}
	if err != nil {
		return nil, cutOff(err)
	}
	return &boundedReader{src: plain, left: limit}, nil
}

// deflated undoes "deflate", which is zlib's format (RFC 9110, section 8.4.1.2),
// though some leave its frame out. The frame begins with two bytes that are a
// multiple of 31 and name method 8 (RFC 1950, section 2.2).
func deflated(src io.Reader) (io.Reader, error) {
	b := bufio.NewReader(src)
	head, err := b.Peek(2)
	if err != nil {
		return nil, err
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// cutOff makes an end inside the head of a compressed stream one that is not taken
// for a proper one.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readRequest appends the body of a caller's request to dst.
func readRequest(dst []byte, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := func() error {
		return apierror.New(apierror.RequestTooLarge).WithDetail(fmt.Sprintf("The request body has more bytes than the limit, which is %d.", limit))
	}
	if r.ContentLength > limit {
		discardUnread(r)
		return dst, tooLarge()
	}
	dst, err := readBody(dst, r.Body, r.Header, limit)
	var outer *http.MaxBytesError
	switch {
	case err == nil:
		return dst, nil
	case errors.Is(err, errCoding):
		discardUnread(r)
		return dst, &xmlrpc.Fault{Code: xmlrpc.CodeTransportError, String: "the request cannot be read: " + err.Error()}
	}
	discard(r)
	switch {
	case errors.Is(err, errOverLimit), errors.As(err, &outer):
		return dst, tooLarge()
	case isTimeout(err):
		return dst, notWellFormed("the request body did not come in time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return dst, notWellFormed("the request body is cut off")
	}
	return dst, notWellFormed("the request body cannot be read to its end, or not be decompressed")
}

func notWellFormed(text string) error {
	return &xmlrpc.Fault{Code: xmlrpc.CodeNotWellFormed, String: "not well formed: " + text}
}

// discardUnread is discard for a body of which nothing was read. A client that
// waits to be asked for it is not: reading would make net/http ask.
func discardUnread(r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		discard(r)
	}
}

func discard(r *http.Request) {
	_, _ = io.CopyN(io.Discard, r.Body, maxDiscarded) // whether it could be read changes nothing
}

// charsetOf returns the charset parameter of a Content-Type, or "". Old clients
// send types that mime.ParseMediaType refuses.
func charsetOf(contentType string) string {
	_, params, _ := strings.Cut(contentType, ";")
	for param := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(param, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(value, " \t\"'")
		}
	}
	return ""
}
