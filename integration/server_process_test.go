package integration

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// program is the path of a program that a test needs; without it the test fails
// and names the Debian package that brings it.
func program(tb testing.TB, name, debianPackage string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s is not installed: apt-get install %s", name, debianPackage)
	}
	return path
}

// newServerClient makes a client of a server of the tests.
func newServerClient(tb testing.TB, url string, opts ...xmlrpc.ClientOption) *xmlrpc.Client {
	tb.Helper()
	client, err := xmlrpc.NewClient(url, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return client
}

// countingDialer is an http.Client that counts the connections that it opens.
func countingDialer(tb testing.TB) (*http.Client, *atomic.Int32) {
	tb.Helper()
	opened := new(atomic.Int32)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			opened.Add(1)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, opened
}

// ownConnection gives each call a connection of its own. It is for calls that a server refuses
// by their head: Python's and Supervisor's then leave the document unread in a kept
// connection, and take it for the next request.
func ownConnection() xmlrpc.ClientOption {
	return xmlrpc.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
}

// trip is a value that goes to a server and comes back.
type trip struct {
	name string
	sent any
	seen string // the type and value as the server's "describe" has them
	back any    // what "echo" brings back into an any
}

// checkTrips sends every value to "describe" and to "echo".
func checkTrips(t *testing.T, client *xmlrpc.Client, trips []trip) {
	t.Helper()
	for _, trip := range trips {
		t.Run(trip.name, func(t *testing.T) {
			var seen string
			if err := client.Call(t.Context(), "describe", &seen, trip.sent); err != nil {
				t.Errorf("describe: %v", err)
			} else if seen != trip.seen {
				t.Errorf("the server got %s, want %s", seen, trip.seen)
			}
			var back any
			if err := client.Call(t.Context(), "echo", &back, trip.sent); err != nil {
				t.Errorf("echo: %v", err)
			} else if !reflect.DeepEqual(back, trip.back) {
				t.Errorf("%#v came back, want %#v", back, trip.back)
			}
		})
	}
}

// wantServerFault checks that an error is a fault with this code and this text.
func wantServerFault(tb testing.TB, err error, code int, text string) {
	tb.Helper()
	fault := (*xmlrpc.Fault)(nil)
	if !errors.As(err, &fault) {
		tb.Errorf("got %v, want a fault", err)
		return
	}
	if fault.Code != code || fault.String != text || fault.CodeText != "" {
		tb.Errorf("got fault %d %q (code as text %q), want %d %q", fault.Code, fault.String, fault.CodeText, code, text)
	}
	if httpError := (*xmlrpc.HTTPError)(nil); errors.As(err, &httpError) {
		tb.Errorf("the fault came with HTTP status %d", httpError.StatusCode)
	}
}

// wantHTTPStatus checks that an error is an answer with this HTTP status, and returns it.
func wantHTTPStatus(tb testing.TB, err error, status int) *xmlrpc.HTTPError {
	tb.Helper()
	httpError := (*xmlrpc.HTTPError)(nil)
	if !errors.As(err, &httpError) {
		tb.Fatalf("got %v, want HTTP status %d", err, status)
	}
	if httpError.StatusCode != status || httpError.Fault != nil {
		tb.Errorf("got HTTP status %d with fault %v, want %d without", httpError.StatusCode, httpError.Fault, status)
	}
	return httpError
}

// checkAbandonedCall cancels a call of "slow" once the server is at it, and then the server
// still answers other calls.
func checkAbandonedCall(t *testing.T, client *xmlrpc.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- client.Call(ctx, "slow", nil)
	}()
	var done bool
	if err := client.Call(t.Context(), "started", &done); err != nil || !done {
		t.Fatalf("started: %t, %v", done, err)
	}
	cancel()
	checkAbandoned(t, <-ended, context.Canceled)

	hurried := client.With(xmlrpc.WithTimeLimit(20 * time.Millisecond))
	err := hurried.Call(t.Context(), "slow", nil)
	checkAbandoned(t, err, context.DeadlineExceeded)

	if err := client.Call(t.Context(), "release", &done); err != nil || !done {
		t.Fatalf("release: %t, %v", done, err)
	}
	var text string
	if err := client.Call(t.Context(), "slow", &text); err != nil || text != "released" {
		t.Errorf("slow, after its release: %q, %v", text, err)
	}
}

// checkAbandoned checks the error of a call that was sent and whose answer nobody waited for.
func checkAbandoned(t *testing.T, err, cause error) {
	t.Helper()
	transport := (*xmlrpc.TransportError)(nil)
	if !errors.As(err, &transport) || !errors.Is(err, cause) {
		t.Errorf("got %v, want a transport error because of %v", err, cause)
		return
	}
	if !transport.Sent {
		t.Errorf("%v does not say that the call was sent", err)
	}
}
