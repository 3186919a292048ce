package roundup_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/xmlrpc"
)

const captures = "testdata/roundup"

// capture returns one half of a captured exchange, byte for byte.
func capture(t testing.TB, name, half string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(captures, name+"."+half+".http"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// body is what follows the head of a captured message.
func body(raw []byte) []byte {
	_, b, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	return b
}

// fault is a result of the stand-in that is one.
type fault struct {
	code int
	text string
}

// rawValue is a result of the stand-in that is XML already: a <value>, as it stood
// in a captured answer.
type rawValue []byte

// rawFault is the same of a fault.
type rawFault []byte

// standIn answers as Roundup does, from a bare TCP socket: calls without
// credentials are refused with the captured answer, which has the clock, and the
// others by a small model of a tracker, or with captured bytes.
type standIn struct {
	t        *testing.T
	listener net.Listener
	serving  sync.WaitGroup

	mu        sync.Mutex
	conns     map[net.Conn]bool
	closed    bool
	calls     []*xmlrpc.Call // those with credentials, as they came, without the first log-in
	logins    int            // 1 after that
	inner     []innerCall    // the same with each call of a system.multicall by itself
	heads     []http.Header
	anonymous []byte                            // the answer to calls without credentials; nil: a captured refusal
	raw       [][]byte                          // answers to the next calls, in turn, as they are
	over      map[string]func(innerCall) any    // by method, or method and class of the designator; nil: the model
	issues    map[string]map[string]any         // by id
	msgs      map[string]map[string]any         // by id
	gone      map[string]bool                   // retired issues
	extra     map[string]string                 // further properties of issues in the schema
	names     map[string]string                 // by designator
	onCall    func(method string, n int) []byte // the whole answer, nil: as ever
}

type innerCall struct {
	method string
	params []any
}

func (c innerCall) text(i int) string {
	if i >= len(c.params) {
		return ""
	}
	s, _ := c.params[i].(string)
	return s
}

func newStandIn(t *testing.T) *standIn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{t: t, listener: listener, conns: map[net.Conn]bool{}, over: map[string]func(innerCall) any{},
		issues: map[string]map[string]any{}, msgs: map[string]map[string]any{}, gone: map[string]bool{}, extra: map[string]string{},
		names: map[string]string{"user4": "alice", "user5": "bob", "user7": "gateway"}}
	for i, name := range []string{"unread", "deferred", "chatting", "need-eg", "in-progress", "testing", "done-cbb", "resolved"} {
		s.names[fmt.Sprintf("status%d", i+1)] = name
	}
	for i, name := range []string{"critical", "urgent", "bug", "feature", "wish"} {
		s.names[fmt.Sprintf("priority%d", i+1)] = name
	}
	s.serving.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *standIn) url() string { return "http://" + s.listener.Addr().String() + "/demo" }

// issue adds an issue, with messages if any are named.
func (s *standIn) issue(id, title string, messages ...string) map[string]any {
	list := []any{}
	for _, m := range messages {
		list = append(list, m)
	}
	s.issues[id] = map[string]any{"title": title, "status": "3", "priority": "3", "assignedto": nil, "superseder": []any{}, "messages": list,
		"creation": "<Date 2024-03-02.09:00:05.250>", "activity": "<Date 2024-04-01.10:11:12.500>", "creator": "7"}
	return s.issues[id]
}

func (s *standIn) msg(id, author, content, date string) map[string]any {
	s.msgs[id] = map[string]any{"author": author, "creator": author, "content": content, "date": "<Date " + date + ">", "creation": "<Date " + date + ">"}
	return s.msgs[id]
}

func (s *standIn) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

func (s *standIn) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			_ = conn.Close()
		}
		s.conns[conn] = true
		s.mu.Unlock()
		s.serving.Go(func() { s.serve(conn) })
	}
}

func (s *standIn) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		doc, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		raw := s.answer(req, doc)
		if len(raw) == 0 {
			return // the connection breaks
		}
		if _, err := conn.Write(raw); err != nil || bytes.Contains(raw, []byte("Connection: close")) {
			return
		}
	}
}

func (s *standIn) answer(req *http.Request, doc []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads = append(s.heads, req.Header.Clone())
	if req.Header.Get("Authorization") == "" {
		if s.anonymous != nil {
			return s.anonymous
		}
		return capture(s.t, "075-auth-anonymous", "response")
	}
	call, err := xmlrpc.ParseCall(doc)
	if err != nil {
		s.t.Errorf("what was sent is no call: %v", err)
		return nil
	}
	login := s.logins == 0 && call.Method == "schema"
	if login {
		s.logins++
	} else {
		s.calls = append(s.calls, call)
	}
	if s.onCall != nil {
		if raw := s.onCall(call.Method, len(s.calls)); raw != nil {
			return raw
		}
	}
	if len(s.raw) > 0 && !login {
		raw := s.raw[0]
		s.raw = s.raw[1:]
		return raw
	}
	var answer []byte
	if call.Method != "system.multicall" {
		answer = document(s.t, s.result(innerCall{call.Method, call.Params()}))
	} else {
		var results bytes.Buffer
		results.WriteString("<value><array><data>")
		for _, v := range call.Params()[0].([]any) {
			m := v.(map[string]any)
			result := s.result(innerCall{m["methodName"].(string), m["params"].([]any)})
			value, faulty := written(s.t, result)
			if faulty {
				results.Write(value)
			} else {
				results.WriteString("<value><array><data>" + string(value) + "</data></array></value>")
			}
		}
		results.WriteString("</data></array></value>")
		answer = document(s.t, rawValue(results.Bytes()))
	}
	return httpAnswer(answer)
}

