package bridge

import (
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

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
}

func TestACompressedRequestReachesTheTrackerAsItIsInside(t *testing.T) {
	b := newBehindProxy(t, Config{}, xmlrpc.Limits{})
	var framed, bare bytes.Buffer
	z := zlib.NewWriter(&framed)
	_, _ = io.WriteString(z, call("Bug.get"))
	_ = z.Close()
	f, err := flate.NewWriter(&bare, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(f, call("Bug.get"))
	_ = f.Close()
	for i, tc := range []struct{ coding, body string }{
		{"gzip", gzipOf(call("Bug.get"))}, {"x-gzip", gzipOf(call("Bug.get"))}, {"identity", call("Bug.get")},
		{"deflate", framed.String()}, {"deflate", bare.String()},
	} {
		resp, body := b.post(tc.body, "Content-Encoding", tc.coding)
		if body != trueAnswer || b.requests()[i].body != call("Bug.get") || b.requests()[i].header.Get("Content-Encoding") != "" {
			t.Errorf("%s: HTTP %d, %s", tc.coding, resp.StatusCode, body)
		}
	}
}

func gzipOf(s string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return out.String()
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
	b.answer = func(w http.ResponseWriter, _ *http.Request, _ seen) {
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
		"Bug.missing": "TRACKER_FAULT", "Bug.odd": "TRACKER_BAD_ANSWER", "User.login": "FORBIDDEN", "Bug get": "INVALID_DATA", "Bug.a b": "INVALID_DATA",
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
