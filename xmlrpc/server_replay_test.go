package xmlrpc_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// echoRegistry has what the recorded clients call.
func echoRegistry(t testing.TB) *xmlrpc.Registry {
	t.Helper()
	r := xmlrpc.NewRegistry()
	for _, name := range []string{"bridge.echo", "a", "b"} {
		register(t, r, name, func(values ...any) ([]any, error) {
			return append([]any{}, values...), nil
		}, "Returns its parameters.", "values")
	}
	register(t, r, "newBugTrackerToken", func(_ context.Context, _ *string) (string, error) {
		return "a-token", nil
	}, "Makes a token.", "tracker")
	return r
}

func register(t testing.TB, r *xmlrpc.Registry, name string, fn any, help string, params ...string) {
	t.Helper()
	if err := r.Register(name, fn, help, params...); err != nil {
		t.Fatal(err)
	}
}

// rawAnswer is an HTTP response with its body read to the end.
type rawAnswer struct {
	status int
	header http.Header
	length int64
	body   []byte
}

// sendRaw sends bytes over a new TCP connection and reads one response.
func sendRaw(t *testing.T, server *httptest.Server, request []byte) rawAnswer {
	t.Helper()
	conn := dialServer(t, server)
	if _, err := conn.Write(request); err != nil {
		t.Fatalf("sending the request: %v", err)
	}
	return readRaw(t, bufio.NewReader(conn))
}

func dialServer(t *testing.T, server *httptest.Server) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// Only so that a server that never answers fails the test rather than hanging it.
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

func readRaw(t *testing.T, r *bufio.Reader) rawAnswer {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		t.Fatalf("reading the response: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the response's body: %v", err)
	}
	return rawAnswer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, body: body}
}

// wantDocument checks what every answer to a POST has in common, whatever it says.
func (a rawAnswer) wantDocument(t *testing.T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Errorf("status %d, want 200", a.status)
	}
	if got := a.header.Get("Content-Type"); got != "text/xml" {
		t.Errorf("Content-Type %q, want text/xml", got)
	}
	if a.length != int64(len(a.body)) {
		t.Errorf("Content-Length %d with a body of %d bytes", a.length, len(a.body))
	}
	if a.header.Get("Content-Encoding") == "" && !bytes.HasPrefix(a.body, []byte(`<?xml version="1.0" encoding="UTF-8"?>`)) {
		t.Errorf("the document begins with %.60q", a.body)
	}
}

// wantFault checks for a fault of the code and returns its text.
func (a rawAnswer) wantFault(t *testing.T, code int) string {
	t.Helper()
	a.wantDocument(t)
	var value any
	err := xmlrpc.ParseResponse(a.body, &value)
	fault, ok := err.(*xmlrpc.Fault) //nolint:errorlint // ParseResponse returns it itself.
	if !ok {
		t.Fatalf("got %v and error %v, want fault %d", value, err, code)
	}
	if fault.Code != code {
		t.Fatalf("got %v, want code %d", fault, code)
	}
	return fault.String
}

