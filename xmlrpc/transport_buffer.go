package xmlrpc

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// A document's buffer begins with firstBuffer bytes, which holds most calls,
// and is kept for reuse only up to keptBuffer bytes, so that one large document
// does not stay in memory for ever.
const (
	firstBuffer = 4 << 10
	keptBuffer  = 256 << 10
)

var documents = sync.Pool{New: func() any {
	b := make([]byte, 0, firstBuffer)
	return &b
}}

// borrowDocument returns an empty buffer, to be given back with returnDocument
// once nothing refers to its bytes any more.
func borrowDocument() *[]byte {
	return documents.Get().(*[]byte)
}

func returnDocument(b *[]byte) {
	if cap(*b) > keptBuffer {
		return
	}
	*b = (*b)[:0]
	documents.Put(b)
}

// errOverLimit says that a body held more bytes than its reader was told to take.
var errOverLimit = errors.New("xmlrpc: more bytes than the limit")

// maxEmptyReads is the number of reads in a row that may give neither bytes nor
// an error before a body counts as broken.
const maxEmptyReads = 100

// appendBounded appends what src holds to dst, up to limit bytes. It returns
// errOverLimit when src holds more, and any error of src but io.EOF.
func appendBounded(dst []byte, src io.Reader, limit int) ([]byte, error) {
	start, empty := len(dst), 0
	for {
		if have := len(dst) - start; len(dst) == cap(dst) {
			// Twice what has come, but no room that the limit leaves unused.
			dst = slices.Grow(dst, min(max(have, firstBuffer), limit-have+1))
		}
		n, err := src.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		switch {
		case len(dst)-start > limit:
			return dst[:start+limit], errOverLimit
		case err == io.EOF: // io.Reader gives io.EOF itself; a wrapped one is a failure.
			return dst, nil
		case err != nil:
			return dst, err
		case n > 0:
			empty = 0
		default:
			if empty++; empty == maxEmptyReads {
				return dst, io.ErrNoProgress
			}
		}
	}
}

// boundedReader fails with errOverLimit instead of giving more than left bytes.
// Unlike io.LimitReader it does not make too long look like cut off.
type boundedReader struct {
	src  io.Reader
	left int64
}

var _ io.Reader = (*boundedReader)(nil)

func (r *boundedReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than is left tells the end of the body from too much of it.
	if int64(len(p)) > r.left+1 {
		p = p[:r.left+1]
	}
	n, err := r.src.Read(p)
	if int64(n) > r.left {
		n, r.left = int(r.left), 0
		return n, errOverLimit
	}
	r.left -= int64(n)
	return n, err
}
