package trac_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/xmlrpc"
)

const nativeCaptures = "testdata/trac"

// alice is the account of the captures.
var alice = bridge.Secrets{User: "alice", Password: "wonder"}

// nativeCapture returns one half of an exchange with Trac's XML-RPC plugin, byte
// for byte. The name's number is enough.
func nativeCapture(t testing.TB, number, half string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(nativeCaptures, number+"*."+half+".http"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d captures are named %s (%v)", len(files), number, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// newNativeReplayer answers GETs as the plugin does.
func newNativeReplayer(t *testing.T) *replayer {
	r := newReplayer(t)
	r.page("/lp/xmlrpc", nativeCapture(t, "101", "response"))
	r.page("/lp/login/xmlrpc", nativeCapture(t, "101", "response"))
	return r
}

// page sets what GETs of a path are answered, in turn.
func (r *replayer) page(path string, raw ...[]byte) *replayer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages[path] = raw
	return r
}

// native sets the captured answers that calls of a method get in turn.
func (r *replayer) native(method string, numbers ...string) *replayer {
	for _, number := range numbers {
		r.answerBytes(method, nativeCapture(r.t, number, "response"))
	}
	return r
}

// multi answers a system.multicall with captured answers to single calls.
func (r *replayer) multi(numbers ...string) *replayer {
	var values []string
	for _, number := range numbers {
		values = append(values, innerAnswer(r.t, number))
	}
	r.answerBytes("system.multicall", document("<value><array><data>\n"+strings.Join(values, "\n")+"\n</data></array></value>"))
	return r
}

var resultValue = regexp.MustCompile(`(?s)<params>\s*<param>\s*(<value>.*</value>)\s*</param>\s*</params>`)

// innerAnswer is how a captured answer stands within one to system.multicall
// (capture 005): a value in an array of one, a fault as the struct of an exception.
func innerAnswer(t testing.TB, number string) string {
	t.Helper()
	raw := nativeCapture(t, number, "response")
	if found := resultValue.FindSubmatch(raw); found != nil {
		return "<value><array><data>\n" + string(found[1]) + "\n</data></array></value>"
	}
	_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var fault *xmlrpc.Fault
	if err := xmlrpc.ParseResponse(body, nil); !errors.As(err, &fault) {
		t.Fatalf("%s is neither a value nor a fault: %v", number, err)
	}
	title := "Trac Error"
	if fault.Code == 404 {
		title = "Invalid ticket number"
	}
	return failure(fault.String, title)
}

func failure(message, title string) string {
	value, err := xmlrpc.Marshal(map[string]any{"_message": message, "title": title, "show_traceback": false})
	if err != nil {
		panic(err)
	}
	return string(value)
}

// document is an answer with a value, at the time of the captures.
func document(value string) []byte {
	body := "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n" + value + "\n</param>\n</params>\n</methodResponse>\n"
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: tracd/1.6 Python/3.11.2\r\nDate: Sat, 21 Nov 2026 19:58:14 GMT\r\n"+
		"Content-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// notReplayed names the captures that nothing of this package would ever read,
// and why.
var notReplayed = map[string]string{
	"082-login-cookie":                  "no cookie is asked for: Basic authorization goes with every call",
	"100-content-type-none":             "there is no answer in it",
	"116-launchpad-auth-without-plugin": "it is among the replays of the Launchpad plugin",
	"117-html-ticket":                   "no HEAD is sent",
	"118-html-ticket-missing":           "no HEAD is sent",
}

func TestEveryNativeCaptureIsReadAsTheGoldenFileSays(t *testing.T) {
	files, err := filepath.Glob(nativeCaptures + "/*.response.http")
	if err != nil || len(files) != 118 {
		t.Fatalf("%d captures, want 118 (%v)", len(files), err)
	}
	var golden bytes.Buffer
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".response.http")
		if notReplayed[name] != "" {
			continue
		}
		result, err := replayNative(t, name)
		line := replayed{Capture: name, Result: result}
		if err != nil {
			line.Result = nil
			line.Fault, _, _ = strings.Cut(err.Error(), " No new log-in") // it tells a time
		}
		out, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		golden.Write(append(ownTime.ReplaceAll(ownURL.ReplaceAll(out, []byte("http://tracker/")), []byte("}}")), '\n'))
	}
	compareGolden(t, "testdata/native.golden.jsonl", golden.Bytes())
}

// ownTime is the tracker's time of an answer, which is reckoned from ours.
var ownTime = regexp.MustCompile(`,"time":"20[^"]*"}}$`)

