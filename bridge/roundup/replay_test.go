package roundup_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/xmlrpc"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// ownURL is the stand-in's URL, whose port changes.
var ownURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/`)

// leftOut names the captures that no dialect reads, and why.
var leftOut = map[string]string{
	"105-csv-issues":         "the dialect reads no CSV",
	"106-csv-issues-with-id": "the dialect reads no CSV",
	"107-csv-anonymous":      "the dialect reads no CSV",
}

// endless are the captures of pages without a length on a connection that stays
// open: nothing but the time limit ends the call.
var endless = map[string]bool{"093-content-type-charset": true, "094-content-type-application-xml": true, "095-content-type-form": true, "096-get-xmlrpc": true}

// replayed is one line of the golden file: what a caller of the tracker's own
// method got, and what the dialect made of the same answer.
type replayed struct {
	Capture string `json:"capture"`
	Call    any    `json:"call,omitempty"`
	Fault   string `json:"fault,omitempty"`
	Reading string `json:"reading,omitempty"` // the bridge's method that read it
	Read    any    `json:"read,omitempty"`
	Refusal string `json:"refusal,omitempty"`
}

// Every captured answer is read, byte for byte, by the call of the tracker's own
// method that it is an answer to, and by the method of the bridge that makes such
// a call.
func TestEveryCaptureIsReadAsTheGoldenFileSays(t *testing.T) {
	files, err := filepath.Glob(captures + "/*.response.http")
	if err != nil || len(files) != 107 {
		t.Fatalf("%d captures, want 107 (%v)", len(files), err)
	}
	var golden bytes.Buffer
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".response.http")
		if leftOut[name] != "" {
			continue
		}
		line := replayed{Capture: name}
		line.Call, line.Fault = outcome(asCall(t, name))
		var read any
		if line.Reading, read, err = asReading(t, name); line.Reading != "" {
			line.Read, line.Refusal = outcome(read, err)
		}
		out, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		golden.Write(append(ownURL.ReplaceAll(out, []byte("http://tracker/")), '\n'))
	}
	compareGolden(t, "testdata/replay.golden.jsonl", golden.String())
}

func outcome(result any, err error) (any, string) {
	if err == nil {
		return result, ""
	}
	text, _, _ := strings.Cut(err.Error(), " No new log-in") // it tells a time
	return nil, text
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("line %d differs (go test -update rewrites the file)\ngot  %s\nwant %s", i+1, line, strings.Join(wantLines[min(i, len(wantLines)):min(i+1, len(wantLines))], ""))
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Fatalf("%d lines, want %d", len(gotLines), len(wantLines))
	}
}

// limitOf is the time limit of calls: short where nothing else ends them.
func limitOf(name string) bridge.Option {
	if endless[name] {
		return bridge.WithTimeLimit(300 * time.Millisecond)
	}
	return bridge.WithTimeLimit(20 * time.Second)
}

// stopped is a clock that stands still, so that times in the golden file do.
func stopped() bridge.Option {
	return bridge.WithClock(func() time.Time { return time.Date(2026, 11, 21, 20, 16, 31, 0, time.UTC) })
}

// ofAccounts are captures of calls that would change accounts.
var ofAccounts = map[string]bool{
	"060-create-user-forbidden": true, "061-set-forbidden": true,
}

// asCall calls the tracker's own method as the captured client did.
func asCall(t *testing.T, name string) (any, error) {
	s := newStandIn(t)
	for range 4 { // credentials that are refused are tried again
		s.raw = append(s.raw, capture(t, name, "response"))
	}
	method, params := "lookup", []any{"user", "bob"}
	// What some captured clients sent was no call, and some are calls that the
	// gateway makes for nobody.
	if call := capturedCall(t, name); call != nil && !ofAccounts[name] {
		method, params = call.Method, call.Params()
	}
	result, err := open(t, s, limitOf(name), stopped()).Call(t.Context(), "r", method, params)
	if len(s.calls) == 0 {
		t.Fatalf("%s: nothing was called: %v", name, err)
	}
	if sent := s.calls[0]; sent.Method != method || !reflect.DeepEqual(sent.Params(), params) {
		t.Errorf("%s: sent %s%v, want %s%v", name, sent.Method, sent.Params(), method, params)
	}
	return result, err
}

// capturedCall returns the call in a captured request, nil when there is none.
func capturedCall(t *testing.T, name string) *xmlrpc.Call {
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(capture(t, name, "request"))))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(req.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	call, err := xmlrpc.ParseCall(doc)
	if err != nil {
		return nil
	}
	return call
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

// asReading has the dialect make a call to which the captured answer is one, and
// returns which method of the bridge did and what came of it.
func asReading(t *testing.T, name string) (method string, result any, err error) {
	s := newStandIn(t)
	s.issue("1", "One", "1", "2")
	s.msg("1", "4", "first", "2024-03-02.09:00:05.000")
	s.msg("2", "5", "second", "2024-03-03.09:00:05.000")
	s.issue("2", "Two", "1")["assignedto"] = "5"
	call := caller(t, open(t, s, limitOf(name), stopped()))
	do := func(method string, params ...any) (string, any, error) {
		result, err := call(method, append([]any{"r"}, params...)...)
		return method, result, err
	}
	captured := capturedCall(t, name)
	if name < "075" && captured != nil {
		return readLike(s, do, name, captured)
	}
	if answer := capture(t, name, "response"); bytes.Contains(answer, []byte("<params>")) || bytes.Contains(answer, []byte("gzip\r\n")) {
		return "", nil, nil // the value has nothing to do with what a read begins with
	}
	for range 4 { // instead of the schema
		s.raw = append(s.raw, capture(t, name, "response"))
	}
	return do("getBugs", []any{1})
}

func readLike(s *standIn, do func(string, ...any) (string, any, error), name string, captured *xmlrpc.Call) (string, any, error) {
	params := captured.Params()
	first := ""
	if len(params) > 0 {
		first, _ = params[0].(string)
	}
	class := strings.TrimRight(first, "0123456789")
	switch captured.Method {
	case "schema":
		s.instead("schema", name)
		return do("retry")
	case "list":
		if first == "status" || first == "nosuch" || len(params) > 1 && params[1] != "id" {
			s.instead("list", name)
			return do("statuses")
		}
	case "lookup":
		s.instead("lookup", name)
		return do("addComment", 1, "A comment.", "")
	case "filter":
		s.instead("filter", name)
		for _, id := range strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15") {
			s.issue(id, "Issue "+id)
		}
		if _, all := params[1].([]any); all {
			return do("getBugs", []any{2, 8, 999}, "ids")
		}
		return do("getModifiedBugs", []any{}, 1700000000)
	case "display":
		switch class {
		case "msg":
			s.instead("display msg", name)
			return do("getComments", 2, []any{1})
		case "user":
			s.instead("display user", name)
			return do("getBugs", []any{2})
		}
		s.gone["2"] = strings.HasPrefix(name, "067-") // it was retired
		s.instead("display issue", name)
		return do("getBugs", []any{2}, "comment-ids")
	case "create":
		if first == "msg" {
			s.instead("create", name)
			return do("addComment", 1, "A comment.", "")
		}
		s.instead("create", name)
		return do("fileBug", map[string]any{"title": "A bug", "priority": "bug"})
	case "set":
		s.instead("set", name)
		s.extra[roundup.LinkProperty] = "<roundup.hyperdb.String>"
		if class == "issue" && len(params) > 1 && strings.HasPrefix(params[1].(string), "messages=") {
			return do("addComment", 1, "A comment.", "")
		}
		s.issues["1"][roundup.LinkProperty] = nil
		return do("setLink", 1, "77", "https://example.com/77")
	}
	return "", nil, nil
}
