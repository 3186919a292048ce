package trac_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/xmlrpc"
)

// ownURL is the replayer's URL, whose port changes.
var ownURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

var update = flag.Bool("update", false, "rewrite the golden files")

const captures = "testdata/trac-launchpad"

// capture returns one half of a captured exchange, byte for byte.
func capture(t testing.TB, name, half string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(captures, name+"."+half+".http"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// replayer answers requests with captured bytes, from a bare TCP socket.
type replayer struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	conns    map[net.Conn]bool
	closed   bool
	auth     [][]byte            // to launchpad-auth, in turn, the last one for ever
	methods  map[string][][]byte // to calls by method, in the same way; "" for all others
	pages    map[string][][]byte // to other GETs by path, in the same way
	received []received
}

// received is a request as the replayer got it.
type received struct {
	line   string
	header http.Header
	body   []byte
}

func newReplayer(t *testing.T) *replayer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replayer{t: t, listener: listener, conns: map[net.Conn]bool{}, methods: map[string][][]byte{}, pages: map[string][][]byte{}}
	r.auth = [][]byte{capture(t, "04-auth-accepted", "response")}
	r.serving.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *replayer) url() string { return "http://" + r.listener.Addr().String() + "/lp" }

// answer sets the captured answers that calls of a method get in turn.
func (r *replayer) answer(method string, names ...string) *replayer {
	for _, name := range names {
		r.answerBytes(method, capture(r.t, name, "response"))
	}
	return r
}

func (r *replayer) answerBytes(method string, raw []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.methods[method] = append(r.methods[method], raw)
}

// answerFirst is answer, before what was set already.
func (r *replayer) answerFirst(method string, raw []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.methods[method] = append([][]byte{raw}, r.methods[method]...)
}

func (r *replayer) loginWith(names ...string) *replayer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = nil
	for _, name := range names {
		r.auth = append(r.auth, capture(r.t, name, "response"))
	}
	return r
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
		if _, err := conn.Write(raw); err != nil || bytes.Contains(raw, []byte("Connection: close")) {
			return
		}
	}
}

func (r *replayer) pick(req *http.Request, body []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.received = append(r.received, received{line: req.Method + " " + req.RequestURI, header: req.Header, body: body})
	take := func(queue *[][]byte) []byte {
		raw := (*queue)[0]
		if len(*queue) > 1 {
			*queue = (*queue)[1:]
		}
		return raw
	}
	if strings.Contains(req.URL.Path, "/launchpad-auth/") {
		return take(&r.auth)
	}
	if queue := r.pages[req.URL.Path]; len(queue) > 0 && req.Method == http.MethodGet {
		raw := take(&queue)
		r.pages[req.URL.Path] = queue
		return raw
	}
	method := ""
	if call, err := xmlrpc.ParseCall(body); err == nil {
		method = call.Method
	}
	if len(r.methods[method]) == 0 {
		method = ""
	}
	queue := r.methods[method]
	if len(queue) == 0 {
		r.t.Errorf("a call that no answer was given for: %s", body)
		return []byte("HTTP/1.1 500 Unexpected\r\nContent-Length: 0\r\n\r\n")
	}
	raw := take(&queue)
	r.methods[method] = queue
	return raw
}

func (r *replayer) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.received...)
}

// minter mints tokens that are all alike and good for nothing.
type minter struct{}

func (minter) Mint(context.Context, string) (string, func(context.Context) error, error) {
	return "gooda1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", func(context.Context) error { return nil }, nil
}

// dialects are all of the package, in the order in which they are tried.
var dialects = []bridge.Named{
	{Name: trac.LaunchpadName, New: trac.NewLaunchpad},
	{Name: trac.NativeName, New: trac.NewNative},
	{Name: trac.CSVName, New: trac.NewCSV},
}

func open(t *testing.T, url string, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	return openAs(t, bridge.Config{URL: url, Dialect: trac.LaunchpadName}, opts...)
}

// openAs opens a bridge to one tracker, which is named lp.
func openAs(t *testing.T, config bridge.Config, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	config.Name, config.AllowPrivate = "lp", true
	b, err := bridge.New([]bridge.Config{config}, dialects, minter{}, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// replayed is one line of the golden file.
type replayed struct {
	Capture string `json:"capture"`
	Result  any    `json:"result,omitempty"`
	Fault   string `json:"fault,omitempty"`
}

// Every captured answer is read by the call that it would be an answer to, and
// every captured call that the dialect makes itself is made the same way.
func TestEveryCaptureIsReadAsTheGoldenFileSays(t *testing.T) {
	files, err := filepath.Glob(captures + "/*.response.http")
	if err != nil || len(files) != 76 {
		t.Fatalf("%d captures, want 76 (%v)", len(files), err)
	}
	var golden bytes.Buffer
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".response.http")
		result, err := replay(t, name)
		line := replayed{Capture: name, Result: result}
		if err != nil {
			line.Result = nil
			line.Fault, _, _ = strings.Cut(err.Error(), " No new log-in") // it tells a time
		}
		out, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		golden.Write(append(ownURL.ReplaceAll(out, []byte("http://tracker/")), '\n'))
	}
	compareGolden(t, "testdata/replay.golden.jsonl", golden.Bytes())
}