// wantValue checks for a result and returns it.
func (a rawAnswer) wantValue(t *testing.T) any {
	t.Helper()
	a.wantDocument(t)
	var value any
	if err := xmlrpc.ParseResponse(a.body, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// refused are the recorded requests that no server should accept.
var refused = map[string]int{
	// Clients that do not escape what they send.
	"lua-xmlrpc-1.2.1/string_markup":              xmlrpc.CodeNotWellFormed,
	"lua-xmlrpc-1.2.1/struct_oddkey":              xmlrpc.CodeNotWellFormed,
	"tcl-xmlrpc-0.3/string_markup":                xmlrpc.CodeNotWellFormed,
	"tcl-xmlrpc-0.3/struct_oddkey":                xmlrpc.CodeNotWellFormed,
	"go-kolo-xmlrpc-a4b6fa1/struct_oddkey":        xmlrpc.CodeNotWellFormed,
	"go-alexejk-xmlrpc-0.7.1+6/struct_oddkey":     xmlrpc.CodeNotWellFormed,
	"java-axmlrpc-1.13.0/struct_oddkey":           xmlrpc.CodeNotWellFormed,
	"php-xmlrpc-ext-1.0.0RC3/string_markup_cdata": xmlrpc.CodeNotWellFormed,
	// Its Content-Length counts letters instead of bytes.
	"tcl-xmlrpc-0.3/string_unicode": xmlrpc.CodeNotWellFormed,
	// A form is no document.
	"curl-7.88.1/noarg_form_multipart": xmlrpc.CodeNotWellFormed,
	// Bytes that are none of the declared encoding.
	"perl-XML-RPC-Fast-0.8/struct_oddkey":     xmlrpc.CodeInvalidCharacter,
	"perl-Frontier-Client-0.07/struct_oddkey": xmlrpc.CodeInvalidCharacter,
	"perl-RPC-XML-0.82/default_encoding":      xmlrpc.CodeInvalidCharacter,
	// A param without a value.
	"cpp-flxmlrpc-0.1.4/nil_invalid":       xmlrpc.CodeInvalidRequest,
	"cpp-ros-xmlrpcpp-1.15.15/nil_invalid": xmlrpc.CodeInvalidRequest,
	"go-kolo-xmlrpc-a4b6fa1/nil":           xmlrpc.CodeInvalidRequest,
	// 9.007199254741e+15 and 1e+21 inside an integer's tag.
	"lua-xmlrpc-1.2.1/long":             xmlrpc.CodeInvalidRequest,
	"node-davexmlrpc-0.4.26/double_big": xmlrpc.CodeInvalidRequest,
	"node-xmlrpc-1.3.2/double_big":      xmlrpc.CodeInvalidRequest,
}

func TestEveryRecordedRequestOfEveryClientIsAnswered(t *testing.T) {
	server := httptest.NewServer(xmlrpc.NewHandler(echoRegistry(t)))
	t.Cleanup(server.Close)
	files, err := filepath.Glob("testdata/clients/*/*.request.http")
	if err != nil || len(files) < 700 {
		t.Fatalf("found %d requests, error %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/clients/"), ".request.http")
		t.Run(name, func(t *testing.T) {
			request, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			answer := sendRaw(t, server, request)
			if code, ok := refused[name]; ok {
				answer.wantFault(t, code)
				return
			}
			wantEchoed(t, request, answer)
		})
	}
}

// wantEchoed compares the answer with what the request held.
func wantEchoed(t *testing.T, request []byte, answer rawAnswer) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	doc := inflated(t, r)
	call, err := xmlrpc.ParseCall(doc, xmlrpc.WithCharset(charsetOf(r)))
	if err != nil {
		t.Fatal(err)
	}
	if answer.header.Get("Content-Encoding") == "gzip" {
		answer.body = gunzipped(t, answer.body)
		answer.length = int64(len(answer.body))
	}
	got := answer.wantValue(t)
	switch call.Method {
	case "newBugTrackerToken":
		if got != "a-token" {
			t.Errorf("got %v", got)
		}
	case "bridge.echo", "a", "b":
		if want := asSent(call.Params(), call.Features); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %#v\nwant %#v", got, want)
		}
	case "system.multicall":
		calls, ok := call.Params()[0].([]any)
		if results, isArray := got.([]any); !ok || !isArray || len(results) != len(calls) {
			t.Errorf("got %v for %v", got, call.Params())
		}
	default:
		t.Errorf("the request calls %q", call.Method)
	}
}

// asSent is what a server sends back of these values to one who used only the
// given extensions: large numbers as strings, nil as
// nothing.
func asSent(value any, features xmlrpc.Features) any {
	switch v := value.(type) {
	case []any:
		sent := make([]any, 0, len(v))
		for _, item := range v {
			sent = append(sent, asSent(item, features))
		}
		return sent
	case map[string]any:
		sent := map[string]any{}
		for name, item := range v {
			if item != nil || features.Nil {
				sent[name] = asSent(item, features)
			}
		}
		return sent
	case nil:
		if !features.Nil {
			return ""
		}
	case xmlrpc.DateTime:
		// Dates go out in UTC, in whole seconds, without a zone.
		return xmlrpc.DateTimeOf(v.Time(time.UTC).Truncate(time.Second)).WithoutZone()
	case int64:
		if !features.I8 {
			return strconv.FormatInt(v, 10)
		}
	}
	return value
}

// inflated reads a request's body and undoes its Content-Encoding.
func inflated(t *testing.T, r *http.Request) []byte {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch r.Header.Get("Content-Encoding") {
	case "gzip":
		return gunzipped(t, body)
	case "deflate":
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		body, err = io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
	}
	return body
}

func gunzipped(t *testing.T, body []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func charsetOf(r *http.Request) string {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return params["charset"]
}
