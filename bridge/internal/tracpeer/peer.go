// Package tracpeer is a Trac with the Launchpad plugin for tests: it keeps
// tickets, comments, links and sessions, calls back for every token it is given,
// and misbehaves when told to. Its answers have the shapes of the captures in
// bridge/trac/testdata/trac-launchpad.
package tracpeer

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// Comment is a comment of a ticket.
type Comment struct {
	User string
	Text string
	Time time.Time
}

// Ticket is a ticket of the peer. Comments are numbered from 1.
type Ticket struct {
	Summary    string
	Status     string
	Resolution string
	Assignee   string
	Modified   time.Time
	Comments   []Comment
	Link       int
}

// Peer is a tracker on loopback, at the path /lp. Its zero callbacks accept
// every token and let every request through.
type Peer struct {
	server *httptest.Server

	mu       sync.Mutex
	tickets  map[int]*Ticket
	cookies  map[string]bool
	validate func(token string) bool
	before   func(w http.ResponseWriter, r *http.Request, method string) bool
	after    func(method string) bool
	calls    []string
	logins   int
	offset   time.Duration
	now      func() time.Time
}

// New starts a peer that ends with the test.
func New(t testing.TB) *Peer {
	p := &Peer{tickets: map[int]*Ticket{}, cookies: map[string]bool{}, now: time.Now}
	mux := http.NewServeMux()
	mux.HandleFunc("/lp/launchpad-auth/", p.auth)
	mux.HandleFunc("/lp/xmlrpc", p.xmlrpc)
	p.server = httptest.NewServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

// URL is the peer's base URL.
func (p *Peer) URL() string { return p.server.URL + "/lp" }

// Close stops the peer.
func (p *Peer) Close() { p.server.Close() }

// CloseConnections breaks the connections that are open.
func (p *Peer) CloseConnections() { p.server.CloseClientConnections() }

// Put stores a ticket.
func (p *Peer) Put(number int, t Ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets[number] = &t
}

// Ticket returns a copy of a ticket.
func (p *Peer) Ticket(number int) Ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := *p.tickets[number]
	t.Comments = slices.Clone(t.Comments)
	return t
}

// Expire ends all sessions.
func (p *Peer) Expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.cookies)
}

