package xmlrpc_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// TestACallOnAKeptConnectionThatDiesIsNeverSentTwice has a server that answers
// the first request of each connection and closes it on the second, having read
// all of it: from outside this looks like a connection that was closed for
// idleness, and a client that repeats the call makes it twice.
func TestACallOnAKeptConnectionThatDiesIsNeverSentTwice(t *testing.T) {
	var s *rawServer
	s = serveRaw(t, func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, keptResponse)
		s.read(r)
	})
	client := newClient(t, s.url, xmlrpc.WithHTTPClient(&http.Client{Transport: &http.Transport{}}))
	if err := client.Call(t.Context(), "first", nil); err != nil {
		t.Fatal(err)
	}
	wantTransport(t, client.Call(t.Context(), "second", nil), true)
	if s.count() != 2 {
		t.Errorf("the server got %d calls, want each of the two once", s.count())
	}
}

// TestAKeptConnectionThatIsClosedDoesNotFailTheNextCall has a server that closes
// every connection after one answer. Whether the client has noticed by its next
// call is a matter of luck; whatever happens, no call may arrive twice.
func TestAKeptConnectionThatIsClosedDoesNotFailTheNextCall(t *testing.T) {
	s := serveBytes(t, keptResponse)
	client := newClient(t, s.url, xmlrpc.WithHTTPClient(&http.Client{Transport: &http.Transport{}}))
	for i := range 200 {
		method := fmt.Sprint("call", i)
		err := client.Call(t.Context(), method, nil)
		if err != nil {
			wantTransport(t, err, true)
		}
		s.mu.Lock()
		arrived := 0
		for _, body := range s.bodies {
			if strings.Contains(body, "<methodName>"+method+"<") {
				arrived++
			}
		}
		s.mu.Unlock()
		if arrived > 1 || (err == nil && arrived != 1) {
			t.Fatalf("%s arrived %d times, error %v", method, arrived, err)
		}
	}
}

// breakingConn fails to write once it is told to.
type breakingConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c breakingConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(p)
}

func TestACallOnAKeptConnectionThatTakesNothingIsMadeOnAnother(t *testing.T) {
	s := serveRaw(t, func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, keptResponse)
		_, _ = io.Copy(io.Discard, r)
	})
	var dialed []*atomic.Bool
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		dialed = append(dialed, new(atomic.Bool))
		return breakingConn{conn, dialed[len(dialed)-1]}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client := newClient(t, s.url, xmlrpc.WithHTTPClient(&http.Client{Transport: transport}))
	for i := range 2 {
		if err := client.Call(t.Context(), "m", nil); err != nil {
			t.Fatal(err)
		}
		if len(dialed) != i+1 || s.count() != i+1 {
			t.Errorf("after call %d: %d connections, %d calls arrived", i+1, len(dialed), s.count())
		}
		dialed[i].Store(true)
	}
}

// TestAFailureToWriteProvesNothingOverHTTP2 has a transport that takes the whole
// document and then fails to write, with and without HTTP/2's fields.
func TestAFailureToWriteProvesNothingOverHTTP2(t *testing.T) {
	for field, sent := range map[string]bool{":method": true, "Host": false} {
		transport := roundTripper(func(r *http.Request) (*http.Response, error) {
			httptrace.ContextClientTrace(r.Context()).WroteHeaderField(field, nil)
			_, _ = io.Copy(io.Discard, r.Body)
			return nil, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
		})
		client := newClient(t, "http://127.0.0.1/", xmlrpc.WithHTTPClient(&http.Client{Transport: transport}))
		wantTransport(t, client.Call(t.Context(), "m", nil), sent)
	}
}

func TestHTTP2IsToldByItsHeaderFields(t *testing.T) {
	for _, http2 := range []bool{true, false} {
		server := httptest.NewUnstartedServer(xmlrpc.NewHandler(echoRegistry(t)))
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		var seen atomic.Bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteHeaderField: func(name string, _ []string) {
			if name == ":method" {
				seen.Store(true)
			}
		}})
		var got []string
		err := newClient(t, server.URL, xmlrpc.WithHTTPClient(server.Client())).Call(ctx, "bridge.echo", &got, "x")
		if err != nil || len(got) != 1 || seen.Load() != http2 {
			t.Errorf("HTTP/2 %v: got %v, error %v, told %v", http2, got, err, seen.Load())
		}
	}
}

// staleTransport claims, for its first requests, that a kept connection died
// before anything was read from the body.
type staleTransport struct {
	stale int
	tries atomic.Int32
	next  http.RoundTripper
}

func (s *staleTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if int(s.tries.Add(1)) > s.stale {
		return s.next.RoundTrip(r)
	}
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{Reused: true})
	return nil, errors.New("http: server closed idle connection")
}

func TestACallMovesOnFromAConnectionThatWasClosedBeforeItBegan(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	for stale, want := range map[int]bool{1: true, 4: true, 5: false} {
		transport := &staleTransport{stale: stale, next: http.DefaultTransport}
		client := newClient(t, server.url, xmlrpc.WithHTTPClient(&http.Client{Transport: transport}))
		err := client.Call(t.Context(), "m", nil)
		if (err == nil) != want {
			t.Errorf("%d stale connections: error %v", stale, err)
		}
		if err != nil {
			wantTransport(t, err, false)
		}
		if tries := int(transport.tries.Load()); tries > 5 {
			t.Errorf("%d tries", tries)
		}
	}
}
