package xmlrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
)

// maxStaleConnections is how often one call moves on to another connection
// because the kept one that it got was already closed.
const maxStaleConnections = 4

// post sends the document and returns the response, whose body is still to be
// read. release must be called once that is done; doc is not read after it.
//
// net/http repeats a POST by itself in one case only: the connection was a kept
// one, nothing at all had been written to it, and the request has a GetBody.
// Requests made here have none, so net/http never repeats them, and does not
// send the document to where a 307 or 308 points either. post repeats in the
// same case, and in it alone: the connection was a kept one, and no server can
// have all of the document from it.
func (c *Client) post(ctx context.Context, doc []byte) (resp *http.Response, release func(), err error) {
	for attempt := 1; ; attempt++ {
		sending := &attemptTrace{}
		body := &requestBody{doc: doc}
		req, err := c.request(httptrace.WithClientTrace(ctx, sending.hooks()), body)
		if err != nil {
			return nil, nil, &TransportError{Err: c.conceal(err)}
		}
		resp, err := c.http.Do(req)
		if err == nil {
			return resp, func() { body.detach() }, nil
		}
		if resp != nil {
			// http.Client gives both when it does not follow a redirect.
			_ = resp.Body.Close()
		}
		sent := body.detach() && !sending.writeFailed(err)
		if !sent && sending.kept.Load() && ctx.Err() == nil && attempt <= maxStaleConnections {
			continue
		}
		return nil, nil, &TransportError{Sent: sent, Err: c.conceal(err)}
	}
}

// attemptTrace is what net/http tells of one attempt.
type attemptTrace struct {
	kept  atomic.Bool // the connection had been used before
	http2 atomic.Bool
}

func (a *attemptTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { a.kept.Store(info.Reused) },
		WroteHeaderField: func(name string, _ []string) {
			// Only HTTP/2 has fields such as ":method".
			if strings.HasPrefix(name, ":") {
				a.http2.Store(true)
			}
		},
	}
}

// writeFailed tells whether err means that writing the request failed. Over
// HTTP/1 the document's last byte is the last that is written, so that a failure
// to write is one to send all of it. Over HTTP/2 other frames follow.
func (a *attemptTrace) writeFailed(err error) bool {
	var op *net.OpError
	return !a.http2.Load() && errors.As(err, &op) && (op.Op == "write" || op.Op == "readfrom")
}

func (c *Client) request(ctx context.Context, body *requestBody) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(body.doc))
	req.Header["Content-Type"] = []string{"text/xml"}
	req.Header["User-Agent"] = []string{c.userAgent}
	// Asked for by name, so that net/http leaves the inflating, and its bound, to us.
	req.Header["Accept-Encoding"] = []string{"gzip"}
	if c.authorization != "" {
		req.Header["Authorization"] = []string{c.authorization}
	}
	for name, values := range c.header {
		if _, set := req.Header[name]; !set {
			req.Header[name] = values
		}
	}
	for _, cookie := range c.cookies {
		req.AddCookie(cookie)
	}
	return req, nil
}

// requestBody hands a document to net/http, knows whether its last byte was
// taken, and can be cut off from the document: net/http may go on reading a body
// in the background after it has returned an answer or an error.
type requestBody struct {
	mu       sync.Mutex
	doc      []byte
	read     int
	detached bool
}

var _ io.ReadCloser = (*requestBody)(nil)

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached {
		return 0, http.ErrBodyReadAfterClose
	}
	n := copy(p, b.doc[b.read:])
	b.read += n
	if b.read == len(b.doc) {
		return n, io.EOF
	}
	return n, nil
}

// Close does nothing: net/http closes bodies it has not sent.
func (b *requestBody) Close() error { return nil }

// Rewind starts again from the first byte. It is for an [http.RoundTripper] that
// knows that nothing has been written to a server, and that wants to let net/http
// know: as GetBody of the request that it passes on.
func (b *requestBody) Rewind() (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.detached {
		return nil, http.ErrBodyReadAfterClose
	}
	b.read = 0
	return b, nil
}

// detach ends the use of the document and tells whether all of it was taken. An
// XML-RPC server can execute nothing before it has the last byte.
func (b *requestBody) detach() (complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complete = b.read == len(b.doc)
	b.detached, b.doc, b.read = true, nil, 0
	return complete
}