// Validate sets the callback that is made, while the log-in is open, for each
// token.
func (p *Peer) Validate(f func(token string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.validate = f
}

// Before sets what happens before anything else to each request; the method is
// empty for a log-in. It returns true when it has answered by itself.
func (p *Peer) Before(f func(w http.ResponseWriter, r *http.Request, method string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before = f
}

// After sets what happens once a method was executed, before it is answered. It
// returns false to break the connection in place of an answer.
func (p *Peer) After(f func(method string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.after = f
}

// SetClock puts the peer's clock wrong.
func (p *Peer) SetClock(offset time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offset = offset
}

// Calls returns the methods that were executed or faulted, in order.
func (p *Peer) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Count tells how often a method was called.
func (p *Peer) Count(method string) int {
	n := 0
	for _, m := range p.Calls() {
		if m == method {
			n++
		}
	}
	return n
}

// Logins tells how many tokens were presented.
func (p *Peer) Logins() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logins
}

func (p *Peer) hooks() (func(http.ResponseWriter, *http.Request, string) bool, func(string) bool, func(string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before, p.after, p.validate
}

func (p *Peer) auth(w http.ResponseWriter, r *http.Request) {
	before, _, validate := p.hooks()
	if before != nil && before(w, r, "") {
		return
	}
	token := strings.TrimPrefix(r.URL.EscapedPath(), "/lp/launchpad-auth/")
	if token != "check" {
		p.mu.Lock()
		p.logins++
		p.mu.Unlock()
	}
	if token == "check" || validate != nil && !validate(token) {
		w.Header().Set("Content-Type", "text/plain;charset=utf-8")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "Unauthorized\n")
		return
	}
	cookie := rand.Text()
	p.mu.Lock()
	p.cookies[cookie] = true
	p.mu.Unlock()
	w.Header().Add("Set-Cookie", "trac_auth="+cookie+"; HttpOnly; Path=/lp")
	w.Header().Add("Set-Cookie", "trac_session=0123456789abcdef; HttpOnly; Path=/lp")
	_, _ = io.WriteString(w, "OK\n")
}

func (p *Peer) xmlrpc(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.ContentLength < 0 {
		http.Error(w, "Length required", http.StatusLengthRequired)
		return
	}
	call, err := xmlrpc.ParseCall(body)
	if err != nil {
		p.answer(w, nil, &xmlrpc.Fault{Code: -32700, String: "Not an XML-RPC call"})
		return
	}
	before, after, _ := p.hooks()
	if before != nil && before(w, r, call.Method) {
		return
	}
	cookie, err := r.Cookie("trac_auth")
	p.mu.Lock()
	live := err == nil && p.cookies[cookie.Value]
	p.mu.Unlock()
	if !live {
		w.Header().Set("Content-Type", "text/plain;charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "Log in first\n")
		return
	}
	result, fault := p.execute(call.Method, call.Params())
	if after != nil && !after(call.Method) {
		panic(http.ErrAbortHandler)
	}
	p.answer(w, result, fault)
}

func (p *Peer) answer(w http.ResponseWriter, result any, fault *xmlrpc.Fault) {
	w.Header().Set("Content-Type", "text/xml;charset=utf-8")
	var doc []byte
	if fault != nil {
		doc = xmlrpc.AppendFault(nil, fault.Code, fault.String)
	} else {
		var err error
		if doc, err = xmlrpc.AppendResponse(nil, result); err != nil {
			doc = xmlrpc.AppendFault(nil, -32603, err.Error())
		}
	}
	_, _ = w.Write(doc)
}

var noTicket = &xmlrpc.Fault{Code: 1001, String: "Ticket does not exist"}

func (p *Peer) execute(method string, params []any) (any, *xmlrpc.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, method)
	at := int(p.now().Add(p.offset).Unix())
	switch method {
	case "launchpad.bugtracker_version":
		return []any{"1.6", "1.0", false}, nil
	case "launchpad.time_snapshot":
		return []any{"CET", at + 3600, at}, nil
	case "launchpad.bug_info":
		return []any{at, p.bugInfo(params[0].(int), params[1].(map[string]any))}, nil
	case "launchpad.get_comments":
		return []any{at, p.comments(params[0].([]any))}, nil
	}
	_, t := p.find(params[0])
	if t == nil {
		return nil, noTicket
	}
	switch method {
	case "launchpad.add_comment":
		text := strings.ReplaceAll(params[1].(string), "\n", "\r\n")
		t.Comments = append(t.Comments, Comment{User: "launchpad", Text: text, Time: time.Unix(int64(at), 0)})
		t.Modified = time.Unix(int64(at), 0)
		return []any{at, fmt.Sprintf("%v-%d", params[0], len(t.Comments))}, nil
	case "launchpad.get_launchpad_bug":
		return []any{at, t.Link}, nil
	case "launchpad.set_launchpad_bug":
		t.Link = params[1].(int)
		return []any{at}, nil
	}
	return nil, &xmlrpc.Fault{Code: -32601, String: "No such method: " + method}
}

func (p *Peer) find(id any) (int, *Ticket) {
	n, err := strconv.Atoi(fmt.Sprint(id))
	if err != nil {
		return 0, nil
	}
	return n, p.tickets[n]
}

func (p *Peer) bugInfo(level int, criteria map[string]any) []any {
	since := 0
	if s, ok := criteria["modified_since"]; ok {
		since = s.(int)
	}
	numbers, gone := []int{}, []any{}
	if list, ok := criteria["bugs"]; ok {
		for _, id := range list.([]any) {
			if n, t := p.find(id); t != nil {
				numbers = append(numbers, n)
			} else {
				gone = append(gone, map[string]any{"id": fmt.Sprint(id), "status": "missing"})
			}
		}
	} else {
		for n := range p.tickets {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	bugs := []any{}
	for _, n := range slices.Compact(numbers) {
		if t := p.tickets[n]; t.Modified.Unix() >= int64(since) || since == 0 {
			bugs = append(bugs, describe(n, t, level))
		}
	}
	return append(bugs, gone...)
}

func describe(n int, t *Ticket, level int) map[string]any {
	m := map[string]any{"id": strconv.Itoa(n)}
	if level >= 1 {
		m["summary"], m["status"], m["resolution"] = t.Summary, t.Status, t.Resolution
		m["priority"], m["severity"], m["component"] = "major", "", "component1"
		m["assignee"] = t.Assignee
		m["timestamp"], m["last_modified"] = 1710061200, int(t.Modified.Unix())
	}
	if level >= 2 {
		ids := []any{}
		for i := range t.Comments {
			ids = append(ids, fmt.Sprintf("%d-%d", n, i+1))
		}
		m["comments"] = ids
	}
	return m
}

func (p *Peer) comments(ids []any) []any {
	found, gone := []any{}, []any{}
	for _, v := range ids {
		id := fmt.Sprint(v)
		bug, no, _ := strings.Cut(id, "-")
		_, t := p.find(bug)
		i, err := strconv.Atoi(no)
		if t == nil || err != nil || i < 1 || i > len(t.Comments) {
			gone = append(gone, map[string]any{"id": id, "type": "missing"})
			continue
		}
		c := t.Comments[i-1]
		found = append(found, map[string]any{
			"id": id, "type": "comment", "user": c.User, "comment": c.Text, "timestamp": int(c.Time.Unix()),
		})
	}
	return append(found, gone...)
}
