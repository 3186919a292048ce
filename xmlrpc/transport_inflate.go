package xmlrpc

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"sync"
)

// unsupportedCodingError names a Content-Encoding that cannot be undone.
type unsupportedCodingError struct{ coding string }

var _ error = (*unsupportedCodingError)(nil)

func (e *unsupportedCodingError) Error() string {
	return "the Content-Encoding " + shortQuote(e.coding) + " is not one of gzip, deflate and identity"
}

// contentCoding reads the values of Content-Encoding headers. The answer is ""
// (nothing to undo), "gzip" or "deflate". RFC 9110 section 8.4.1.3 lets x-gzip
// stand for gzip. More than one coding at a time is not supported: no recorded
// client or tracker does it, and it would multiply what a bomb can do.
func contentCoding(values []string) (string, error) {
	found := ""
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			coding := strings.ToLower(strings.TrimSpace(part))
			switch coding {
			case "", "identity":
				continue
			case "x-gzip":
				coding = "gzip"
			}
			if found != "" || (coding != "gzip" && coding != "deflate") {
				return "", &unsupportedCodingError{coding: strings.Join(values, ", ")}
			}
			found = coding
		}
	}
	return found, nil
}

// gzipReader is a gzip.Reader that can be used again. It reads through a buffer of
// its own, which can be cut off from what it read last; the gzip.Reader cannot.
type gzipReader struct {
	gzip.Reader
	buffer *bufio.Reader
}

var gzipReaders = sync.Pool{New: func() any { return &gzipReader{buffer: bufio.NewReader(nil)} }}

// inflate appends to dst what src holds once the coding is undone, up to limit
// bytes, and returns errOverLimit when it is more. The caller bounds src itself.
func inflate(dst []byte, src io.Reader, coding string, limit int) ([]byte, error) {
	switch coding {
	case "gzip":
		z := gzipReaders.Get().(*gzipReader)
		defer gzipReaders.Put(z)
		defer z.buffer.Reset(nil)
		z.buffer.Reset(src)
		if err := z.Reset(z.buffer); err != nil {
			return dst, cutOff(err)
		}
		return appendBounded(dst, z, limit)
	case "deflate":
		return inflateDeflate(dst, src, limit)
	}
	return appendBounded(dst, src, limit)
}

// inflateDeflate undoes "deflate", which is the zlib format by RFC 9110 section
// 8.4.1.2, though some senders leave the zlib frame out. A zlib stream begins
// with two bytes that are a multiple of 31 and name method 8 (RFC 1950 section
// 2.2); a raw one hardly ever does.
func inflateDeflate(dst []byte, src io.Reader, limit int) ([]byte, error) {
	b := bufio.NewReader(src)
	head, err := b.Peek(2)
	if err != nil {
		return dst, cutOff(err)
	}
	if head[0]&0x0f == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		z, err := zlib.NewReader(b)
		if err != nil {
			return dst, cutOff(err)
		}
		return appendBounded(dst, z, limit)
	}
	return appendBounded(dst, flate.NewReader(b), limit)
}

// cutOff makes the end of the input inside a compressed stream's head an error
// that cannot be taken for a proper end.
func cutOff(err error) error {
	if err == io.EOF { //nolint:errorlint // Readers give io.EOF itself.
		return io.ErrUnexpectedEOF
	}
	return err
}

// mediaCharset returns the charset parameter of a Content-Type, or "". It reads
// what mime.ParseMediaType would refuse, since old clients send odd types.
func mediaCharset(contentType string) string {
	_, params, ok := strings.Cut(contentType, ";")
	if !ok {
		return ""
	}
	for param := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(param, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "charset") {
			return strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return ""
}