func httpAnswer(doc []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: BaseHTTP/0.6 Python/3.11.2\r\nDate: Sat, 21 Nov 2026 20:16:31 GMT\r\n"+
		"Content-Type: text/xml\r\nContent-Length: %d\r\nVary: Accept-Encoding\r\n\r\n%s", len(doc), doc)
}

// document is a methodResponse.
func document(t *testing.T, result any) []byte {
	value, faulty := written(t, result)
	if faulty {
		return []byte("<?xml version='1.0'?>\n<methodResponse>\n<fault>\n" + string(value) + "\n</fault>\n</methodResponse>\n")
	}
	return []byte("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n" + string(value) + "\n</param>\n</params>\n</methodResponse>\n")
}

// written is a result as a <value>.
func written(t *testing.T, result any) (value []byte, faulty bool) {
	switch r := result.(type) {
	case rawValue:
		return r, false
	case rawFault:
		return r, true
	case fault:
		return innerValue(xmlrpc.AppendFault(nil, r.code, r.text)), true
	}
	doc, err := xmlrpc.AppendResponse(nil, result, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true}))
	if err != nil {
		t.Fatal(err)
	}
	return innerValue(doc), false
}

// innerValue cuts the outermost <value> out of a document.
func innerValue(doc []byte) []byte {
	from, to := bytes.Index(doc, []byte("<value>")), bytes.LastIndex(doc, []byte("</value>"))
	return doc[from : to+len("</value>")]
}

// captured is a captured answer, as a result.
func captured(t *testing.T, name string) any {
	doc := body(capture(t, name, "response"))
	if bytes.Contains(doc, []byte("<fault>")) {
		return rawFault(innerValue(doc))
	}
	return rawValue(innerValue(doc))
}

// instead has calls of a method, or of display and set those of a class
// ("display issue"), answered with a captured answer.
func (s *standIn) instead(what, name string) *standIn {
	s.over[what] = func(innerCall) any { return captured(s.t, name) }
	return s
}

// result is what the model says to one call.
func (s *standIn) result(c innerCall) any {
	s.inner = append(s.inner, c)
	class := strings.TrimRight(c.text(0), "0123456789")
	for _, key := range []string{c.method + " " + class, c.method} {
		if over := s.over[key]; over != nil {
			if r := over(c); r != nil {
				return r
			}
		}
	}
	id := c.text(0)[len(class):]
	switch c.method {
	case "schema":
		return s.schema()
	case "list":
		return captured(s.t, "002-list-default")
	case "lookup":
		return "7"
	case "filter":
		return s.filter(c)
	case "create":
		return "28"
	case "set":
		return map[string]any{}
	case "display":
		items := map[string]map[string]map[string]any{"issue": s.issues, "msg": s.msgs}[class]
		item := items[id]
		if name := s.names[c.text(0)]; name != "" {
			item = map[string]any{"name": name, "username": name}
		}
		if item == nil {
			return fault{1, fmt.Sprintf("<class 'IndexError'>:no such %s %s", class, id)}
		}
		shown := map[string]any{}
		for i := 1; i < len(c.params); i++ {
			value, ok := item[c.text(i)]
			if !ok {
				return fault{1, "<class 'KeyError'>:'" + c.text(i) + "'"}
			}
			shown[c.text(i)] = value
		}
		return shown
	}
	return fault{1, `<class 'Exception'>:method "` + c.method + `" is not supported`}
}

func (s *standIn) schema() any {
	var schema map[string]any
	if err := xmlrpc.ParseResponse(body(capture(s.t, "001-schema", "response")), &schema); err != nil {
		s.t.Fatal(err)
	}
	for name, kind := range s.extra {
		schema["issue"] = append(schema["issue"].([]any), []any{name, kind})
	}
	return schema
}

// filter ignores what it is asked for but ids, as Roundup does with a property
// that it does not know and with a date that it cannot read.
func (s *standIn) filter(c innerCall) any {
	ids := []any{}
	given, some := c.params[1].([]any)
	for id := range s.issues {
		if !s.gone[id] && (!some || slices.Contains(given, any(id))) {
			ids = append(ids, id)
		}
	}
	return ids
}

// made returns the calls of a method, those inside a system.multicall too.
func (s *standIn) made(method string) []innerCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.inner), func(c innerCall) bool { return c.method != method })
}

// requests counts the calls with credentials.
func (s *standIn) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

var account = bridge.Secrets{User: "gateway", Password: "gateway"}

func open(t *testing.T, s *standIn, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	return openAs(t, s, account, opts...)
}

func openAs(t *testing.T, s *standIn, secrets bridge.Secrets, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New([]bridge.Config{{Name: "r", URL: s.url(), Dialect: roundup.Name, Secrets: secrets, AllowPrivate: true, Allow: []string{"*"}}},
		[]bridge.Named{{Name: roundup.Name, New: roundup.New}}, nil, newMemory(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}
