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
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// closedAddress is an address at which nothing listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// wantTransport checks for a TransportError whose text has no part of the URL.
func wantTransport(t *testing.T, err error, sent bool) {
	t.Helper()
	var failed *xmlrpc.TransportError
	if !errors.As(err, &failed) {
		t.Fatalf("got error %v (%T), want a TransportError", err, err)
	}
	if failed.Sent != sent {
		t.Errorf("Sent is %v, want %v: %v", failed.Sent, sent, err)
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if text := e.Error(); strings.Contains(text, "secret") || strings.Contains(text, "://") {
			t.Errorf("the error shows the URL: %s", text)
		}
	}
}

func TestACallThatNoServerCanHaveIsNotSent(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	plainHTTP := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plainHTTP.Close)
	for name, c := range map[string]struct {
		ctx context.Context
		url string
		opt xmlrpc.ClientOption
	}{
		"refused":          {t.Context(), "http://" + closedAddress(t), nil},
		"no such host":     {t.Context(), "http://no-such-host.invalid", nil},
		"no TLS there":     {t.Context(), strings.Replace(plainHTTP.URL, "http:", "https:", 1), nil},
		"cancelled before": {cancelled, plainHTTP.URL, nil},
		"no header":        {t.Context(), plainHTTP.URL, xmlrpc.WithBearer("a secret\nline")},
	} {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, c.url+"/secret-path?secret=query")
			if c.opt != nil {
				client = client.With(c.opt)
			}
			wantTransport(t, client.Call(c.ctx, "m", nil), false)
		})
	}
}

func TestACallWhoseAnswerNeverComesMayHaveBeenExecuted(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"hung up":     func(net.Conn) {},
		"half a head": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") },
		"no HTTP":     func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.example ESMTP\r\n") },
		"an endless header": func(c net.Conn) {
			_, _ = io.Copy(c, io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nX: "), endless('x')))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serveRaw(t, func(conn net.Conn, _ *bufio.Reader) { serve(conn) })
			wantTransport(t, newClient(t, server.url+"/secret-path").Call(t.Context(), "m", nil), true)
			if server.count() != 1 {
				t.Errorf("the call was sent %d times", server.count())
			}
		})
	}
}

// endless reads the same letter for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestAServerThatNeverAnswersIsLeftWhenTheTimeIsOver(t *testing.T) {
	for name, head := range map[string]string{
		"before the head": "",
		"in the body":     "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<?xml",
		"in an error":     "HTTP/1.1 500 Oops\r\nContent-Type: text/xml\r\nContent-Length: 1000\r\n\r\n<?xml",
	} {
		t.Run(name, func(t *testing.T) {
			server := serveRaw(t, func(conn net.Conn, r *bufio.Reader) {
				_, _ = io.WriteString(conn, head)
				_, _ = io.Copy(io.Discard, r) // until the client hangs up
			})
			client := newClient(t, server.url+"/secret-path")
			const limit = 50 * time.Millisecond
			for name, call := range map[string]func() error{
				"the client's limit": func() error {
					return client.With(xmlrpc.WithTimeLimit(limit)).Call(t.Context(), "m", nil)
				},
				"the context's": func() error {
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					return client.With(xmlrpc.WithTimeLimit(0)).Call(ctx, "m", nil)
				},
				"the http.Client's own": func() error {
					return client.With(xmlrpc.WithHTTPClient(&http.Client{Timeout: limit})).Call(t.Context(), "m", nil)
				},
			} {
				err := call()
				wantTransport(t, err, true)
				var failed *xmlrpc.TransportError
				if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failed) || !failed.Timeout() {
					t.Errorf("%s: %v is no timeout", name, err)
				}
			}
		})
	}
}

func TestACancelledCallMayHaveBeenExecuted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := serveRaw(t, func(_ net.Conn, r *bufio.Reader) {
		cancel()
		_, _ = io.Copy(io.Discard, r)
	})
	err := newClient(t, server.url).Call(ctx, "m", nil)
	wantTransport(t, err, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestACallThatIsCutOffHalfWayIsNotSent(t *testing.T) {
	// The document is larger than the connection's buffers, and the server reads
	// only its beginning.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, conn, 1000)
		_ = conn.Close()
	}()
	err = newClient(t, "http://"+listener.Addr().String()+"/secret-path").Call(t.Context(), "m", nil, strings.Repeat("x", 16<<20))
	wantTransport(t, err, false)
}

