package hook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/hook"
	"github.com/trackgate/trackgate/internal/redistest"
)

func TestMain(m *testing.M) {
	redistest.Quiet()
	goleak.VerifyTestMain(m)
}

// The addresses of httptest's requests.
var testCaller = netip.MustParseAddr("192.0.2.1")

// clock is a clock that stands still until it is told to go on.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// rig is a gateway's hooks on a store in a file.
type rig struct {
	tb      testing.TB
	path    string
	store   *boltstore.Store
	feed    feed.Store
	trail   *audit.Trail
	tokens  *hook.Tokens
	handler *hook.Handler
	clock   *clock
	logs    *lockedBuffer

	mu     sync.Mutex
	events []hook.Event
	failed int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(tb testing.TB, specs ...hook.Spec) *rig {
	tb.Helper()
	var hooks []*hook.Hook
	for _, s := range specs {
		hooks = append(hooks, must(tb)(hook.Declare(s)))
	}
	return newRigOf(tb, hooks)
}

func newRigOf(tb testing.TB, hooks []*hook.Hook, opts ...hook.HandlerOption) *rig {
	tb.Helper()
	g := &rig{tb: tb, path: filepath.Join(tb.TempDir(), "tokens.db"), logs: &lockedBuffer{}}
	g.clock = &clock{at: time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)}
	logger := slog.New(slog.NewTextHandler(g.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if g.store, err = boltstore.Open(g.path, boltstore.WithClock(g.clock.now), boltstore.WithLogger(logger)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.store.Close() })
	g.feed = g.store.Feed()
	if g.trail, err = audit.Open(context.Background(), g.store.Trail(), audit.WithClock(g.clock.now), audit.WithLogger(logger), audit.WithCallers(1<<20, 1<<20)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = g.trail.Close(context.Background()) })
	g.tokens = hook.NewTokens(g.store.State(), hook.WithTokensClock(g.clock.now), hook.WithTokensTrail(g.trail))
	tb.Cleanup(g.tokens.Close)
	log := hook.NewLogObserver(logger)
	observer := hook.ObserverFunc(func(ctx context.Context, e hook.Event) {
		log.Observe(ctx, e)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.events = append(g.events, e)
	})
	opts = append([]hook.HandlerOption{hook.WithTrail(g.trail), hook.WithClock(g.clock.now), hook.WithObserver(observer), hook.WithAdmission(g)}, opts...)
	if g.handler, err = hook.NewHandler(g.store, g.tokens, hooks, opts...); err != nil {
		tb.Fatal(err)
	}
	return g
}

// The rig is its own admission: it admits all and counts failures.
func (*rig) Admit(*http.Request, http.Header) error { return nil }

func (g *rig) Failed(*http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed++
}

var (
	_ handshake.Admission = (*rig)(nil)
	_ hook.Backend        = (*boltstore.Store)(nil)
)

func must(tb testing.TB) func(*hook.Hook, error) *hook.Hook {
	return func(h *hook.Hook, err error) *hook.Hook {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return h
	}
}

// token creates the token of a hook.
func (g *rig) token(name string) string {
	g.tb.Helper()
	text, _, err := g.tokens.Create(context.Background(), name, 0)
	if err != nil {
		g.tb.Fatal(err)
	}
	return text
}

// answer is what a sender got.
type answer struct {
	status int
	header http.Header
	body   string
	// Of the body.
	Status  string         `json:"status"`
	After   string         `json:"after"`
	Ignored int            `json:"ignored"`
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Extra   map[string]any `json:"extra"`
	List    []struct {
		Code, Message string
		Extra         map[string]any
	} `json:"error_list"`
}

func (a *answer) at(field string) string {
	texts, _ := a.Extra[field].([]any)
	var all []string
	for _, text := range texts {
		all = append(all, text.(string))
	}
	return strings.Join(all, " ")
}

func (a *answer) detail() string {
	detail, _ := a.Extra["detail"].(string)
	return detail
}

