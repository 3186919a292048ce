package bridge

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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

func (d *proxyDialect) ProxyRules() ProxyRules { return d.test.rules }

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

func TestACallGoesThroughByteForByteBothWays(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	for name, tc := range map[string]struct {
		request, charset string
		answer, kind     string
		want             string // Content-Type
	}{
		"white space and comments": {
			request: "\xef\xbb\xbf<?xml version='1.0' ?>\r\n<!-- a -->\r\n<methodCall >\n\t<methodName> Bug.get </methodName><params ><param>\n<value>\n <int>\t1</int></value></param></params>\r\n</methodCall>\r\n<!-- z -->",
			answer:  "<?xml version=\"1.0\"?>\r\n\r\n<!-- <a> -->" + response("<!--x--><string>a <![CDATA[<b>&]]> &#13;\t</string >") + "\n\n",
		},
		"Latin-1": {
			request: "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>" + strings.ReplaceAll(undeclared(call("Bug.get", "X")), "X", "caf\xe9"),
			answer:  "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>" + response("caf\xe9"), kind: "text/xml; charset=ISO-8859-1", want: "text/xml; charset=ISO-8859-1",
		},
		"UTF-16": {
			request: "\xff\xfe" + utf16le(undeclared(call("Bug.get", "a"))),
			answer:  "\xff\xfe" + utf16le(response("<string>\u4e2d\U0001f600</string>")), kind: "application/xml",
		},
		"values that we do not know": {
			request: call("Bug.get", []byte{0, 1, 255}),
			answer:  response("<ex:serializable xmlns:ex='http://x'>rO0AB\nXNy</ex:serializable>") + " ", kind: "text/html; charset=\"utf-8\"", want: "text/xml; charset=utf-8",
		},
		"control characters": {
			request: call("Bug.get", 1),
			answer:  response("<string>a\x01b&#1;</string>"),
		},
		"a charset that says the same": {
			request: call("Bug.get", "größer"), charset: "text/xml; charset=UTF-8",
			answer: trueAnswer,
		},
	} {
		b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Type", tc.kind)
			_, _ = io.WriteString(w, tc.answer)
		}
		document := tc.request
		resp, body := b.post(document, "Content-Type", tc.charset)
		calls := b.requests()
		last := calls[len(calls)-1]
		if last.body != document {
			t.Errorf("%s: the tracker got %q, want %q", name, last.body, document)
		}
		if last.length != int64(len(document)) || last.header.Get("Content-Type") != "text/xml" || last.header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("%s: the tracker got Content-Length %d, header %v", name, last.length, last.header)
		}
		if body != tc.answer {
			t.Errorf("%s: the client got %q, want %q", name, body, tc.answer)
		}
		if want := cmp.Or(tc.want, "text/xml"); resp.Header.Get("Content-Type") != want {
			t.Errorf("%s: Content-Type %s, want %s", name, resp.Header.Get("Content-Type"), want)
		}
	}
	if b.logins != 1 {
		t.Errorf("%d log-ins, want 1", b.logins)
	}
}

func TestTheHeadersOfNeitherSideReachTheOther(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		w.Header().Set("Set-Cookie", "sid=new; Path=/")
		w.Header().Set("X-Session", "1")
		w.Header().Set("ETag", "e")
		w.Header().Set("Server", "tracker")
		writeXML(w, trueAnswer)
	}
	resp, _ := b.post(call("Bug.get"), "Authorization", "Basic ZHVtbXk6ZHVtbXk=", "Cookie", "sid=mine", "X-Bugzilla-Api-Key", "k", "User-Agent", "old client", "X-Requested-With", "mine")
	for name := range resp.Header {
		if !slices.Contains([]string{"Content-Type", "Content-Length", "Date"}, name) {
			t.Errorf("header %s reached the client", name)
		}
	}
	got := b.requests()[0]
	want := map[string]string{"Cookie": "sid=" + sessionCookie, "X-Requested-With": "x", "User-Agent": "trackgate", "Authorization": "", "X-Bugzilla-Api-Key": ""}
	for name, value := range want {
		if strings.Join(got.header.Values(name), "|") != value {
			t.Errorf("the tracker got %s %q, want %q", name, got.header.Values(name), value)
		}
	}
	if got.path != "/base/xmlrpc.cgi" {
		t.Errorf("%s was called", got.path)
	}
}