func TestAnAnswerIsBounded(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
	bomb := compressed(t, strings.Repeat(" ", 2<<20), gzipTo)
	for name, serve := range map[string]func(net.Conn){
		"10 GB by its length": func(c net.Conn) { fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n<?xml", head, 10<<30) },
		"10 GB without a length": func(c net.Conn) {
			_, _ = io.Copy(c, io.MultiReader(strings.NewReader(head+"\r\n"), io.LimitReader(endless(' '), 10<<30)))
		},
		"a gzip bomb": func(c net.Conn) { fmt.Fprintf(c, "%sContent-Encoding: gzip\r\n\r\n%s", head, bomb) },
		"a gzip stream that never says anything": func(c net.Conn) {
			// Empty stored blocks, for ever.
			stream := compressed(t, "", gzipTo)[:10]
			_, _ = io.WriteString(c, head+"Content-Encoding: gzip\r\n\r\n"+stream)
			for {
				if _, err := io.WriteString(c, strings.Repeat("\x00\x00\x00\xff\xff", 1000)); err != nil {
					return
				}
			}
		},
		"an error page of 10 GB as XML": func(c net.Conn) {
			_, _ = io.Copy(c, io.MultiReader(strings.NewReader("HTTP/1.1 500 Oops\r\nContent-Type: text/xml\r\n\r\n"), io.LimitReader(endless(' '), 10<<30)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := serveRaw(t, func(conn net.Conn, _ *bufio.Reader) { serve(conn) })
			err := newClient(t, server.url, xmlrpc.WithMaxAnswer(1<<20)).Call(t.Context(), "m", nil)
			if !errors.Is(err, xmlrpc.ErrAnswerTooLarge) || !strings.Contains(err.Error(), "1048576") {
				t.Errorf("got error %v", err)
			}
		})
	}
}

func TestAnErrorPageWithoutEndIsReadOnlyAtItsBeginning(t *testing.T) {
	server := serveRaw(t, func(c net.Conn, _ *bufio.Reader) {
		_, _ = io.Copy(c, io.MultiReader(strings.NewReader("HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n"), endless(' ')))
	})
	var asHTTP *xmlrpc.HTTPError
	if err := newClient(t, server.url).Call(t.Context(), "m", nil); !errors.As(err, &asHTTP) || len(asHTTP.Body) != 512 {
		t.Errorf("got error %v", err)
	}
}

func TestAnAnswerOfExactlyTheBoundIsRead(t *testing.T) {
	server := serveBytes(t, response(200, "text/xml", pongDocument))
	client := newClient(t, server.url)
	if err := client.With(xmlrpc.WithMaxAnswer(int64(len(pongDocument)))).Call(t.Context(), "m", nil); err != nil {
		t.Error(err)
	}
	err := client.With(xmlrpc.WithMaxAnswer(int64(len(pongDocument)-1))).Call(t.Context(), "m", nil)
	if !errors.Is(err, xmlrpc.ErrAnswerTooLarge) {
		t.Errorf("got error %v", err)
	}
	if err := client.With(xmlrpc.WithMaxAnswer(0)).Call(t.Context(), "m", nil); err != nil {
		t.Error(err)
	}
}

func TestTheValuesOfAnAnswerAreBounded(t *testing.T) {
	array := strings.Replace(pongDocument, "<string>pong</string>", "<array><data>"+strings.Repeat("<value/>", 100)+"</data></array>", 1)
	client := newClient(t, serveBytes(t, response(200, "text/xml", array)).url)
	if err := client.Call(t.Context(), "m", nil); err != nil {
		t.Error(err)
	}
	err := client.With(xmlrpc.WithClientLimits(xmlrpc.Limits{Values: 100})).Call(t.Context(), "m", nil)
	var answer *xmlrpc.AnswerError
	if !errors.As(err, &answer) {
		t.Errorf("got error %v", err)
	}
}

func TestAnAnswerThatIsNoneSaysWhatItIs(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"
	packed := compressed(t, pongDocument, gzipTo)
	for name, c := range map[string]struct{ answer, says string }{
		"cut off":                {head + "Content-Length: 1000\r\n\r\n" + pongDocument, "failed after"},
		"cut off in a chunk":     {head + "Transfer-Encoding: chunked\r\n\r\n1000\r\n" + pongDocument, "failed after"},
		"a chunk of nonsense":    {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", "failed after"},
		"longer than its length": {head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(pongDocument)-5, pongDocument), "not well formed"},
		"empty":                  {head + "Content-Length: 0\r\n\r\n", "it is empty"},
		"no content":             {"HTTP/1.1 204 No Content\r\n\r\n", "it is empty"},
		"a page":                 {response(200, "text/html", "<html><p>Maintenance<br></html>"), "text/html"},
		"a call":                 {response(200, "text/xml", pingDocument), "no XML-RPC response"},
		"not compressed at all":  {head + "Content-Encoding: gzip\r\n\r\n" + pongDocument, "failed after 0"},
		"half a gzip stream":     {head + "Content-Encoding: gzip\r\n\r\n" + packed[:len(packed)-9], "failed after"},
		"a coding unasked for":   {head + "Content-Encoding: br\r\n\r\nxxx", `"br"`},
	} {
		t.Run(name, func(t *testing.T) {
			err := newClient(t, serveBytes(t, c.answer).url+"/secret-path").Call(t.Context(), "m", nil)
			var answer *xmlrpc.AnswerError
			if !errors.As(err, &answer) || answer.StatusCode/100 != 2 || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got error %v, want %q in it", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the URL: %v", err)
			}
		})
	}
}

