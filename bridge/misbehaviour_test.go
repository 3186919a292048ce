package bridge_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
	"github.com/trackgate/trackgate/bridge/trac"
)

// tokens mints tokens and remembers which are live.
type tokens struct {
	mu   sync.Mutex
	live map[string]string // tracker by token
	n    int
}

func newTokens() *tokens { return &tokens{live: map[string]string{}} }

func (m *tokens) Mint(_ context.Context, tracker string) (string, func(context.Context) error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	token := fmt.Sprintf("token%08d", m.n)
	m.live[token] = tracker
	return token, func(context.Context) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.live, token)
		return nil
	}, nil
}

// consume is what the gateway's callback does.
func (m *tokens) consume(token string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.live[token]
	delete(m.live, token)
	return ok
}

func (m *tokens) left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.live)
}

var dialects = []bridge.Named{{Name: trac.LaunchpadName, New: trac.NewLaunchpad}}

func tracker(name, url string) bridge.Config {
	return bridge.Config{Name: name, URL: url, Dialect: trac.LaunchpadName, AllowPrivate: true}
}

// unbroken keeps a tracker from being left alone after failures.
var unbroken = bridge.WithBreaker(1_000_000, time.Hour)

func open(t *testing.T, trackers []bridge.Config, minter bridge.Minter, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New(trackers, dialects, minter, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// calls are all calls that a caller can make of a tracker.
var calls = []struct {
	name  string
	write bool
	call  func(context.Context, *bridge.Bridge) error
}{
	{"getBugs", false, func(ctx context.Context, b *bridge.Bridge) error {
		_, err := b.GetBugs(ctx, "t", []string{"1"}, bridge.LevelFull)
		return err
	}},
	{"getModifiedBugs", false, func(ctx context.Context, b *bridge.Bridge) error {
		_, err := b.GetModifiedBugs(ctx, "t", nil, time.Unix(0, 0))
		return err
	}},
	{"getComments", false, func(ctx context.Context, b *bridge.Bridge) error {
		_, err := b.GetComments(ctx, "t", "1", nil)
		return err
	}},
	{"addComment", true, func(ctx context.Context, b *bridge.Bridge) error {
		_, err := b.AddComment(ctx, "t", bridge.NewComment{Bug: "1", Text: "x"})
		return err
	}},
	{"getLink", false, func(ctx context.Context, b *bridge.Bridge) error {
		_, err := b.GetLink(ctx, "t", "1")
		return err
	}},
	{"retry", false, func(ctx context.Context, b *bridge.Bridge) error { return b.Retry(ctx, "t") }},
}

// slowLimit is the time limit where an answer never comes: long enough for
// everything else that happens under it.
const slowLimit = 2 * time.Second

// bomb is 8 MiB of spaces, compressed.
var bomb = sync.OnceValue(func() []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = io.Copy(z, io.LimitReader(spaces{}, 8<<20))
	_ = z.Close()
	return out.Bytes()
})

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// misbehaviours are ways to answer a call. Each has the errors that a read and
// a write come to.
func misbehaviours(t *testing.T) map[string]struct {
	answer      func(w http.ResponseWriter, r *http.Request)
	read, write apierror.Name
	detail      string
} {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	t.Cleanup(elsewhere.Close)
	text := func(status int, contentType, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	raw := func(answer string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}
	bomb := bomb()
	const start = "<?xml version='1.0'?><methodResponse><params><param><value><array><data><value><int>1795291396</int></value>"
	type answers = struct {
		answer      func(w http.ResponseWriter, r *http.Request)
		read, write apierror.Name
		detail      string
	}
	return map[string]answers{
		"never answering": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			apierror.TrackerTimeout, apierror.OutcomeUnknown, ""},
		"stalling after the head": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, start)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, apierror.TrackerTimeout, apierror.OutcomeUnknown, ""},
		"closing without an answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			apierror.TrackerUnavailable, apierror.OutcomeUnknown, "closed the connection"},
		"no HTTP": {raw("220 mail.example.org ESMTP\r\n"),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "not HTTP"},
		"a broken head": {raw("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "not HTTP"},
		"a head without end": {raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 1000)+"\r\n", 100) + "\r\n"),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "65536"},
		"HTML": {text(200, "text/html", "<html><title>Welcome</title>"),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "text/html"},
		"500 with HTML": {text(500, "text/html", "<html><title>Oops</title>"),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "HTTP 500 Internal Server Error, text/html: Oops"},
		"404": {text(404, "text/html", "<title>Not here</title>"),
			apierror.TrackerBadAnswer, apierror.TrackerBadAnswer, "HTTP 404"},
		"10 GB announced": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			w.Header().Set("Content-Length", fmt.Sprint(10<<30))
			_, _ = io.WriteString(w, start)
		}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "1048576"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = io.WriteString(w, start)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("<value><int>1</int></value>", 1000)); err != nil {
					return
				}
			}
		}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "1048576"},
		"a gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/xml")
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "1048576"},
		"half a document": {text(200, "text/xml", start),
			apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "cut off"},
		"a wrong length": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, start)
		}, apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "cut off"},
		"nothing": {text(200, "text/xml", ""), apierror.TrackerBadAnswer, apierror.OutcomeUnknown, "empty"},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, apierror.TrackerBadAnswer, apierror.TrackerBadAnswer, "redirect"},
		"a redirect to a page": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/lp/login", http.StatusFound)
		}, apierror.TrackerBadAnswer, apierror.TrackerBadAnswer, "redirect"},
		"a fault": {text(200, "text/xml", "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>7</int></value></member>"+
			"<member><name>faultString</name><value>seven</value></member></struct></value></fault></methodResponse>"),
			apierror.TrackerFault, apierror.TrackerFault, "Fault 7: seven"},
		"a fault with a word for a code": {text(200, "text/xml", "<methodResponse><fault><value><struct><member><name>faultCode</name><value><string>Client</string></value></member>"+
			"<member><name>faultString</name><value>no</value></member></struct></value></fault></methodResponse>"),
			apierror.TrackerFault, apierror.TrackerFault, "Fault Client: no"},
	}
}