func TestPathsThatClientsUseLeadToTheTracker(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	for path, want := range map[string]int{ // fault code, 0 for an answer
		"/trackers/t": 0, "/trackers/t/": 0, "/trackers/t/xmlrpc.cgi": 0, "/trackers/t/xmlrpc": 0, "/trackers/t/login/xmlrpc": 0,
		"/trackers/t/login/xmlrpc/": 0, "/trackers/t/RPC2": 0, "/trackers/t?Bugzilla_login=x": 0, "/trackers/%74": 0,
		"/trackers/u": 404, "/trackers/": 404, "/trackers/t/jsonrpc.cgi": 404, "/trackers/t/rest/version": 404, "/trackers/u/xmlrpc": 404,
	} {
		resp, body := b.postTo(path, call("Bug.get"))
		if want == 0 && body != trueAnswer {
			t.Errorf("%s: HTTP %d, %s", path, resp.StatusCode, body)
		}
		if want != 0 {
			if fault := b.readFault(resp, body); fault.Code != want || !strings.HasPrefix(fault.String, "RESOURCE_NOT_FOUND: ") {
				t.Errorf("%s: %v", path, fault)
			}
		}
	}
	for _, call := range b.requests() {
		if call.path != "/base/xmlrpc.cgi" {
			t.Errorf("%s was called", call.path)
		}
	}
}

func TestGetAndHeadSayWhatIsThere(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	for _, tc := range []struct {
		method, path string
		status       int
		says         string
	}{
		{http.MethodGet, "/trackers/t", 200, "Tracker t, dialect stand-in."},
		{http.MethodHead, "/trackers/t/xmlrpc.cgi", 200, ""},
		{http.MethodGet, "/trackers/u", 404, "u"},
		{http.MethodGet, "/trackers/t/rest/version", 404, ""},
		{http.MethodPut, "/trackers/t", 405, "not allowed"},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), tc.method, b.proxy.URL+tc.path, nil)
		resp, err := b.proxy.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.says) || tc.method == http.MethodHead && resp.ContentLength <= 0 {
			t.Errorf("%s %s: HTTP %d, %q", tc.method, tc.path, resp.StatusCode, body)
		}
	}
	if len(b.requests()) != 0 || b.logins != 0 {
		t.Error("the tracker was called")
	}
}

