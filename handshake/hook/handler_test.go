package hook_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/hook"
)

func TestAnAcceptedRequestBecomesTheSameEventHoweverItIsWritten(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	const want = `{"bug":7,"kind":"bug.closed","link":"https://example.org/7","more":{"a":[1,2]},"open":false,` +
		`"text":"für <dich>","tracker":"gnome","when":"2026-01-02T03:04:05Z"}`
	const values = "&bug=7&text=f%C3%BCr+%3Cdich%3E&open=no&when=2026-01-02T04:04:05%2B01:00&link=https://example.org/7" +
		"&more=%7B%22a%22%3A+%5B1,+2%5D%7D&kind=bug.closed&tracker=gnome&strange=x"
	for name, r := range map[string]*http.Request{
		"a form":          g.request("bugs", formType, "token="+token+values),
		"a form, Latin 1": g.request("bugs", formType+"; charset=ISO-8859-1", "token="+token+strings.Replace(values, "%C3%BC", "%FC", 1)),
		"JSON": g.request("bugs", jsonType, `{"token":"`+token+`","issue":{"number":7,"title":"x"},"text":"für <dich>","open":false,`+
			`"when":1767323045,"link":"https://example.org/7","more":{"a":[1, 2]},"kind":"bug.closed","tracker":"gnome","strange":null}`),
		"JSON of words": g.request("bugs", "application/vnd.x+json; charset=utf-8", `{"token":"`+token+`","issue":{"number":"7"},"text":"f\u00fcr \u003cdich>","open":"off",`+
			`"when":"2026-01-02T03:04:05","link":"https://example.org/7","more":{"a":[1,2]},"kind":"bug.closed","tracker":"gnome","strange":{}}`),
		"multipart": g.request("bugs", "multipart/form-data; boundary=b", multipart("b", part("token", token), part("bug", "7"),
			"Content-Disposition: form-data; name=text\r\nContent-Type: text/plain; charset=windows-1252\r\n\r\nf\xfcr <dich>",
			part("open", "false"), part("when", "2026-01-02T03:04:05Z"), part("link", "https://example.org/7"), part("more", `{"a":[1,2]}`),
			part("kind", "bug.closed"), part("tracker", "gnome"), part("strange", "x"))),
	} {
		a := g.do(r)
		a.want(t, name, 200, "")
		events := g.stored()
		last := events[len(events)-1]
		if string(last.Data) != want {
			t.Errorf("%s: data are\n%s, want\n%s", name, last.Data, want)
		}
		if last.Source != "hook:bugs" || last.Kind != "bug.closed" || last.Tracker != "gnome" || last.Bug != "7" || !last.Time.Equal(g.clock.now()) {
			t.Errorf("%s: %+v", name, last)
		}
		if a.After != last.After || a.After == "" || a.Ignored != 1 {
			t.Errorf("%s: %s, and the event is at %q", name, a.body, last.After)
		}
	}
	if len(g.recorded()) != 0 || g.failed != 0 {
		t.Error("accepted requests were recorded as failures")
	}
	if last := g.events[len(g.events)-1]; last.Outcome != hook.Accepted || last.Hook != "bugs" || last.Ignored != 1 || last.Caller != testCaller {
		t.Errorf("observed %+v", last)
	}
}

