package bridge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// seen is a request as a tracker saw it.
type seen struct {
	path   string
	header http.Header
	length int64
	body   string
}

// behindProxy is a tracker, the dialect that it speaks, and the proxy in front of
// it, each over real connections.
type behindProxy struct {
	t      *testing.T
	bridge *Bridge
	proxy  *httptest.Server
	peer   *httptest.Server
	rules  ProxyRules
	// answer answers a call; the default says true.
	answer func(w http.ResponseWriter, r *http.Request, call seen)
	// session makes the nth session, from 1.
	session func(n int) *Session
	expired func(error) bool

	mu     sync.Mutex
	calls  []seen
	logins int
}

const (
	sessionCookie = "cookie-of-the-session-0123"
	trueAnswer    = `<?xml version="1.0"?><methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>`
)

// proxyDialect is the dialect of behindProxy.
type proxyDialect struct {
	bare
	test *behindProxy
}

var _ Proxied = (*proxyDialect)(nil)

func (d *proxyDialect) Name() string { return "stand-in" }

func (d *proxyDialect) ProxyRules(context.Context) (ProxyRules, error) { return d.test.rules, nil }

func (d *proxyDialect) Expired(err error) bool {
	return d.test.expired != nil && d.test.expired(err)
}

func newBehindProxy(t *testing.T, c Config, limits xmlrpc.Limits, opts ...Option) *behindProxy {
	t.Helper()
	b := &behindProxy{t: t}
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) { writeXML(w, trueAnswer) }
	b.session = func(int) *Session {
		return &Session{Cookies: []*http.Cookie{{Name: "sid", Value: sessionCookie}}, Header: map[string]string{"X-Requested-With": "x"}}
	}
	b.peer = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		call := seen{r.URL.Path, r.Header, r.ContentLength, string(body)}
		if r.Method == http.MethodPost {
			b.mu.Lock()
			b.calls = append(b.calls, call)
			b.mu.Unlock()
		}
		b.answer(w, r, call)
	}))
	t.Cleanup(b.peer.Close)
	c.Name, c.Dialect, c.AllowPrivate = "t", "stand-in", true
	if c.URL == "" {
		c.URL = b.peer.URL + "/base"
	}
	var err error
	b.bridge, err = New([]Config{c}, []Named{{Name: "stand-in", New: func(r *Remote) (Dialect, error) {
		d := &proxyDialect{test: b}
		d.remote = r
		d.login = func(context.Context, *Credentials) (*Session, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.logins++
			return b.session(b.logins), nil
		}
		endpoint, err := r.Endpoint("xmlrpc.cgi")
		b.rules = ProxyRules{
			Endpoint:    endpoint,
			Allow:       []string{"Bug.*", "Bugzilla.version"},
			Reads:       []string{"Bug.get", "Bug.search", "Bugzilla.version"},
			Refuse:      []string{"User.login", "User.logout", "*.offer_account*"},
			Credentials: []string{"Bugzilla_login", "Bugzilla_token", "token"},
			Hide:        []string{"update_token", "token"},
		}
		return d, err
	}}}, nil, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.bridge.Close)
	b.proxy = httptest.NewServer(b.bridge.Proxy(limits))
	t.Cleanup(b.proxy.Close)
	t.Cleanup(b.proxy.Client().CloseIdleConnections)
	return b
}

func writeXML(w http.ResponseWriter, document string) {
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, document)
}

func (b *behindProxy) requests() []seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

// post sends a document through the proxy.
func (b *behindProxy) post(document string, header ...string) (*http.Response, string) {
	b.t.Helper()
	return b.postTo("/trackers/t", document, header...)
}

func (b *behindProxy) postTo(path, document string, header ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.proxy.URL+path, strings.NewReader(document))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.proxy.Client().Do(req)
	if err != nil {
		b.t.Error(err)
		return nil, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Error(err)
	}
	if resp.StatusCode == http.StatusOK && resp.ContentLength != int64(len(body)) {
		b.t.Errorf("Content-Length %d of an answer of %d bytes", resp.ContentLength, len(body))
	}
	return resp, string(body)
}

// fault posts a document and returns the fault that must come.
func (b *behindProxy) fault(document string, header ...string) *xmlrpc.Fault {
	b.t.Helper()
	resp, body := b.post(document, header...)
	return b.readFault(resp, body)
}

func (b *behindProxy) readFault(resp *http.Response, body string) *xmlrpc.Fault {
	b.t.Helper()
	fault := new(xmlrpc.Fault)
	if err := xmlrpc.ParseResponse([]byte(body), nil); resp.StatusCode != 200 || !errors.As(err, &fault) {
		b.t.Errorf("HTTP %d, %v: %s, want a fault", resp.StatusCode, err, body)
	}
	return fault
}

func call(method string, params ...any) string {
	document, err := xmlrpc.AppendCall(nil, method, params)
	if err != nil {
		panic(err)
	}
	return string(document)
}

// undeclared is the document without its declaration, which names an encoding.
func undeclared(document string) string {
	return strings.Replace(document, `<?xml version="1.0" encoding="UTF-8"?>`, "", 1)
}

func inner(method string, params ...any) map[string]any {
	return map[string]any{"methodName": method, "params": params}
}

func response(value string) string {
	return "<methodResponse><params><param><value>" + value + "</value></param></params></methodResponse>"
}