func TestRequestsThatAreNoCallAreRefusedBeforeTheTrackerHearsOfThem(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{Bytes: 2000, Depth: 8})
	deflate := []string{"Content-Encoding", "br"}
	for name, tc := range map[string]struct {
		body   string
		header []string
		code   int
		says   string
	}{
		"nothing":                {"", nil, -32700, ""},
		"no XML":                 {"hello", nil, -32700, ""},
		"two calls":              {call("Bug.get") + call("Bug.get"), nil, -32700, ""},
		"an answer":              {trueAnswer, nil, -32600, ""},
		"a DOCTYPE":              {"<!DOCTYPE methodCall [<!ENTITY a 'b'>]>" + undeclared(call("Bug.get")), nil, -32600, "document type"},
		"too large":              {call("Bug.get", strings.Repeat("x", 2000)), nil, -32600, "REQUEST_TOO_LARGE: "},
		"a bomb":                 {gzipOf(strings.Repeat(" ", 1<<20)), []string{"Content-Encoding", "gzip"}, -32600, "REQUEST_TOO_LARGE: "},
		"compression cut off":    {gzipOf(call("Bug.get"))[:30], []string{"Content-Encoding", "gzip"}, -32700, "cut off"},
		"unknown compression":    {"x", deflate, -32300, "gzip, deflate"},
		"too deep":               {call("Bug.get", []any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{[]any{1}}}}}}}}}), nil, -32600, "REQUEST_TOO_LARGE"},
		"a charset not read":     {call("Bug.get"), []string{"Content-Type", "text/xml; charset=big5"}, -32701, ""},
		"a charset for us alone": {"<methodCall><methodName>Bug.get</methodName><params><param><value>caf\xe9</value></param></params></methodCall>", []string{"Content-Type", "text/xml; charset=iso-8859-1"}, -32701, "declaration"},
		"a charset that differs": {call("Bug.get", "größer"), []string{"Content-Type", "text/xml; charset=iso-8859-1"}, -32701, "declaration"},
	} {
		if fault := b.fault(tc.body, tc.header...); fault.Code != tc.code || !strings.Contains(fault.String, tc.says) {
			t.Errorf("%s: %v, want %d and %q", name, fault, tc.code, tc.says)
		}
	}
	if n := len(b.requests()); n != 0 {
		t.Errorf("the tracker was called %d times", n)
	}
	resp, body := b.post(gzipOf(call("Bug.get")), "Content-Encoding", "x-gzip")
	if body != trueAnswer || b.requests()[0].body != call("Bug.get") || b.requests()[0].header.Get("Content-Encoding") != "" {
		t.Errorf("a compressed request: HTTP %d, %s", resp.StatusCode, body)
	}
}

func gzipOf(s string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return out.String()
}

func TestFaultsOfTheTrackerPassAsTheyCame(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	const head = `<?xml version="1.0" encoding="UTF-8"?><methodResponse><fault>`
	for name, tc := range map[string]struct {
		status int
		fault  string
	}{
		"a code in words":    {200, head + `<value><struct><member><name>faultCode</name><value><string>Client</string></value></member><member><name>faultString</name><value><string>No &amp; so</string></value></member></struct></value></fault></methodResponse>`},
		"under HTTP 500":     {500, head + `<value><struct><member><name>faultString</name><value>x</value></member> <member><name>faultCode</name><value><int>32000</int></value></member></struct></value></fault></methodResponse>`},
		"one we cannot read": {200, head + `<value><odd/></value></fault></methodResponse>`},
	} {
		b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Type", "text/xml")
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.fault)
		}
		for _, method := range []string{"Bug.get", "Bug.create"} {
			if resp, body := b.post(call(method)); resp.StatusCode != 200 || body != tc.fault {
				t.Errorf("%s: HTTP %d, %s", name, resp.StatusCode, body)
			}
		}
	}
}