func TestTheErrorsOfAllFieldsComeAtOnce(t *testing.T) {
	g := newRig(t, bugHook())
	token := g.token("bugs")
	const values = "&bug=x7&text=12345678901&open=perhaps&when=yesterday&link=javascript:alert(1)&more=%7B&kind=a%0Ab&tracker=gnome"
	for _, test := range []struct {
		name, token string
		status      int
		code, text  string
	}{
		{"a right token", token, 400, "INVALID_DATA", ""},
		{"no token", "", 400, "INVALID_DATA", "This is required: the request does not prove who sent it."},
		{"a token of two lines", token + "%0A", 400, "INVALID_DATA", "This must be one line of ASCII characters."},
		{"a token that is not ASCII", token + "%C3%BC", 400, "INVALID_DATA", "This must be one line of ASCII characters."},
		{"a token that is too long", strings.Repeat("x", 257), 400, "INVALID_DATA", "This is longer than 256 characters."},
		{"a wrong token", "wrong", 403, "TOKEN_MISMATCH", "The token does not match."},
	} {
		before := len(g.recorded())
		a := g.form("bugs", "token="+test.token+values)
		a.want(t, test.name, test.status, test.code)
		for field, want := range map[string]string{
			"token": test.text,
			"bug":   "This must be a whole number of 64 bits.",
			"text":  "This is longer than 10 characters.",
			"open":  "This must be true or false.",
			"when":  "This must be a time as in 2006-01-02T15:04:05Z, or the seconds since 1970.",
			"link":  "This must be an absolute address of http or https without a user.",
			"more":  "This must be a JSON value.",
			"kind":  "This must be one line without control characters.",
		} {
			if a.at(field) != want {
				t.Errorf("%s: %s is %q, want %q", test.name, field, a.at(field), want)
			}
		}
		if _, ok := a.Extra["tracker"]; ok {
			t.Errorf("%s: the field that is right has an error: %s", test.name, a.body)
		}
		recorded := len(g.recorded()) - before
		if mismatch := test.code == "TOKEN_MISMATCH"; mismatch != (recorded == 1) || recorded > 1 {
			t.Errorf("%s: %d entries in the trail", test.name, recorded)
		}
	}
	if g.failed != 1 {
		t.Errorf("the throttle was told of %d failures, want 1", g.failed)
	}
	if events := g.stored(); len(events) != 0 {
		t.Errorf("%d events", len(events))
	}
}

func TestAMismatchIsRecordedAsItHappened(t *testing.T) {
	g := newRig(t, bugHook())
	_, fingerprint, err := g.tokens.Create(context.Background(), "bugs", 0)
	if err != nil {
		t.Fatal(err)
	}
	g.form("bugs", "token=wrong&bug=1", header{"Authorization": "Bearer wrong too"})
	entries := g.recorded()
	if len(entries) != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	want := audit.Entry{
		Time: g.clock.now(), Subsystem: audit.SubsystemHook, Code: 1, Outcome: audit.Refused, Reason: "mismatch", Caller: testCaller,
		Listener: "public", Route: "/hooks/{name}", Subject: fingerprint.String(), Name: "bugs", Detail: "field bearer",
	}
	got := entries[0].Entry
	got.Time = got.Time.UTC()
	if got != want {
		t.Errorf("recorded\n%+v, want\n%+v", got, want)
	}
}

func TestAMismatchThatCannotBeRecordedIsRefusedByTheTrail(t *testing.T) {
	g := newRig(t, bugHook())
	g.token("bugs")
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "trail.db")) // the rig's has a chain already
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	trail, err := audit.Open(context.Background(), brokenTrail{store.Trail()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = trail.Close(context.Background()) }()
	handler, err := hook.NewHandler(g.store, g.tokens, []*hook.Hook{must(t)(hook.Declare(bugHook()))}, hook.WithTrail(trail))
	if err != nil {
		t.Fatal(err)
	}
	g.handler = handler
	a := g.form("bugs", "token=wrong&bug=1")
	a.want(t, "a mismatch", 503, "STORE_UNAVAILABLE")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	g.form("bugs", "bug=1").want(t, "an ordinary error", 400, "INVALID_DATA")
}

type brokenTrail struct{ audit.Store }

func (b brokenTrail) Append(ctx context.Context, entries ...audit.Entry) error {
	for _, e := range entries {
		if e.Subsystem == audit.SubsystemHook {
			return errors.New("disk full")
		}
	}
	return b.Store.Append(ctx, entries...)
}

func TestASenderThatHangsUpIsRecordedAllTheSame(t *testing.T) {
	g := newRig(t, bugHook())
	g.token("bugs")
	ctx, cancel := context.WithCancel(context.Background())
	r := g.request("bugs", formType, "token=wrong&bug=1")
	store := &cancellingState{StateStore: g.store.State(), cancel: cancel}
	handler, err := hook.NewHandler(g.store, hook.NewTokens(store), []*hook.Hook{must(t)(hook.Declare(bugHook()))}, hook.WithTrail(g.trail))
	if err != nil {
		t.Fatal(err)
	}
	handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx))
	if ctx.Err() == nil || len(g.recorded()) != 1 {
		t.Errorf("%d entries", len(g.recorded()))
	}
}

