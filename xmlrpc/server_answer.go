package xmlrpc

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// minCompressed is the length from which an answer is worth compressing, in
// bytes: a shorter one fits one packet as it is.
const minCompressed = 1400

// answerType has no charset: every document declares UTF-8, and the
// specification's own Content-Type is the one that nobody can trip over.
var answerType = []string{"text/xml"}

// send writes the answer: status 200, a Content-Length, and the body whole, since
// 5 of 28 client stacks read no chunked answer and 16 no compressed one that they
// did not ask for.
func (x *exchange) send() {
	body := *x.out
	header := x.w.Header()
	header["Content-Type"] = answerType
	if len(body) >= minCompressed {
		header["Vary"] = append(header["Vary"], "Accept-Encoding")
		if acceptsGzip(x.r.Header["Accept-Encoding"]) {
			packed := borrowDocument()
			defer returnDocument(packed)
			if *packed = gzipped(*packed, body); len(*packed) < len(body) {
				header.Set("Content-Encoding", "gzip")
				body = *packed
			}
		}
	}
	x.length[0] = strconv.Itoa(len(body))
	header["Content-Length"] = x.length[:]
	// A caller that has gone away needs no answer.
	_, _ = x.w.Write(body)
}

var gzipWriters = sync.Pool{New: func() any {
	// The level is a valid one, so that there is no error.
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	return z
}}

// gzipped appends body to dst, compressed.
func gzipped(dst, body []byte) []byte {
	buf := bytes.NewBuffer(dst)
	z := gzipWriters.Get().(*gzip.Writer)
	defer gzipWriters.Put(z)
	z.Reset(buf)
	// Writing to a bytes.Buffer does not fail.
	_, _ = z.Write(body)
	_ = z.Close()
	packed := buf.Bytes()
	// The writer keeps the buffer, which must not keep the answer.
	*buf = bytes.Buffer{}
	return packed
}

// acceptsGzip reads Accept-Encoding headers (RFC 9110 section 12.5.3). gzip must
// be asked for by name: "*" and the TE header are no such request.
func acceptsGzip(values []string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			coding, params, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				continue
			}
			return quality(params) > 0
		}
	}
	return false
}

// quality reads the q parameter; without one it is 1, and 0 when it is no number.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0
		}
		return q
	}
	return 1
}

// servePage answers GET and HEAD.
func (h *handler) servePage(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(h.page)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(h.page)
}