func TestWhatIsNoAnswerBecomesAFaultOfTheCatalogue(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithMaxAnswer(4000), WithTimeLimit(5*time.Second))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	defer elsewhere.Close()
	const unknown = "OUTCOME_UNKNOWN"
	large := response("<string>" + strings.Repeat("x", 4000) + "</string>")
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, c seen)
		read   string // the fault of a read
		write  string // that of a write
	}{
		"HTML 500":  {page(500, "text/html", "<html><body>Software error: <b>no</b></body></html>"), "TRACKER_BAD_ANSWER", unknown},
		"HTML 404":  {page(404, "text/html", "<html>Not here</html>"), "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
		"HTML 200":  {page(200, "text/html", "<html><body>hi</body></html>"), "TRACKER_BAD_ANSWER", unknown},
		"empty":     {page(200, "text/xml", ""), "TRACKER_BAD_ANSWER", unknown},
		"half":      {page(200, "text/xml", trueAnswer[:80]), "TRACKER_BAD_ANSWER", unknown},
		"a DOCTYPE": {page(200, "text/xml", "<!DOCTYPE a [<!ENTITY t 'token'>]>"+trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"too large": {page(200, "text/xml", large), "TRACKER_BAD_ANSWER", unknown},
		"too large without a length": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			_ = http.NewResponseController(w).Flush()
			writeXML(w, large)
		}, "TRACKER_BAD_ANSWER", unknown},
		"a bomb": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Encoding", "gzip")
			writeXML(w, gzipOf(strings.Repeat(" ", 1<<20)+trueAnswer))
		}, "TRACKER_BAD_ANSWER", unknown},
		"unknown compression": {func(w http.ResponseWriter, _ *http.Request, _ seen) {
			w.Header().Set("Content-Encoding", "br")
			writeXML(w, "x")
		}, "TRACKER_BAD_ANSWER", unknown},
		"a length too long":             {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 9999\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"within the limit, but cut off": {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 3999\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"a length too short":            {raw("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 50\r\n\r\n" + trueAnswer), "TRACKER_BAD_ANSWER", unknown},
		"a closed connection":           {raw(""), "TRACKER_UNAVAILABLE", unknown},
		"no HTTP":                       {raw("hello\r\n\r\n"), "TRACKER_BAD_ANSWER", unknown},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request, _ seen) {
			http.Redirect(w, r, elsewhere.URL+"/xmlrpc.cgi", http.StatusTemporaryRedirect)
		}, "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
		"a redirect to a page": {func(w http.ResponseWriter, r *http.Request, _ seen) {
			http.Redirect(w, r, "/base/login", http.StatusFound)
		}, "TRACKER_BAD_ANSWER", "TRACKER_BAD_ANSWER"},
	} {
		b.answer = tc.answer
		for method, want := range map[string]string{"Bug.get": tc.read, "Bug.create": tc.write} {
			before := len(b.requests())
			fault := b.fault(call(method))
			if !strings.HasPrefix(fault.String, want+": ") || strings.Contains(fault.String, "127.0.0.1") || strings.Contains(fault.String, "<") {
				t.Errorf("%s, %s: %v, want %s", name, method, fault, want)
			}
			if n := len(b.requests()) - before; method == "Bug.create" && n != 1 {
				t.Errorf("%s: the write was sent %d times", name, n)
			}
		}
	}
}

func page(status int, kind, body string) func(http.ResponseWriter, *http.Request, seen) {
	return func(w http.ResponseWriter, _ *http.Request, _ seen) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func raw(bytes string) func(http.ResponseWriter, *http.Request, seen) {
	return func(w http.ResponseWriter, _ *http.Request, _ seen) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, bytes)
		_ = conn.Close()
	}
}

func TestACompressedAnswerIsHandedOnAsItIsInside(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
		w.Header().Set("Content-Encoding", "gzip")
		writeXML(w, gzipOf(trueAnswer))
	}
	if resp, body := b.post(call("Bug.get")); body != trueAnswer || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("%v %q", resp.Header, body)
	}
}

func TestWhatSaysSomethingAboutTheSessionDoesNotReachTheClient(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	member := func(name, value string) string {
		return "<member><name>" + name + "</name>\n<value><string>" + value + "</string></value></member>"
	}
	answer := func(members ...string) string {
		return response("<array><data><value><struct>\n" + strings.Join(members, "\n") + "\n</struct></value></data></array>")
	}
	b.answer = func(w http.ResponseWriter, _ *http.Request, c seen) {
		writeXML(w, answer(member("id", "1"), member("update_token", "123-abc"), member(" tok&#x65;n ", "x"), member("seen", "["+sessionCookie+"]")))
	}
	want := answer(member("id", "1"), "", "", member("seen", "["+strings.Repeat("x", len(sessionCookie))+"]"))
	if _, body := b.post(call("Bug.get")); body != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	value, err := b.bridge.Call(t.Context(), "t", "Bug.get", nil)
	if err != nil || fmt.Sprint(value) != "[map[id:1 seen:["+strings.Repeat("x", len(sessionCookie))+"]]]" {
		t.Errorf("Call: %v, %v", value, err)
	}
}