func TestEveryCallOnEveryMisbehaviourIsAnErrorThatSaysSo(t *testing.T) {
	for name, m := range misbehaviours(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tracpeer.New(t)
			p.Put(1, tracpeer.Ticket{Status: "new"})
			good := tracpeer.New(t)
			good.Put(1, tracpeer.Ticket{Status: "new"})
			limit := bridge.DefaultTimeLimit
			if m.read == apierror.TrackerTimeout {
				limit = slowLimit
			}
			b := open(t, []bridge.Config{tracker("t", p.URL()), tracker("good", good.URL())}, newTokens(),
				bridge.WithTimeLimit(limit), bridge.WithMaxAnswer(1<<20), bridge.WithConnections(len(calls)), unbroken)
			if err := b.Retry(t.Context(), "t"); err != nil { // there is a session
				t.Fatal(err)
			}
			p.Before(func(w http.ResponseWriter, r *http.Request, _ string) bool {
				m.answer(w, r)
				return true
			})
			var wg sync.WaitGroup
			for _, c := range calls {
				want := m.read
				if c.write {
					want = m.write
				}
				wg.Go(func() {
					err := c.call(t.Context(), b)
					if !apierror.Is(err, want) || !strings.Contains(apierror.From(err).FaultString(), m.detail) {
						t.Errorf("%s: %v, want %s with %q", c.name, err, want, m.detail)
					}
					if err != nil && strings.Contains(err.Error(), "://") {
						t.Errorf("%s: the error holds a URL: %v", c.name, err)
					}
				})
			}
			wg.Wait()
			if _, err := b.GetBugs(t.Context(), "good", []string{"1"}, bridge.LevelFull); err != nil {
				t.Errorf("the other tracker: %v", err)
			}
			p.Before(nil)
			if _, err := b.GetBugs(t.Context(), "t", []string{"1"}, bridge.LevelFull); err != nil {
				t.Errorf("when it behaves again: %v", err)
			}
		})
	}
}

func TestMisbehaviourInPlaceOfALogInIsAnErrorThatSaysSo(t *testing.T) {
	for name, m := range misbehaviours(t) {
		if name == "a fault" || name == "a fault with a word for a code" || name == "nothing" {
			continue // pages like any other
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tracpeer.New(t)
			p.Put(1, tracpeer.Ticket{Status: "new"})
			limit := bridge.DefaultTimeLimit
			if m.read == apierror.TrackerTimeout {
				limit = slowLimit
			}
			minter := newTokens()
			b := open(t, []bridge.Config{tracker("t", p.URL())}, minter, bridge.WithTimeLimit(limit), unbroken)
			p.Before(func(w http.ResponseWriter, r *http.Request, method string) bool {
				if method == "" {
					m.answer(w, r)
				}
				return method == ""
			})
			var wg sync.WaitGroup
			for _, c := range calls {
				wg.Go(func() {
					if err := c.call(t.Context(), b); !apierror.Is(err, m.read) {
						t.Errorf("%s: %v, want %s: nothing was sent yet", c.name, err, m.read)
					}
				})
			}
			wg.Wait()
			if s := b.List()[0].Session; s == bridge.SessionBackoff || s == bridge.SessionLive {
				t.Errorf("session %s", s)
			}
			b.Close() // waits for log-ins that outlast their callers
			if minter.left() != 0 {
				t.Errorf("%d tokens are left", minter.left())
			}
		})
	}
}