// compareGolden compares what came out with a file, line by line.
func compareGolden(t *testing.T, path string, golden []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, golden, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(string(golden), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("line %d differs (go test -update rewrites the file)\ngot  %s\nwant %s", i+1, at(got, i), at(wanted, i))
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// replay makes the call of a caller that a capture belongs to, and returns what
// the caller was answered.
func replay(t *testing.T, name string) (any, error) {
	r := newReplayer(t)
	call := caller(t, open(t, r.url()))
	line, captured := capturedCall(t, name)
	r.answer("launchpad.time_snapshot", "17-time_snapshot").answer("launchpad.bugtracker_version", "16-bugtracker_version")
	switch {
	case strings.Contains(line, "launchpad-auth/check"):
		r.loginWith(name, "04-auth-accepted")
		p, err := call("probe", "lp")
		if err == nil {
			delete(p.(map[string]any), "clock_skew") // from the day of the capture to today
		}
		return p, err
	case strings.Contains(line, "launchpad-auth"):
		r.loginWith(name)
		return call("retry", "lp")
	}
	if captured == nil { // what the captured client sent was no call
		r.answer("", name)
		return call("getBugs", "lp", []any{1})
	}
	method := captured.Method
	if method == "launchpad.no_such" || method == "system.listMethods" {
		method = "launchpad.bug_info" // whose answer is a fault then
	}
	for _, raw := range responses(capture(t, name, "response")) {
		r.answerFirst(method, raw)
	}
	result, same, err := callLike(r, call, captured)
	if same {
		sent := r.requests()
		if len(sent) < 2 {
			t.Fatalf("%s: nothing was called: %v", name, err)
		}
		got, parseErr := xmlrpc.ParseCall(sent[1].body) // the first is the log-in
		if parseErr != nil || got.Method != captured.Method || !reflect.DeepEqual(got.Params(), captured.Params()) {
			t.Errorf("%s: the dialect did not send what the captured client sent, but\n%s", name, sent[1].body)
		}
	}
	return result, err
}

// capturedCall returns the request line of a capture, and the call in it, if it
// is one.
func capturedCall(t *testing.T, name string) (string, *xmlrpc.Call) {
	raw := capture(t, name, "request")
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil { // some captures have a target that net/http refuses to read
		return string(line), nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	call, err := xmlrpc.ParseCall(body)
	if err != nil {
		call = nil
	}
	return string(line), call
}

// responses splits the bytes of several responses on one connection.
func responses(raw []byte) [][]byte {
	const start = "HTTP/1.1 "
	var all [][]byte
	for _, part := range bytes.Split(raw, []byte(start))[1:] {
		all = append(all, append([]byte(start), part...))
	}
	return all
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

// callLike makes a caller's call that leads to one like the captured one, and
// tells whether it must be the same to the last value.
func callLike(r *replayer, call func(string, ...any) (any, error), captured *xmlrpc.Call) (result any, same bool, err error) {
	params := captured.Params()
	switch captured.Method {
	case "launchpad.bugtracker_version", "launchpad.time_snapshot":
		result, err = call("retry", "lp")
		return result, false, err
	case "launchpad.bug_info":
		return bugsLike(r, call, params)
	case "launchpad.get_comments":
		ids := params[0].([]any)
		bug, same := "1", len(ids) > 0
		if same {
			bug, _, _ = strings.Cut(ids[0].(string), "-")
		}
		for _, id := range ids {
			same = same && strings.HasPrefix(id.(string), bug+"-")
		}
		r.answer("launchpad.bug_info", "20-bug_info-level2")
		result, err = call("getComments", "lp", bug, ids)
		return result, same, err
	case "launchpad.add_comment":
		_, same := params[0].(string) // ids go out as text
		if strings.TrimSpace(params[1].(string)) == "" {
			params[1], same = "not empty", false // what is empty is never sent
		}
		result, err = call("addComment", "lp", params[0], params[1], "")
		return result, same, err
	case "launchpad.get_launchpad_bug":
		result, err = call("getLink", "lp", params[0])
		return result, true, err
	case "launchpad.set_launchpad_bug":
		r.answer("launchpad.get_launchpad_bug", "53-get_launchpad_bug-none")
		switch params[1] {
		case 0:
			params[1] = ""
		case "abc":
			params[1] = 1 // what is no number is never sent
		}
		result, err = call("setLink", "lp", params[0], params[1], "")
		return result, false, err
	}
	result, err = call("getBugs", "lp", []any{1})
	return result, false, err
}

func bugsLike(r *replayer, call func(string, ...any) (any, error), params []any) (result any, same bool, err error) {
	criteria, level := map[string]any{}, "metadata"
	if len(params) > 1 {
		criteria, _ = params[1].(map[string]any)
	}
	if len(params) > 0 {
		level = []string{"ids", "metadata", "comment-ids", "full", "full"}[params[0].(int)]
	}
	ids, isArray := criteria["bugs"].([]any)
	r.answer("launchpad.get_comments", "37-get_comments")
	if since, modified := criteria["modified_since"]; modified || isArray != (len(ids) > 0) || len(criteria) == 0 {
		if !modified {
			since = 0
		}
		result, err = call("getModifiedBugs", "lp", append([]any{}, ids...), since)
		return result, modified && level == "ids" && len(ids) > 0, err
	}
	if !isArray {
		ids = []any{"1"}
	}
	result, err = call("getBugs", "lp", ids, level)
	same = isArray && level != "full"
	seen := map[any]bool{}
	for _, id := range ids { // ids go out as text, as Trac writes them, and each once
		_, isText := id.(string)
		same = same && isText && id != "007" && !seen[id]
		seen[id] = true
	}
	return result, same, err
}
