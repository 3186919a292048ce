package handshake_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/handshake"
)

const (
	okText      = "Handshake token validated."
	okJSON      = `{"status": "validated"}`
	invalidText = "Token has already been used or is invalid."
	invalidJSON = `{"code":"TOKEN_INVALID","message":"Token has already been used or is invalid.","extra":{},` +
		`"error_list":[{"code":"resource-not-found","message":"Token has already been used or is invalid."}]}`
	methodText = "Only POST requests are accepted for bugtracker handshakes."
	methodJSON = `{"code":"METHOD_NOT_ALLOWED","message":"Only POST requests are accepted for bugtracker handshakes.","extra":{},` +
		`"error_list":[{"code":"bad-request","message":"Only POST requests are accepted for bugtracker handshakes."}]}`
)

// serve starts a server with nothing but the callback.
func serve(t *testing.T, g *gateway, opts ...handshake.HandlerOption) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handshake.NewHandler(g.Authority, opts...))
	t.Cleanup(server.Close)
	return server
}

// answer is what a caller got.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request whose target is sent as it is written.
func send(t *testing.T, server *httptest.Server, method, target, accept string, body io.Reader) answer {
	t.Helper()
	request, err := http.NewRequest(method, server.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = target
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := server.Client().Transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (a answer) want(t *testing.T, what string, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("%s: %d %q, want %d %q", what, a.status, a.body, status, body)
	}
	contentType := "text/plain; charset=utf-8"
	if strings.HasPrefix(body, "{") {
		contentType = "application/json; charset=utf-8"
	}
	for name, value := range map[string]string{"Content-Type": contentType, "Vary": "Accept", "Cache-Control": "no-store"} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
}

func TestTheCallbackAnswersByteForByte(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	for _, form := range []struct{ accept, ok, invalid, method string }{
		{"", okText, invalidText, methodText},
		{"*/*", okText, invalidText, methodText},
		{"application/json", okJSON, invalidJSON, methodJSON},
	} {
		for _, path := range []string{"/token/TOKEN/+bugtracker-handshake", "/tokens/TOKEN/+bugtracker-handshake", "/token/TOKEN/%2Bbugtracker-handshake", "/tokens/TOKEN/+bugtracker-handshake?a=b"} {
			target := strings.Replace(path, "TOKEN", g.mint(t, handshake.BugTracker, ""), 1)
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "FROBNICATE"} {
				got := send(t, server, method, target, form.accept, nil)
				got.want(t, method, 405, form.method)
				if got.header.Get("Allow") != "POST" {
					t.Errorf("%s: Allow is %q", method, got.header.Get("Allow"))
				}
			}
			head := send(t, server, http.MethodHead, target, form.accept, nil)
			if head.status != 405 || head.body != "" || head.header.Get("Allow") != "POST" {
				t.Errorf("HEAD: %+v", head)
			}
			got := send(t, server, http.MethodPost, target, form.accept, nil)
			got.want(t, "first POST", 200, form.ok)
			send(t, server, http.MethodPost, target, form.accept, nil).want(t, "second POST", 410, form.invalid)
			send(t, server, http.MethodGet, target, form.accept, nil).want(t, "GET of a used token", 405, form.method)
		}
	}
}

func TestAnInvalidTokenIsGoneHoweverItIsWritten(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	live := g.mint(t, handshake.BugTracker, "")
	other := g.mint(t, otherKind, "")
	never := g.mint(t, handshake.BugTracker, "")
	never = never[:31] + string('a'+(never[31]+1)%26)
	tokens := []string{
		"check", "../+index", "..%2F%2Bindex", "%2e%2e%2f%2bindex", "..%252F%252Bindex", "..", ".", "%2F", "//", "", "%", "%zz", "a%00b",
		strings.Repeat("a", 8000), "+index", "../../metrics", live + "x", live[1:], "/" + live, live + "/", live + "%20", live + "%00", live + "/..", other, never,
	}
	for _, token := range tokens {
		for _, root := range []string{"", "/for/trac", "/for/nobody", "/for/", "/for/..", "/for/%2e%2e"} {
			target := root + "/token/" + token + "/+bugtracker-handshake"
			if _, err := http.NewRequest(http.MethodPost, server.URL+target, nil); err != nil {
				continue // net/http itself refuses what is no path
			}
			send(t, server, http.MethodPost, target, "", nil).want(t, target, 410, invalidText)
		}
	}
	for _, root := range []string{"/for/nobody", "/for/", "/for/TRAC"} {
		send(t, server, http.MethodPost, root+"/token/"+live+"/+bugtracker-handshake", "", nil).want(t, root, 410, invalidText)
	}
	send(t, server, http.MethodPost, "/token/"+live+"/+bugtracker-handshake", "", nil).want(t, "the live token at last", 200, okText)
}

