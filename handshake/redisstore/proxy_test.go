package redisstore_test

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between a store and its server, and can lose answers: the
// server has executed what it was asked, and the connection breaks before it
// has said so.
type proxy struct {
	listener net.Listener
	server   string
	lose     atomic.Int32 // how many answers are still to be lost
	group    sync.WaitGroup
}

func startProxy(t *testing.T, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, server: server}
	p.group.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.serve(client) })
		}
	})
	return p
}

func (p *proxy) url() string { return "redis://" + p.listener.Addr().String() }

// close stops the proxy once its clients have gone.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.group.Wait()
}

func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
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