// expiring makes the peer accept the newest session alone.
func (b *behindProxy) expiring(refuse func(w http.ResponseWriter)) {
	b.session = func(n int) *Session {
		return &Session{Cookies: []*http.Cookie{{Name: "sid", Value: fmt.Sprint("session-number-", n)}}}
	}
	valid := "session-number-1"
	var mu sync.Mutex
	b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
		mu.Lock()
		defer mu.Unlock()
		sid, _ := r.Cookie("sid")
		if strings.Contains(c.body, "Bug.expire") {
			valid = "session-number-2"
		} else if sid == nil || sid.Value != valid {
			refuse(w)
			return
		}
		writeXML(w, trueAnswer)
	}
}

func TestFiftyCallersThatMeetAnExpiredSessionMakeOneLogInAndRepeatOnce(t *testing.T) {
	const expiredFault = `<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>32000</int></value></member><member><name>faultString</name><value>over</value></member></struct></value></fault></methodResponse>`
	for name, tc := range map[string]struct {
		refuse  func(http.ResponseWriter)
		expired func(error) bool
	}{
		"by HTTP status": {func(w http.ResponseWriter) { http.Error(w, "no", http.StatusForbidden) }, func(err error) bool {
			status := new(xmlrpc.HTTPError)
			return errors.As(err, &status) && status.StatusCode == http.StatusForbidden
		}},
		"by fault": {func(w http.ResponseWriter) { writeXML(w, expiredFault) }, func(err error) bool {
			fault := new(xmlrpc.Fault)
			return errors.As(err, &fault) && fault.Code == 32000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithConnections(50))
			b.expired = tc.expired
			b.expiring(tc.refuse)
			if _, body := b.post(call("Bug.expire")); body != trueAnswer {
				t.Fatal(body)
			}
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if _, body := b.post(call("Bug.create", "x")); body != trueAnswer {
						t.Error(body)
					}
				})
			}
			wg.Wait()
			if n := len(b.requests()); b.logins != 2 || n > 1+2*50 || n < 1+50+1 {
				t.Errorf("%d log-ins and %d calls", b.logins, n)
			}
		})
	}
}

func TestARefusalThatANewSessionDoesNotCureIsTheTrackersOwn(t *testing.T) {
	const refusal = `<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>403</int></value></member><member><name>faultString</name><value>TICKET_ADMIN is required</value></member></struct></value></fault></methodResponse>`
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.expired = func(err error) bool {
		fault := new(xmlrpc.Fault)
		return errors.As(err, &fault) && fault.Code == 403
	}
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) { writeXML(w, refusal) }
	for range 2 { // the second time the session is known to be good
		if _, body := b.post(call("Bug.delete")); body != refusal {
			t.Errorf("got %s", body)
		}
	}
	if b.logins != 2 {
		t.Errorf("%d log-ins, want 2", b.logins)
	}
}

func TestTheLogInsOwnTroubleIsAFaultOfTheCatalogue(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.bridge.trackers["t"].candidates[0].session.login = refuse
	resp, body := b.post(call("Bug.get"))
	if fault := b.readFault(resp, body); !strings.HasPrefix(fault.String, "TRACKER_LOGIN_FAILED: ") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%v, header %v", fault, resp.Header)
	}
}

func TestAReadIsRepeatedWhenItsKeptConnectionWasClosed(t *testing.T) {
	for method, want := range map[string]string{"Bug.get": trueAnswer, "Bug.create": "OUTCOME_UNKNOWN"} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
		_, _ = b.post(call("Bug.get"))
		closed := false
		b.answer = func(w http.ResponseWriter, r *http.Request, c seen) {
			if !closed {
				closed = true
				raw("")(w, r, c)
				return
			}
			writeXML(w, trueAnswer)
		}
		if _, body := b.post(call(method)); !strings.Contains(body, want) {
			t.Errorf("%s: %s", method, body)
		}
	}
}