// cancellingState is a sender that goes while the store is read.
type cancellingState struct {
	handshake.StateStore
	cancel func()
}

func (s *cancellingState) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.StateStore.Get(context.WithoutCancel(ctx), key)
	s.cancel()
	return value, err
}

func TestOtherRequestsAreAnsweredByTheCatalogue(t *testing.T) {
	g := newRig(t, bugHook())
	for _, target := range []string{"/hooks/", "/hooks/nobody", "/hooks/bugs/", "/hooks/bugs/x", "/hooks/Bugs", "/hooks//bugs", "/bugs", "/hooks/bugs%00", "/hooks/..%2Fhooks%2Fbugs", "/hooks%2Fbugs", "/%68ooks/bugs"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			g.do(httptest.NewRequest(method, target, nil)).want(t, method+" "+target, 404, "RESOURCE_NOT_FOUND")
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "FROBNICATE", "post"} {
		a := g.do(httptest.NewRequest(method, "/hooks/bugs", nil))
		a.want(t, method, 405, "METHOD_NOT_ALLOWED")
		if a.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", method, a.header.Get("Allow"))
		}
	}
	for _, e := range g.events {
		if e.Hook != "" && e.Hook != "bugs" {
			t.Errorf("observed a hook called %q, which was made up by the sender", e.Hook)
		}
	}
}

func TestTheThrottleIsAskedBeforeTheBodyIsRead(t *testing.T) {
	h := must(t)(hook.Declare(bugHook()))
	g := newRigOf(t, []*hook.Hook{h}, hook.WithAdmission(closed{}))
	for _, name := range []string{"bugs", "nobody"} {
		r := g.request(name, formType, "")
		r.Body = unreadable{t}
		a := g.do(r)
		a.want(t, name, 429, "TOO_MANY_REQUESTS")
		if a.header.Get("RateLimit") != "x" {
			t.Errorf("%s: the throttle's header is not in the answer", name)
		}
	}
}

type closed struct{}

func (closed) Admit(_ *http.Request, h http.Header) error {
	h.Set("RateLimit", "x")
	return apierror.New(apierror.TooManyRequests)
}
func (closed) Failed(*http.Request) {}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("unreadable")
}
func (unreadable) Close() error { return nil }

func TestAStoreThatFailsIsNotAnAnswerOf200(t *testing.T) {
	g := newRig(t, bugHook())
	body := "token=" + g.token("bugs") + "&bug=1"
	h := []*hook.Hook{must(t)(hook.Declare(bugHook()))}
	for name, store := range map[string]struct {
		backend hook.Backend
		tokens  *hook.Tokens
	}{
		"the feed":   {brokenFeed{g.store}, g.tokens},
		"the tokens": {g.store, hook.NewTokens(brokenState{})},
	} {
		handler, err := hook.NewHandler(store.backend, store.tokens, h)
		if err != nil {
			t.Fatal(err)
		}
		g.handler = handler
		a := g.form("bugs", body)
		a.want(t, name, 503, "STORE_UNAVAILABLE")
		if a.header.Get("Retry-After") != "2" {
			t.Errorf("%s: Retry-After is %q", name, a.header.Get("Retry-After"))
		}
		if strings.Contains(a.body, "disk") {
			t.Errorf("%s: the answer tells what is the gateway's: %s", name, a.body)
		}
		store.tokens.Close()
	}
}

type brokenFeed struct{ hook.Backend }

func (b brokenFeed) Feed() feed.Store { return failingFeed{b.Backend.Feed()} }

type failingFeed struct{ feed.Store }

func (failingFeed) Append(context.Context, ...feed.New) ([]string, error) {
	return nil, errors.New("disk full")
}

type brokenState struct{ handshake.StateStore }

func (brokenState) Get(context.Context, string) ([]byte, error) { return nil, errors.New("disk full") }
