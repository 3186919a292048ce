package xmlrpc

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
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
// send the document to where a 307 or 308 points either. post repeats in a
// narrower case, in which no server can have the call: the connection was a kept
// one and the last byte of the document was never handed to it.
func (c *Client) post(ctx context.Context, doc []byte) (resp *http.Response, release func(), err error) {
	for attempt := 1; ; attempt++ {
		body := &requestBody{doc: doc}
		var kept atomic.Bool
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { kept.Store(info.Reused) }}
		req, err := c.request(httptrace.WithClientTrace(ctx, trace), body)
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
		sent := body.detach()
		if !sent && kept.Load() && ctx.Err() == nil && attempt <= maxStaleConnections {
			continue
		}
		return nil, nil, &TransportError{Sent: sent, Err: c.conceal(err)}
	}
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

// detach ends the use of the document and tells whether all of it was taken. An
// XML-RPC server can execute nothing before it has the last byte.
func (b *requestBody) detach() (complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	complete = b.read == len(b.doc)
	b.detached, b.doc, b.read = true, nil, 0
	return complete
}
