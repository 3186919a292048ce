package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// cookieName is the session cookie of Trac.
const cookieName = "trac_auth"

// faultNoTicket is the plugin's fault code for a ticket that does not exist.
const faultNoTicket = 1001

// tracker is a small bug tracker that speaks as Trac does with the handshake
// plugin: it logs in whoever the gateway vouches for, and keeps two tickets.
type tracker struct {
	net      net.Listener
	server   *http.Server
	callback *http.Client // makes the callbacks

	mu       sync.Mutex
	root     string // of callback URLs
	sessions map[string]bool
	tickets  map[string]*ticket
}

type ticket struct {
	id, summary, status, resolution string
	created, changed                time.Time
	comments                        []comment
}

type comment struct {
	id, user, text string
	at             time.Time
}

func startTracker(callback *http.Client) (*tracker, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	then := time.Date(2026, time.March, 3, 9, 30, 0, 0, time.UTC)
	t := &tracker{
		net:      ln,
		callback: callback,
		sessions: map[string]bool{},
		tickets: map[string]*ticket{
			"1": {id: "1", summary: "Printer on fire", status: "new", created: then, changed: then, comments: []comment{
				{id: "1-1", user: "Alice <alice@example.com>", text: "Smoke comes out of tray 2.", at: then},
			}},
			"2": {id: "2", summary: "Coffee machine prints stack traces", status: "closed", resolution: "fixed", created: then, changed: then},
		},
	}
	calls, err := t.methods()
	if err != nil {
		ln.Close()
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /launchpad-auth/{token...}", t.login)
	mux.Handle("POST /xmlrpc", t.withSession(xmlrpc.NewHandler(calls)))
	t.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = t.server.Serve(ln) }() // ends when close shuts it
	return t, nil
}

func (t *tracker) url() string { return "http://" + t.net.Addr().String() }

func (t *tracker) setRoot(root string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.root = root
}

func (t *tracker) close() { _ = t.server.Close() }

// login makes the callback, and gives a session to whoever it proves right.
func (t *tracker) login(w http.ResponseWriter, r *http.Request) {
	if !t.vouchedFor(r.Context(), r.PathValue("token")) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	session := rand.Text()
	t.mu.Lock()
	t.sessions[session] = true
	t.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: session, Path: "/", HttpOnly: true})
	fmt.Fprintln(w, "OK")
}

func (t *tracker) vouchedFor(ctx context.Context, token string) bool {
	t.mu.Lock()
	root := t.root
	t.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, root+"/token/"+url.PathEscape(token)+"/+bugtracker-handshake", http.NoBody)
	if err != nil {
		return false
	}
	res, err := t.callback.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

func (t *tracker) withSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(cookieName)
		t.mu.Lock()
		known := err == nil && t.sessions[cookie.Value]
		t.mu.Unlock()
		if !known {
			http.Error(w, "Log in first", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (t *tracker) methods() (*xmlrpc.Registry, error) {
	r := xmlrpc.NewRegistry()
	return r, errors.Join(
		r.Register("launchpad.bugtracker_version", func() ([]any, error) { return []any{"demo", "1.0", false}, nil }, "Versions of tracker and plugin."),
		r.Register("launchpad.time_snapshot", func() ([]any, error) { return []any{"UTC", now(), now()}, nil }, "The tracker's time."),
		r.Register("launchpad.bug_info", t.bugInfo, "Tickets.", "level", "criteria"),
		r.Register("launchpad.get_comments", t.getComments, "Comments.", "ids"),
		r.Register("launchpad.add_comment", t.addComment, "Adds a comment.", "bug", "text"),
	)
}

func now() int { return int(time.Now().Unix()) }

type criteria struct {
	Bugs []string `xmlrpc:"bugs"`
}

func (t *tracker) bugInfo(level int, c criteria) ([]any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bugs := []any{}
	for _, id := range c.Bugs {
		if k := t.tickets[id]; k != nil {
			bugs = append(bugs, k.describe(level))
		} else {
			bugs = append(bugs, map[string]any{"id": id, "status": "missing"})
		}
	}
	return []any{now(), bugs}, nil
}

func (k *ticket) describe(level int) map[string]any {
	bug := map[string]any{"id": k.id}
	if level == 0 {
		return bug
	}
	bug["summary"], bug["status"], bug["resolution"] = k.summary, k.status, k.resolution
	bug["priority"], bug["severity"], bug["component"], bug["assignee"] = "major", "", "office", "< default >"
	bug["timestamp"], bug["last_modified"] = int(k.created.Unix()), int(k.changed.Unix())
	if level >= 2 {
		comments := []any{}
		for _, c := range k.comments {
			if level == 2 {
				comments = append(comments, c.id)
			} else {
				comments = append(comments, map[string]any{"id": c.id, "type": "comment", "comment": c.text, "timestamp": int(c.at.Unix())})
			}
		}
		bug["comments"] = comments
	}
	return bug
}

func (t *tracker) getComments(ids []string) ([]any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, missing := []any{}, []any{}
	for _, id := range ids {
		if c, ok := t.comment(id); ok {
			found = append(found, map[string]any{"id": c.id, "type": "comment", "user": c.user, "comment": c.text, "timestamp": int(c.at.Unix())})
		} else {
			missing = append(missing, map[string]any{"id": id, "type": "missing"})
		}
	}
	return []any{now(), append(found, missing...)}, nil
}

func (t *tracker) comment(id string) (comment, bool) {
	bug, _, _ := strings.Cut(id, "-")
	if k := t.tickets[bug]; k != nil {
		for _, c := range k.comments {
			if c.id == id {
				return c, true
			}
		}
	}
	return comment{}, false
}

func (t *tracker) addComment(bug, text string) ([]any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.tickets[bug]
	if k == nil {
		return nil, &xmlrpc.Fault{Code: faultNoTicket, String: "Ticket does not exist"}
	}
	c := comment{id: bug + "-" + strconv.Itoa(len(k.comments)+1), user: "gateway", text: text, at: time.Now()}
	k.comments, k.changed = append(k.comments, c), c.at
	return []any{now(), c.id}, nil
}