// replayNative makes the call of a caller that a capture belongs to.
func replayNative(t *testing.T, name string) (any, error) {
	t.Helper()
	number := name[:3]
	line, captured := nativeCall(t, number)
	if strings.Contains(line, "format=csv") {
		return replayCSV(t, number, line)
	}
	r := newNativeReplayer(t)
	secrets := alice
	if strings.HasPrefix(line, "POST /native/xmlrpc") { // an anonymous visitor
		secrets = bridge.Secrets{}
		r.page("/lp/login/xmlrpc", unauthorized(t, "079"))
	}
	// Some clients called what the gateway calls for nobody by itself.
	b := openAs(t, bridge.Config{URL: r.url(), Dialect: trac.NativeName, Secrets: secrets, Allow: []string{"*"}})
	if bytes.HasPrefix(nativeCapture(t, number, "response"), []byte("HTTP/1.1 401")) {
		// The credentials are tried with a GET, to which it would not say more.
		r.page("/lp/login/xmlrpc", unauthorized(t, number))
		return caller(t, b)("retry", "lp")
	}
	if captured == nil || captured.Method == "system.getAPIVersion" {
		// What the captured client sent was perhaps no call at all.
		r.native("system.getAPIVersion", number)
		return caller(t, b)("retry", "lp")
	}
	result, same, err := callNative(t, r, b, number, captured)
	if !same {
		return result, err
	}
	for _, sent := range r.requests() {
		if made, unread := xmlrpc.ParseCall(sent.body); unread == nil && made.Method == captured.Method {
			if !reflect.DeepEqual(made.Params(), captured.Params()) {
				t.Errorf("%s: the dialect did not send what the captured client sent, but\n%s", name, sent.body)
			}
			if secrets == alice && (sent.line != "POST /lp/login/xmlrpc" || sent.header.Get("Authorization") != "Basic YWxpY2U6d29uZGVy") {
				t.Errorf("%s: sent to %s with %q", name, sent.line, sent.header.Get("Authorization"))
			}
			return result, err
		}
	}
	t.Errorf("%s: %s was not called: %v", name, captured.Method, err)
	return result, err
}

// unauthorized is a captured answer of HTTP 401 without what tracd made of the
// request's body behind it: a GET has none.
func unauthorized(t testing.TB, number string) []byte {
	head, _, _ := bytes.Cut(nativeCapture(t, number, "response"), []byte("\r\n\r\n"))
	return append(head, "\r\n\r\n"...)
}

// callNative makes a caller's call that is answered with the captured answer, and
// tells whether the captured call must then have been sent.
func callNative(t *testing.T, r *replayer, b *bridge.Bridge, number string, captured *xmlrpc.Call) (result any, same bool, err error) {
	t.Helper()
	call, params := caller(t, b), captured.Params()
	var first any
	if len(params) > 0 {
		first = params[0]
	}
	switch captured.Method {
	case "system.multicall":
		r.native(captured.Method, number)
		ids := []any{}
		for i := range max(1, len(first.([]any))) { // what is not about tickets is no ticket
			ids = append(ids, i+1)
		}
		result, err = call("getBugs", "lp", ids, "metadata")
	case "ticket.get":
		if _, isInt := first.(int); !isInt {
			first = 2
		}
		r.multi(number).native("ticket.get", number).native("ticket.query", "012")
		result, err = call("getBugs", "lp", []any{first}, "metadata")
	case "ticket.changeLog":
		r.native(captured.Method, number)
		result, err = call("getComments", "lp", first, []any{})
		return result, true, err
	case "ticket.query":
		return queryLike(r, call, number, first)
	case "ticket.getRecentChanges":
		r.native(captured.Method, number)
		date, isDate := first.(xmlrpc.DateTime)
		if !isDate || date.HasZone() { // what is not in Trac's own layout is never sent
			date, isDate = dateTime(t, "20240801T00:00:00"), false
		}
		result, err = call("getModifiedBugs", "lp", []any{}, date)
		return result, isDate, err
	case "ticket.update":
		return updateLike(r, call, number, params)
	case "ticket.create":
		r.native("ticket.getTicketFields", "056").native(captured.Method, number)
		bug := map[string]any{"title": params[0], "description": params[1]}
		if params[0] == "" {
			bug["title"] = "What is empty is never sent"
		}
		if len(params) > 2 {
			maps.Copy(bug, params[2].(map[string]any))
		}
		result, err = call("fileBug", "lp", bug)
		return result, number == "070", err
	case "ticket.status.getAll":
		r.native(captured.Method, number)
		result, err = call("statuses", "lp")
		return result, true, err
	case "ticket.getTicketFields":
		r.native(captured.Method, number).native("ticket.create", "070")
		result, err = call("fileBug", "lp", map[string]any{"title": "t", "description": "d", "milestone": "milestone2"})
		return result, true, err
	default: // a method for which the bridge has none of its own
		r.native(captured.Method, number)
		result, err = b.Call(t.Context(), "lp", captured.Method, params)
		return result, true, err
	}
	return result, false, err
}