func TestNoOtherPathIsAnswered(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	token := g.mint(t, handshake.BugTracker, "")
	for _, target := range []string{"/", "/token/" + token, "/token/" + token + "/+bugtracker-handshake/", "/token/" + token + "/+other", "/hooks/x", "/for/trac/hooks/x"} {
		got := send(t, server, http.MethodPost, target, "", nil)
		got.want(t, target, 404, "The resource requested was not found.")
		request := httptest.NewRequest(http.MethodPost, target, nil)
		if handshake.Match(request) {
			t.Errorf("%s matches", target)
		}
	}
}

func TestTheCallbackOfATrackersOwnRoot(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	token := g.mint(t, handshake.BugTracker, "kde")
	common, own := handshake.CallbackPath("", token), handshake.CallbackPath("kde", token)
	send(t, server, http.MethodPost, common, "", nil).want(t, "common root", 410, invalidText)
	send(t, server, http.MethodPost, handshake.CallbackPath("trac", token), "", nil).want(t, "another's root", 410, invalidText)
	send(t, server, http.MethodGet, own, "", nil).want(t, "GET", 405, methodText)
	send(t, server, http.MethodPost, own, "", nil).want(t, "its own root", 200, okText)
	send(t, server, http.MethodPost, own, "", nil).want(t, "again", 410, invalidText)
}

func TestTheBodyIsIgnored(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	for name, body := range map[string]string{
		"none": "", "a form": "a=b", "XML": "<methodCall/>", "10 MB": strings.Repeat("x", 10<<20),
	} {
		target := handshake.CallbackPath("", g.mint(t, handshake.BugTracker, ""))
		request := httptest.NewRequest(http.MethodPost, target, unreadable{t})
		request.ContentLength = int64(len(body))
		recorder := httptest.NewRecorder()
		handshake.NewHandler(g.Authority).ServeHTTP(recorder, request)
		if recorder.Code != 200 {
			t.Errorf("%s: %d", name, recorder.Code)
		}
	}
	target := handshake.CallbackPath("", g.mint(t, handshake.BugTracker, ""))
	send(t, server, http.MethodPost, target, "", strings.NewReader("token=abc&x=%zz")).want(t, "a broken form", 200, okText)
}

// unreadable is a body that must not be read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestOfManyCallbacksOneIsAnswered200(t *testing.T) {
	const callbacks = 1000
	g := newGateway(t)
	handler := handshake.NewHandler(g.Authority)
	target := handshake.CallbackPath("", g.mint(t, handshake.BugTracker, ""))
	var ok, gone atomic.Int32
	var group sync.WaitGroup
	for range callbacks {
		group.Go(func() {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, target, nil))
			switch recorder.Code {
			case 200:
				ok.Add(1)
			case 410:
				gone.Add(1)
			}
		})
	}
	group.Wait()
	if ok.Load() != 1 || gone.Load() != callbacks-1 {
		t.Errorf("%d answers 200 and %d answers 410", ok.Load(), gone.Load())
	}
}

// gate is an admission that refuses when it is told to, and counts failures.
type gate struct {
	refuse error
	failed int
	asked  int
}

func (g *gate) Admit(_ *http.Request, h http.Header) error {
	g.asked++
	h.Set("RateLimit", "told by the gate")
	return g.refuse
}

func (g *gate) Failed(*http.Request) { g.failed++ }

func TestTheAdmissionIsAskedFirstAndToldOfFailures(t *testing.T) {
	g := newGateway(t)
	gate := &gate{}
	server := serve(t, g, handshake.WithAdmission(gate), handshake.WithCaller(func(*http.Request) netip.Addr { return anyone }))
	token := g.mint(t, handshake.BugTracker, "")
	target := handshake.CallbackPath("", token)
	id, _ := handshake.ParseToken(token)
	g.told()

	gate.refuse = apierror.New(apierror.TooManyRequests).WithRetryAfter(7 * time.Second)
	got := send(t, server, http.MethodPost, target, "", nil)
	got.want(t, "refused", 429, "Too many requests. Please try again later.")
	if got.header.Get("Retry-After") != "7" {
		t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
	}
	if events := g.told(); len(events) != 1 || events[0].Reason != handshake.ReasonNotAdmitted || events[0].Fingerprint != id.Fingerprint() || events[0].Caller != anyone {
		t.Errorf("the events are %+v", events)
	}
	send(t, server, http.MethodGet, target, "", nil).want(t, "GET", 405, methodText)
	if gate.asked != 1 || gate.failed != 0 {
		t.Errorf("asked %d times, told of %d failures", gate.asked, gate.failed)
	}
	gate.refuse = nil
	send(t, server, http.MethodPost, handshake.CallbackPath("", "check"), "", nil).want(t, "probe", 410, invalidText)
	send(t, server, http.MethodPost, handshake.CallbackPath("trac", "check"), "application/json", nil).want(t, "probe", 410, invalidJSON)
	got = send(t, server, http.MethodPost, target, "", nil)
	got.want(t, "admitted", 200, okText)
	if got.header.Get("RateLimit") != "told by the gate" {
		t.Error("the headers of the admission are not on the answer")
	}
	if gate.failed != 0 {
		t.Errorf("told of %d failures", gate.failed)
	}
	send(t, server, http.MethodPost, target, "", nil).want(t, "again", 410, invalidText)
	send(t, server, http.MethodPost, "/token/x/+bugtracker-handshake", "", nil).want(t, "malformed", 410, invalidText)
	send(t, server, http.MethodPost, handshake.CallbackPath("nobody", token), "", nil).want(t, "unknown root", 410, invalidText)
	if gate.failed != 3 {
		t.Errorf("told of %d failures, want 3", gate.failed)
	}
	types := map[handshake.EventType]int{}
	for _, event := range g.told() {
		types[event.Type]++
	}
	if types[handshake.EventProbe] != 2 || types[handshake.EventConsumed] != 1 || types[handshake.EventRefused] != 4 {
		t.Errorf("the events are %v", types)
	}
}

