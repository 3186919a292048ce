package bugzilla_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/xmlrpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Where the captures are, by the dialect that reads them.
const (
	nativeCaptures = "testdata/bugzilla"
	pluginCaptures = "testdata/bugzilla-launchpad"
)

// capture returns one half of a captured exchange, byte for byte.
func capture(t testing.TB, place, half string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash("testdata/" + place + "." + half + ".http"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replayer answers calls with given bytes, from a bare TCP socket.
type replayer struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	methods  map[string][][]byte // by method, in turn, the last one for ever; "" for all others
	received []received
}

// received is a request as the replayer got it.
type received struct {
	method string
	params map[string]any
	header http.Header
	body   []byte
}

func newReplayer(t *testing.T) *replayer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replayer{t: t, listener: listener, conns: map[net.Conn]bool{}, methods: map[string][][]byte{}}
	r.serving.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *replayer) url() string { return "http://" + r.listener.Addr().String() + "/bz" }

// answer sets the captured answers that calls of a method get in turn.
func (r *replayer) answer(method string, places ...string) *replayer {
	for _, place := range places {
		r.raw(method, capture(r.t, place, "response"))
	}
	return r
}

// value answers a method with a value.
func (r *replayer) value(method string, value any) *replayer {
	doc, err := xmlrpc.AppendResponse(nil, value)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.document(method, doc)
}

// fault answers a method with a fault.
func (r *replayer) fault(method string, code int, text string) *replayer {
	return r.document(method, xmlrpc.AppendFault(nil, code, text))
}

func (r *replayer) document(method string, doc []byte) *replayer {
	r.raw(method, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(doc), doc))
	return r
}

func (r *replayer) raw(method string, bytes []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.methods[method] = append(r.methods[method], bytes)
}

// first is raw, before what was set already.
func (r *replayer) first(method string, bytes []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.methods[method] = append([][]byte{bytes}, r.methods[method]...)
}

func (r *replayer) close() {
	_ = r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.serving.Wait()
}

func (r *replayer) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.closed {
			_ = conn.Close()
		}
		r.conns[conn] = true
		r.mu.Unlock()
		r.serving.Go(func() { r.serve(conn) })
	}
}

func (r *replayer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		raw := r.pick(req, body)
		if _, err := conn.Write(raw); err != nil || !bounded(raw) {
			return
		}
	}
}

// bounded tells whether the end of a response can be seen without the connection
// being closed.
func bounded(raw []byte) bool {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return !bytes.Contains(head, []byte("Connection: close")) &&
		(bytes.Contains(head, []byte("Content-Length:")) || bytes.Contains(head, []byte("Transfer-Encoding: chunked")))
}

func (r *replayer) pick(req *http.Request, body []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := received{header: req.Header, body: body}
	call, err := xmlrpc.ParseCall(body)
	if err != nil || req.Method != http.MethodPost || req.RequestURI != "/bz/xmlrpc.cgi" {
		r.t.Errorf("%s %s: %v\n%s", req.Method, req.RequestURI, err, body)
	} else {
		got.method = call.Method
		if params := call.Params(); len(params) == 1 {
			got.params, _ = params[0].(map[string]any)
		}
	}
	r.received = append(r.received, got)
	method := got.method
	if len(r.methods[method]) == 0 {
		method = ""
	}
	queue := r.methods[method]
	if len(queue) == 0 {
		r.t.Errorf("a call that no answer was given for: %s", body)
		return []byte("HTTP/1.1 500 Unexpected\r\nContent-Length: 0\r\n\r\n")
	}
	if len(queue) > 1 {
		r.methods[method] = queue[1:]
	}
	return queue[0]
}

// calls are the requests to a method, or all without one.
func (r *replayer) calls(method string) []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []received
	for _, got := range r.received {
		if method == "" || got.method == method {
			list = append(list, got)
		}
	}
	return list
}

// minter mints tokens that are all alike and good for nothing.
type minter struct{}

const mintedToken = "FAKETOKEN0000000000000000000000one"

func (minter) Mint(context.Context, string) (string, func(context.Context) error, error) {
	return mintedToken, func(context.Context) error { return nil }, nil
}

// openAs opens a bridge to a tracker, named "bz", of one dialect.
func openAs(t *testing.T, dialect, url string, secrets bridge.Secrets, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New([]bridge.Config{{Name: "bz", URL: url, Dialect: dialect, Secrets: secrets, AllowPrivate: true}},
		[]bridge.Named{
			{Name: bugzilla.LaunchpadName, New: bugzilla.NewLaunchpad},
			{Name: bugzilla.NativeName, New: bugzilla.NewNative},
		}, minter{}, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

var account = bridge.Secrets{User: "rene@bugs.example", Password: "fake-rene-Pass1"}

// native is a replayer that a native dialect can log in to, and a bridge to it.
func native(t *testing.T, secrets bridge.Secrets, opts ...bridge.Option) (*replayer, *bridge.Bridge) {
	t.Helper()
	r := newReplayer(t).answer("User.login", "bugzilla/008-user.login-ok").
		answer("Bugzilla.time", "bugzilla/004-bugzilla.time-ok").answer("Bugzilla.version", "bugzilla/001-bugzilla.version-ok")
	return r, openAs(t, bugzilla.NativeName, r.url(), secrets, opts...)
}

// plugin is native for a Bugzilla with the plugin.
func plugin(t *testing.T, opts ...bridge.Option) (*replayer, *bridge.Bridge) {
	t.Helper()
	r := newReplayer(t)
	r.answer("Launchpad.login", "bugzilla-launchpad/008-launchpad.login-ok").
		answer("Launchpad.time", "bugzilla-launchpad/004-launchpad.time-ok").
		answer("Launchpad.plugin_version", "bugzilla-launchpad/003-launchpad.plugin_version-ok")
	return r, openAs(t, bugzilla.LaunchpadName, r.url(), bridge.Secrets{}, opts...)
}

// caller returns a function that calls a method of the bridge's XML-RPC
// interface, over the wire format.
func caller(t *testing.T, b *bridge.Bridge) func(method string, params ...any) (any, error) {
	t.Helper()
	registry := xmlrpc.NewRegistry()
	if err := b.Register(registry); err != nil {
		t.Fatal(err)
	}
	handler := xmlrpc.NewHandler(registry)
	return func(method string, params ...any) (any, error) {
		doc, err := xmlrpc.AppendCall(nil, method, params)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(doc))
		req.Header.Set("Content-Type", "text/xml")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		var result any
		return result, xmlrpc.ParseResponse(w.Body.Bytes(), &result)
	}
}

// capturedCall returns the call in the request of a capture, nil when it is none.
func capturedCall(t *testing.T, place string) (http.Header, *xmlrpc.Call) {
	t.Helper()
	raw := bytes.Replace(capture(t, place, "request"), []byte("Expect: 100-continue\r\n"), nil, 1)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return req.Header, nil
	}
	call, err := xmlrpc.ParseCall(bytes.TrimSpace(body))
	if err != nil {
		return req.Header, nil
	}
	return req.Header, call
}

func placesOf(t *testing.T, dir string, want int) []string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.response.http")
	if err != nil || len(files) != want {
		t.Fatalf("%d captures in %s, want %d (%v)", len(files), dir, want, err)
	}
	places := make([]string, len(files))
	for i, file := range files {
		places[i] = strings.TrimPrefix(strings.TrimSuffix(filepath.ToSlash(file), ".response.http"), "testdata/")
	}
	return places
}
