package redistest

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client, or a replica, and a server. It can lose answers
// (the server has executed what it was asked, and the connection breaks before
// it has said so), and it can cut the link.
type Proxy struct {
	listener net.Listener
	lose     atomic.Int32
	group    sync.WaitGroup
	mu       sync.Mutex
	server   string
	cut      bool
	open     map[net.Conn]struct{}
}

// StartProxy starts a proxy before a server. The test stops it when it ends.
func StartProxy(tb testing.TB, server string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, server: server, open: map[net.Conn]struct{}{}}
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.serve(client) })
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		p.Cut()
		p.group.Wait()
	})
	return p
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// URL names the proxy for a client of a standalone server.
func (p *Proxy) URL() string { return "redis://" + p.Addr() }

// Lose has the next n answers lost, each with its connection; 0 ends that.
func (p *Proxy) Lose(n int) { p.lose.Store(int32(n)) }

// Losing tells whether answers are still to be lost.
func (p *Proxy) Losing() bool { return p.lose.Load() > 0 }

// Cut breaks all connections and refuses others until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for conn := range p.open {
		_ = conn.Close()
	}
}

// Mend lets connections through again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Turn breaks all connections and lets new ones through to another server, as an
// address does that follows the primary.
func (p *Proxy) Turn(server string) {
	p.Cut()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server, p.cut = server, false
}

// target is the server of new connections.
func (p *Proxy) target() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server
}

// admit registers a connection, so that it can be cut.
func (p *Proxy) admit(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.open[conn] = struct{}{}
	}
	return !p.cut
}

func (p *Proxy) dismiss(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
	_ = conn.Close()
}

func (p *Proxy) serve(client net.Conn) {
	defer p.dismiss(client)
	if !p.admit(client) {
		return
	}
	server, err := net.Dial("tcp", p.target())
	if err != nil {
		return
	}
	defer p.dismiss(server)
	if !p.admit(server) {
		return
	}
	p.group.Go(func() {
		defer func() { _ = server.Close() }()
		forward(server, client, func() bool { return true })
	})
	forward(client, server, func() bool { return p.lose.Add(-1) < 0 })
}

// forward copies until an end closes, or until it may not.
func forward(to, from net.Conn, may func() bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !may() {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