type header map[string]string

func (g *rig) request(name, contentType, body string, headers ...header) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/"+name, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for _, h := range headers {
		for key, value := range h {
			r.Header.Add(key, value)
		}
	}
	return r
}

const formType, jsonType = "application/x-www-form-urlencoded", "application/json"

func (g *rig) form(name, body string, headers ...header) *answer {
	g.tb.Helper()
	return g.do(g.request(name, formType, body, headers...))
}

func (g *rig) json(name, body string, headers ...header) *answer {
	g.tb.Helper()
	return g.do(g.request(name, jsonType, body, headers...))
}

// do makes a request, and checks what must hold of every answer.
func (g *rig) do(r *http.Request) *answer {
	g.tb.Helper()
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	res := w.Result()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.tb.Fatal(err)
	}
	return check(g.tb, res, text)
}

var normalised = []string{
	"account-not-ready", "bad-request", "internal-server-error", "invalid-data", "invalid-credentials",
	"invalid-request", "permission-required", "field-required", "resource-not-found", "resource-not-ready",
}

func check(tb testing.TB, res *http.Response, text []byte) *answer {
	tb.Helper()
	a := &answer{status: res.StatusCode, header: res.Header, body: string(text)}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Vary": "Accept", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := res.Header.Values(name); len(got) != 1 || got[0] != want {
			tb.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if err := json.Unmarshal(text, a); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	if a.status == http.StatusOK {
		if a.Status != "ok" || a.Code != "" {
			tb.Errorf("200 with %s", text)
		}
		return a
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(text, &fields)
	if len(fields) != 4 || a.Code == "" || a.Message == "" || a.Extra == nil || len(a.List) == 0 || !slices.Contains(normalised, a.List[0].Code) {
		tb.Errorf("%d with %s", a.status, text)
	}
	return a
}

func (a *answer) want(tb testing.TB, what string, status int, code string) {
	tb.Helper()
	if a.status != status || a.Code != code {
		tb.Errorf("%s: %d %s, want %d %s", what, a.status, a.body, status, code)
	}
}

// stored returns the events of the feed.
func (g *rig) stored() []feed.Event {
	g.tb.Helper()
	page, err := g.feed.Read(context.Background(), "", feed.MaxPage)
	if err != nil {
		g.tb.Fatal(err)
	}
	return page.Events
}

// recorded returns the entries of the trail about failed authentication.
func (g *rig) recorded() []audit.Listed {
	g.tb.Helper()
	page, err := audit.List(context.Background(), g.store.Trail(), audit.Filter{}, "", 1000)
	if err != nil {
		g.tb.Fatal(err)
	}
	return slices.DeleteFunc(page.Entries, func(e audit.Listed) bool {
		return e.Subsystem != audit.SubsystemHook || e.Code != audit.HookAuthentication
	})
}

// multipart writes a multipart body of parts that are written out.
func multipart(boundary string, parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("--" + boundary + "\r\n" + part + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

func part(name, value string) string {
	return "Content-Disposition: " + mime.FormatMediaType("form-data", map[string]string{"name": name}) + "\r\n\r\n" + value
}

// bugHook takes all types that there are.
func bugHook() hook.Spec {
	return hook.Spec{
		Name: "bugs",
		Fields: []hook.Field{
			{Name: "token", Title: "Token", Type: hook.TypeToken},
			{Name: "bug", Required: true, Type: hook.TypeInteger, From: "issue.number"},
			{Name: "text", MaxLength: 10},
			{Name: "open", Type: hook.TypeBoolean},
			{Name: "when", Type: hook.TypeDateTime},
			{Name: "link", Type: hook.TypeURL},
			{Name: "more", Type: hook.TypeJSON},
			{Name: "kind"},
			{Name: "tracker"},
		},
		Accept:   []hook.Method{hook.MethodField, hook.MethodBearer},
		BugField: "bug", KindField: "kind", TrackerField: "tracker", Kind: "changed",
	}
}
