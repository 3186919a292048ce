package bridge

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// Some servers refuse a POST without reading its body and keep the connection:
// tracd does so with HTTP 401. They then take the body for the next request, and
// answer that one too. A connection on which a POST got anything but a 2xx is
// therefore used for nothing more.

// errUsedUp is what a write meets on such a connection. Nothing has been written,
// so that the transport makes the request on another one.
var errUsedUp = errors.New("bridge: what the server has not read may stand in the way on this connection")

// statusLength is that of "HTTP/1.1 2", the part of an answer that is looked at.
const statusLength = 10

// watchedConn looks at how each exchange on a connection begins.
type watchedConn struct {
	net.Conn
	mu     sync.Mutex
	posted bool   // whether the last request was a POST
	head   []byte // what has been read of its answer, up to statusLength
	usedUp bool
}

// Write passes on a part of a request, and stops one that follows a refused POST.
// What is left of the refused one itself may still be written: the transport
// would otherwise not look at the answer.
func (c *watchedConn) Write(p []byte) (int, error) {
	if posted := bytes.HasPrefix(p, []byte("POST /")); posted || bytes.HasPrefix(p, []byte("GET /")) {
		c.mu.Lock()
		usedUp := c.usedUp
		c.posted, c.head = posted, c.head[:0]
		c.mu.Unlock()
		if usedUp {
			return 0, errUsedUp
		}
	}
	return c.Conn.Write(p)
}

// Read passes on a part of an answer. It marks the connection before anybody can
// know that the answer is over and give the connection to another request.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head = append(c.head, p[:min(n, statusLength-len(c.head))]...)
	if c.posted && len(c.head) == statusLength && c.head[statusLength-1] != '2' {
		c.usedUp = true
	}
	return n, err
}

// dialFunc opens a connection.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// watched opens connections that are looked at.
func (dial dialFunc) watched() dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn, head: make([]byte, 0, statusLength)}, nil
	}
}

// secured opens connections with TLS, on which the handshake must not take longer
// than the limit.
func (dial dialFunc) secured(config *tls.Config, limit time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		if own.ServerName == "" {
			own.ServerName, _, _ = net.SplitHostPort(address)
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		secure := tls.Client(conn, own)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return secure, nil
	}
}