func TestAFailedStoreIsAnswered503AndIsNoFailedHandshake(t *testing.T) {
	g := newGateway(t)
	gate := &gate{}
	server := serve(t, g, handshake.WithAdmission(gate))
	target := handshake.CallbackPath("", g.mint(t, handshake.BugTracker, ""))
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	got := send(t, server, http.MethodPost, target, "", nil)
	got.want(t, "text", 503, "The token store does not answer. Please try again later.")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	got = send(t, server, http.MethodPost, target, "application/json", nil)
	if got.status != 503 || !strings.HasPrefix(got.body, `{"code":"STORE_UNAVAILABLE"`) || strings.Contains(got.body, "closed") {
		t.Errorf("JSON: %d %s", got.status, got.body)
	}
	if gate.failed != 0 {
		t.Errorf("told of %d failures", gate.failed)
	}
}

func TestTheCallerIsThePeerUnlessSaidOtherwise(t *testing.T) {
	g := newGateway(t)
	server := serve(t, g)
	send(t, server, http.MethodPost, handshake.CallbackPath("", "check"), "", nil)
	host, _, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if events := g.told(); len(events) != 1 || events[0].Caller != netip.MustParseAddr(host) {
		t.Errorf("the events are %+v", events)
	}
}

func TestEveryEventIsALineWithoutTheToken(t *testing.T) {
	var out bytes.Buffer
	g := newGateway(t, handshake.WithObserver(handshake.NewLogObserver(slog.New(slog.NewTextHandler(&out, nil)))))
	server := serve(t, g, handshake.WithAdmission(&gate{}))
	token, revoked := g.mint(t, handshake.BugTracker, "trac"), g.mint(t, handshake.BugTracker, "")
	id, _ := handshake.ParseToken(token)
	for _, path := range []string{
		handshake.CallbackPath("kde", token), handshake.CallbackPath(strings.Repeat("long", 100), token), handshake.CallbackPath("", "check"),
		handshake.CallbackPath("trac", token), handshake.CallbackPath("", token), handshake.CallbackPath("", token+"x"),
	} {
		send(t, server, http.MethodPost, path, "", nil)
	}
	if _, _, err := g.Revoke(t.Context(), revoked); err != nil {
		t.Fatal(err)
	}
	g.wait(time.Second)
	g.Observe(t.Context(), handshake.Event{})
	logger := handshake.NewLogObserver(slog.New(slog.NewTextHandler(&out, nil)))
	logger.Observe(t.Context(), handshake.Event{Type: handshake.EventRefused, Reason: handshake.ReasonStore, Err: errors.New("no space left")})
	text := out.String()
	for _, secret := range []string{token, revoked} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds a token:\n%s", text)
		}
	}
	for _, want := range []string{
		`level=INFO msg="token minted" token=` + id.Fingerprint().String() + ` kind=BUGTRACKER tracker=trac`,
		`level=WARN msg="token refused" token=` + id.Fingerprint().String() + ` kind=BUGTRACKER tracker=trac root=kde caller=127.0.0.1 reason=wrong_tracker`,
		`level=INFO msg="token consumed" token=` + id.Fingerprint().String(),
		`level=INFO msg="token probe"`, `level=INFO msg="token revoked"`, `reason=malformed`, `reason=unknown_root`, `reason=used`,
		`level=ERROR msg="token refused" reason=store_unavailable error="no space left"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %q:\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 400 {
			t.Errorf("a line has %d characters", len(line))
		}
	}
}