func TestACallerThatGoesAwayEndsTheCall(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	arrived, ended := make(chan struct{}), make(chan struct{})
	b.answer = func(_ http.ResponseWriter, r *http.Request, _ seen) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, b.proxy.URL+"/trackers/t", strings.NewReader(call("Bug.get")))
	go func() { <-arrived; cancel() }()
	if resp, err := b.proxy.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("an answer came")
	}
	<-ended
}

func TestATimeLimitHoldsForAnAnswerThatStalls(t *testing.T) {
	for name, head := range map[string]string{"before its head": "", "in its body": "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 200\r\n\r\n<method"} {
		b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithTimeLimit(200*time.Millisecond))
		b.answer = func(w http.ResponseWriter, r *http.Request, _ seen) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, head)
			_, _ = conn.Read(make([]byte, 1)) // until the other side gives up
			_ = conn.Close()
		}
		if fault := b.fault(call("Bug.get")); !strings.HasPrefix(fault.String, "TRACKER_TIMEOUT: ") {
			t.Errorf("%s, a read: %v", name, fault)
		}
		if fault := b.fault(call("Bug.create")); !strings.HasPrefix(fault.String, "OUTCOME_UNKNOWN: ") {
			t.Errorf("%s, a write: %v", name, fault)
		}
	}
}

func TestCallDecodesTheValueAndExplainsFaults(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	b.answer = func(w http.ResponseWriter, _ *http.Request, c seen) {
		switch {
		case strings.Contains(c.body, "Bug.get"):
			writeXML(w, response("<struct><member><name>n</name><value><i8>5</i8></value></member><member><name>c</name><value>a\x01</value></member></struct>"))
		case strings.Contains(c.body, "Bug.odd"):
			writeXML(w, response("<ex:what/>"))
		default:
			writeXML(w, string(xmlrpc.AppendFault(nil, 101, "Bug #9 does not exist.")))
		}
	}
	value, err := b.bridge.Call(t.Context(), "t", "Bug.get", []any{map[string]any{"ids": []any{1, nil}}})
	if err != nil || fmt.Sprint(value) != "map[c:a\ufffd n:5]" {
		t.Errorf("%v, %v", value, err)
	}
	if !strings.Contains(b.requests()[0].body, "<nil/>") {
		t.Errorf("nil was sent as %s", b.requests()[0].body)
	}
	for method, says := range map[string]string{
		"Bug.missing": "TRACKER_FAULT", "Bug.odd": "OUTCOME_UNKNOWN", "User.login": "FORBIDDEN", "Bug get": "FORBIDDEN", "Bug.a b": "INVALID_DATA",
	} {
		if _, err := b.bridge.Call(t.Context(), "t", method, nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %s", method, err, says)
		}
	}
	if _, err := b.bridge.Call(t.Context(), "u", "Bug.get", nil); err == nil || !strings.Contains(err.Error(), "RESOURCE_NOT_FOUND") {
		t.Errorf("an unknown tracker: %v", err)
	}
}

func TestADialectWithoutMethodsOfItsOwnHasNoProxy(t *testing.T) {
	b, _ := newBare(t, Config{URL: "http://tracker.test"})
	w := httptest.NewRecorder()
	b.Proxy(xmlrpc.Limits{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/trackers/t", strings.NewReader(call("a.b"))))
	if err := xmlrpc.ParseResponse(w.Body.Bytes(), nil); w.Code != 200 || !strings.Contains(fmt.Sprint(err), "NOT_SUPPORTED") {
		t.Errorf("HTTP %d, %v", w.Code, err)
	}
}

func TestADialectThatPanicsIsAFault(t *testing.T) {
	var log bytes.Buffer
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{}, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	b.expired = func(error) bool { panic("oh " + sessionCookie) }
	b.answer = page(500, "text/plain", "x")
	if fault := b.fault(call("Bug.get")); !strings.HasPrefix(fault.String, "SERVER_ERROR") {
		t.Error(fault)
	}
	if !strings.Contains(log.String(), "a dialect panicked") {
		t.Errorf("the log says %s", log.String())
	}
}