func TestAnUnreadableLocationIsNotShown(t *testing.T) {
	server := serveBytes(t, "HTTP/1.1 302 Found\r\nLocation: /%zz-secret\r\nContent-Length: 0\r\n\r\n")
	err := newClient(t, server.url).Call(t.Context(), "m", nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got error %v", err)
	}
}

func TestAnErrorOfTheTransportThatQuotesTheURLIsNotShown(t *testing.T) {
	cause := errors.New("the cause")
	for _, text := range []string{"asking http://x/y failed", "cannot call secret-path", "bad query key=secret"} {
		transport := roundTripper(func(*http.Request) (*http.Response, error) { return nil, fmt.Errorf("%s: %w", text, cause) })
		client := newClient(t, "http://127.0.0.1/secret-path?key=secret", xmlrpc.WithHTTPClient(&http.Client{Transport: transport}))
		err := client.Call(t.Context(), "m", nil)
		wantTransport(t, err, false)
		if !errors.Is(err, cause) {
			t.Errorf("%v hides its cause", err)
		}
	}
}

// refusedAddress is an error of a program's own dialer, whose text may quote anything.
type refusedAddress struct{ address string }

func (e *refusedAddress) Error() string { return "refused to call http://" + e.address + "/secret" }

func TestTheKindOfAFailureIsFoundThoughItsTextIsNotShown(t *testing.T) {
	dial := func(err error) *http.Client {
		return &http.Client{Transport: &http.Transport{
			DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err },
		}}
	}
	client := newClient(t, "http://tracker.invalid/", xmlrpc.WithHTTPClient(dial(&refusedAddress{"192.0.2.7"})))
	err := client.Call(t.Context(), "m", nil)
	wantTransport(t, err, false)
	var refused *refusedAddress
	if !errors.As(err, &refused) || refused.address != "192.0.2.7" {
		t.Errorf("the dialer's error is lost in %v", err)
	}

	slow := &net.DNSError{Err: "timed out asking for http://secret", IsTimeout: true, IsTemporary: true}
	err = newClient(t, "http://tracker.invalid/", xmlrpc.WithHTTPClient(dial(slow))).Call(t.Context(), "m", nil)
	wantTransport(t, err, false)
	var network net.Error
	if !errors.As(err, &network) || !network.Timeout() || strings.Contains(network.Error(), "secret") {
		t.Errorf("%v is not a net.Error that was too slow", network)
	}
	if passing, ok := network.(interface{ Temporary() bool }); !ok || !passing.Temporary() {
		t.Errorf("%v is not temporary", network)
	}
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsTimeout {
		t.Errorf("the resolver's error is lost in %v", err)
	}
}

func TestAHostThatSharesAWordWithThePathIsStillNamed(t *testing.T) {
	missing := &net.DNSError{Err: "no such host", Name: "bugzilla.invalid", IsNotFound: true}
	client := newClient(t, "http://bugzilla.invalid/bugzilla/xmlrpc.cgi", xmlrpc.WithHTTPClient(&http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, missing },
	}}))
	err := client.Call(t.Context(), "m", nil)
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("got error %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