// queryLike asks for what a captured query asked.
func queryLike(r *replayer, call func(string, ...any) (any, error), number string, first any) (result any, same bool, err error) {
	r.native("ticket.query", number).native("ticket.get", "024")
	q, _ := first.(string)
	if strings.Contains(q, "modified=") || strings.Contains(q, "nosuchfield") {
		all := []any{}
		for id := 1; id <= 26; id++ {
			all = append(all, id)
		}
		r.multi("008", number)
		result, err = call("getModifiedBugs", "lp", all, dateTime(r.t, "20240801T00:00:00"))
		return result, false, err
	}
	ids := []any{1}
	if strings.HasPrefix(q, "id=1&") {
		ids = []any{1, 2, 999}
	}
	result, err = call("getBugs", "lp", ids, "ids")
	return result, len(ids) > 1, err
}

// updateLike writes what a captured update wrote, on the ground of what other
// captures say about the ticket before and after.
func updateLike(r *replayer, call func(string, ...any) (any, error), number string, params []any) (result any, same bool, err error) {
	ticket, log, after := "058", innerAnswer(r.t, "039"), "060" // as ticket 1 was at first
	switch id := params[0]; {
	case id == 1 && number != "058":
		log = oneComment
	case id == 3:
		ticket, log, after = "018", innerAnswer(r.t, "029"), "029" // no capture shows the log with it
	case id != 1:
		ticket, log, after = "016", innerAnswer(r.t, "028"), "066"
	}
	r.answerBytes("system.multicall", document("<value><array><data>"+innerAnswer(r.t, ticket)+log+"</data></array></value>"))
	r.native("ticket.update", number).native("ticket.changeLog", after)
	if params[0] == 9999 {
		params[0] = 2 // one that was there when it was looked at
	}
	if params[1] == "" {
		params[1] = "What is empty is never sent"
	}
	result, err = call("addComment", "lp", params[0], params[1], "")
	return result, number == "059", err
}

// oneComment is a change log with the first of the two comments of capture 060.
const oneComment = `<value><array><data><value><array><data><value><array><data>` +
	`<value><dateTime.iso8601>20261121T19:58:07</dateTime.iso8601></value><value><string>alice</string></value>` +
	`<value><string>comment</string></value><value><string>1</string></value><value><string>A comment.</string></value>` +
	`<value><int>1</int></value></data></array></value></data></array></value></data></array></value>`

func dateTime(t testing.TB, s string) xmlrpc.DateTime {
	t.Helper()
	d, err := xmlrpc.ParseDateTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// replayCSV reads the tickets of a captured request for CSV.
func replayCSV(t *testing.T, number, line string) (any, error) {
	t.Helper()
	r := newReplayer(t)
	raw := nativeCapture(t, number, "response")
	target, _, _ := strings.Cut(strings.TrimPrefix(line, "GET /native"), " ")
	path, query, _ := strings.Cut(target, "?")
	r.page("/lp"+path, raw)
	if number == "113" { // it is looked into why there is none
		r.page("/lp/ticket/9999", nativeCapture(t, "109", "response"))
	}
	call := caller(t, openAs(t, bridge.Config{URL: r.url(), Dialect: trac.CSVName}))
	ids := []any{}
	if id, one := strings.CutPrefix(path, "/ticket/"); one {
		ids = append(ids, id)
	} else if number == "114" {
		ids = []any{1, 3, 4, 5}
	} else {
		for _, part := range strings.Split(query, "&") {
			if id, ok := strings.CutPrefix(part, "id="); ok {
				ids = append(ids, id)
			}
		}
		if len(ids) == 1 {
			ids = append(ids, 9998) // a single ticket is read from its own page
		}
	}
	result, err := call("getBugs", "lp", ids, "full")
	if sent := r.requests(); len(sent) == 0 || !strings.HasPrefix(sent[0].line, "GET /lp"+path+"?") {
		t.Errorf("%s: sent %v", number, sent)
	} else if path == "/ticket/"+fmt.Sprint(ids[0]) && sent[0].line != "GET /lp"+target {
		t.Errorf("%s: sent %s, captured %s", number, sent[0].line, target)
	}
	return result, err
}

// nativeCall returns the request line of a capture, and the call in it, if it is
// one.
func nativeCall(t *testing.T, number string) (string, *xmlrpc.Call) {
	t.Helper()
	raw := nativeCapture(t, number, "request")
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
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
