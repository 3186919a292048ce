package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

const (
	timeCall = `<?xml version='1.0'?><methodCall><methodName>launchpad.time_snapshot</methodName></methodCall>`
	// commentCall is a call that leaves a trace in the ledger when it was executed.
	commentCall = `<?xml version='1.0'?><methodCall><methodName>launchpad.add_comment</methodName><params>` +
		`<param><value>2</value></param><param><value>Hello.</value></param></params></methodCall>`
)

// tracVisitor talks to a tracker peer as a plain HTTP client does: no redirects, no retries.
type tracVisitor struct {
	peer   *tracPeer
	client *http.Client
	cookie string
}

func newTracVisitor(peer *tracPeer) *tracVisitor {
	return &tracVisitor{peer: peer, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// logIn uses a token and keeps the cookie that it gets, if any. It returns the status.
func (v *tracVisitor) logIn(t *testing.T, token string) int {
	t.Helper()
	response, err := v.client.Get(v.peer.URL + "/launchpad-auth/" + token)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for _, cookie := range response.Cookies() {
		if cookie.Name == "trac_auth" {
			v.cookie = cookie.Value
		}
	}
	return response.StatusCode
}

// tracAnswer is what came back of a call, also when reading it failed half-way.
type tracAnswer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (v *tracVisitor) call(ctx context.Context, document string) tracAnswer {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.peer.URL+"/xmlrpc", strings.NewReader(document))
	if err != nil {
		return tracAnswer{err: err}
	}
	request.Header.Set("Content-Type", "text/xml")
	if v.cookie != "" {
		request.AddCookie(&http.Cookie{Name: "trac_auth", Value: v.cookie})
	}
	response, err := v.client.Do(request)
	if err != nil {
		return tracAnswer{err: err}
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = io.Copy(&body, response.Body)
	return tracAnswer{response.StatusCode, response.Header, body.String(), err}
}

// startLoggedInPeer starts a peer behind the stand-in authority, and a visitor who is logged in.
func startLoggedInPeer(t *testing.T) (*tracPeer, *tokenAuthority, *tracVisitor) {
	t.Helper()
	authority := startTokenAuthority(t)
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: authority.URL})
	visitor := newTracVisitor(peer)
	if status := visitor.logIn(t, "goodFirst"); status != http.StatusOK || visitor.cookie == "" {
		t.Fatalf("log-in answered %d with cookie %q", status, visitor.cookie)
	}
	authority.Requests()
	return peer, authority, visitor
}

// wrong says why an answer is not that of an honest tracker, or "".
func (a tracAnswer) wrong() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.status != http.StatusOK:
		return http.StatusText(a.status)
	case !strings.HasSuffix(a.body, "</methodResponse>\n"):
		return "the document is not whole"
	}
	return ""
}

func TestTracPeerMisbehavesOnDemand(t *testing.T) {
	peer, _, visitor := startLoggedInPeer(t)
	const mebibyte = 1 << 20
	tests := []struct {
		name    string
		kind    string
		with    map[string]any
		written int // comments that the call left behind
		check   func(tracAnswer) bool
	}{
		{"a length that is too long ends early", "wrong_length", map[string]any{"delta": 7}, 1, func(a tracAnswer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && strings.HasSuffix(a.body, "</methodResponse>\n")
		}},
		{"a length that is too short cuts the document", "wrong_length", map[string]any{"delta": -7}, 1, func(a tracAnswer) bool {
			return a.err == nil && strings.HasSuffix(a.body, "</methodRes")
		}},
		{"half a document is well-formed HTTP", "half", nil, 1, func(a tracAnswer) bool {
			return a.err == nil && a.status == 200 && strings.HasPrefix(a.body, "<?xml") && a.wrong() != ""
		}},
		{"HTML with 200", "html200", nil, 0, func(a tracAnswer) bool {
			return a.status == 200 && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && strings.Contains(a.body, "<title>")
		}},
		{"HTML with 500", "html500", nil, 0, func(a tracAnswer) bool {
			return a.status == 500 && strings.Contains(a.body, "Trac detected an internal error.")
		}},
		{"a status of choice", "status", map[string]any{"status": 429, "text": "Slow down", "headers": map[string]string{"Retry-After": "7"}}, 0, func(a tracAnswer) bool {
			return a.status == 429 && a.body == "Slow down" && a.header.Get("Retry-After") == "7"
		}},
		{"an endless answer", "endless", map[string]any{"limit": 3 * mebibyte}, 0, func(a tracAnswer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && len(a.body) > 3*mebibyte && strings.HasPrefix(a.body, "<?xml")
		}},
		{"a compressed bomb", "gzip_bomb", map[string]any{"size": 8 * mebibyte}, 0, func(a tracAnswer) bool {
			return a.err == nil && len(a.body) > 8*mebibyte && strings.HasSuffix(a.body, "xxx")
		}},
		{"a redirect on the same host", "redirect", nil, 0, func(a tracAnswer) bool {
			return a.status == 302 && a.header.Get("Location") == "/lp/moved"
		}},
		{"a redirect elsewhere", "redirect", map[string]any{"to": "http://127.0.0.1:1/", "status": 307}, 0, func(a tracAnswer) bool {
			return a.status == 307 && a.header.Get("Location") == "http://127.0.0.1:1/"
		}},
		{"a fault", "fault", map[string]any{"code": 42, "text": "No <way>"}, 0, func(a tracAnswer) bool {
			return a.wrong() == "" && strings.Contains(a.body, "<int>42</int>") && strings.Contains(a.body, "No &lt;way&gt;")
		}},
		{"a fault whose code is a string", "fault", map[string]any{"code": "Client"}, 0, func(a tracAnswer) bool {
			return a.wrong() == "" && strings.Contains(a.body, "<string>Client</string>")
		}},
		{"a document of choice", "document", map[string]any{"body": "<methodResponse/>"}, 0, func(a tracAnswer) bool {
			return a.err == nil && a.body == "<methodResponse/>"
		}},
		{"bytes that are no HTTP", "garbage", nil, 0, func(a tracAnswer) bool {
			return a.err != nil && strings.Contains(a.err.Error(), "malformed HTTP")
		}},
		{"bytes that are no XML", "garbage_body", nil, 0, func(a tracAnswer) bool {
			return a.err == nil && a.status == 200 && a.wrong() != ""
		}},
		{"a reset instead of anything", "reset", nil, 0, func(a tracAnswer) bool {
			return errors.Is(a.err, syscall.ECONNRESET)
		}},
		{"a reset after the comment was written", "reset_after", nil, 1, func(a tracAnswer) bool {
			return errors.Is(a.err, syscall.ECONNRESET)
		}},
		{"a refusal in spite of a live session", "refuse", nil, 0, func(a tracAnswer) bool {
			return a.status == 403 && a.body == "Log in first\n" && a.header.Get("Set-Cookie") == ""
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(peer.Stats().Comments)
			peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: test.kind, Times: 1, With: test.with})
			answer := visitor.call(t.Context(), commentCall)
			if !test.check(answer) {
				t.Errorf("the answer was %d, %v, %d bytes: %.200q", answer.status, answer.err, len(answer.body), answer.body)
			}
			if written := len(peer.Stats().Comments) - before; written != test.written {
				t.Errorf("%d comments were written, want %d", written, test.written)
			}
			if reason := visitor.call(t.Context(), timeCall).wrong(); reason != "" {
				t.Errorf("the call after the last misbehaviour: %s", reason)
			}
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func TestTracPeerHoldsSlowAnswersUntilReset(t *testing.T) {
	peer, _, visitor := startLoggedInPeer(t)
	peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "slow"})
	const callers = 3
	answers := make(chan tracAnswer, callers)
	for range callers {
		go func() { answers <- visitor.call(t.Context(), timeCall) }()
	}
	if held := peer.Await("held", callers).Held; held != callers {
		t.Errorf("%d calls are held, want %d", held, callers)
	}
	peer.Reset()
	for range callers {
		if reason := (<-answers).wrong(); reason != "" {
			t.Errorf("a call that was held: %s", reason)
		}
	}
}

func TestTracPeerNoticesThatACallerHungUp(t *testing.T) {
	peer, _, visitor := startLoggedInPeer(t)
	for i, rule := range []misbehaviour{
		{Kind: "slow"},
		{Kind: "slow", With: map[string]any{"seconds": 3600}},
		{Kind: "stall"},
		{Kind: "stall", With: map[string]any{"after": 30}},
	} {
		rule.On, rule.Times = "xmlrpc", 1
		peer.Misbehave(rule)
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan tracAnswer)
		go func() { answer <- visitor.call(ctx, timeCall) }()
		peer.Await("held", 1)
		cancel()
		if err := (<-answer).err; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the call ended with %v", rule.Kind, err)
		}
		peer.Await("hung_up", i+1)
	}
	if held := peer.Stats().Held; held != 0 {
		t.Errorf("%d calls are still held", held)
	}
}

func TestTracPeerStopsAnEndlessAnswerWhenTheCallerHangsUp(t *testing.T) {
	peer, _, visitor := startLoggedInPeer(t)
	peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "endless"})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, peer.URL+"/xmlrpc", strings.NewReader(timeCall))
	if err != nil {
		t.Fatal(err)
	}
	response, err := visitor.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, response.Body, 4<<20); err != nil {
		t.Errorf("the first 4 MiB: %v", err)
	}
	response.Body.Close()
	if written := peer.Await("hung_up", 1).Written; written < 4<<20 || written > 1<<30 {
		t.Errorf("the peer wrote %d bytes", written)
	}
}

func TestTracPeerUsesItsRulesInOrder(t *testing.T) {
	peer, _, visitor := startLoggedInPeer(t)
	peer.Misbehave(
		misbehaviour{On: "xmlrpc", Kind: "status", Times: 2},
		misbehaviour{On: "xmlrpc", Kind: "html500"},
	)
	for i, want := range []int{503, 503, 500, 500} {
		if answer := visitor.call(t.Context(), timeCall); answer.status != want {
			t.Errorf("call %d answered %d, want %d", i+1, answer.status, want)
		}
	}
	peer.Reset()
	if reason := visitor.call(t.Context(), timeCall).wrong(); reason != "" {
		t.Errorf("after the reset: %s", reason)
	}
	stats := peer.Stats()
	if stats.Requests["POST /lp/xmlrpc"] != 5 || stats.Requests["GET /lp/launchpad-auth/{token}"] != 1 ||
		stats.Calls["launchpad.time_snapshot"] != 1 || stats.Accepted != 1 {
		t.Errorf("the ledger says %+v", stats)
	}
}

func TestTracPeerRefusesRulesThatDoNotExist(t *testing.T) {
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: "http://127.0.0.1:1"})
	for _, rule := range []misbehaviour{
		{On: "everywhere", Kind: "slow"},
		{On: "xmlrpc", Kind: "sulk"},
		{On: "xmlrpc", Kind: "late"},
		{On: "xmlrpc", Kind: "wrong_length"},
		{On: "xmlrpc", Kind: "slow", With: map[string]any{"minutes": 1}},
		{On: "xmlrpc", Kind: "slow", Times: -1},
	} {
		if err := peer.post("/misbehave", rule); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%+v: %v", rule, err)
		}
	}
}

func TestTracPeerHasAsManyTicketsAsAskedFor(t *testing.T) {
	authority := startTokenAuthority(t)
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: authority.URL, Tickets: 975})
	visitor := newTracVisitor(peer)
	visitor.logIn(t, "goodMany")
	answer := visitor.call(t.Context(), `<methodCall><methodName>launchpad.bug_info</methodName>`+
		`<params><param><value><int>0</int></value></param></params></methodCall>`)
	if bugs := strings.Count(answer.body, "<name>id</name>"); bugs != 1000 {
		t.Errorf("the tracker has %d tickets, want 1000", bugs)
	}
}

func TestTracPeerEndsWhenItIsShutDown(t *testing.T) {
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: "http://127.0.0.1:1"})
	if status := newTracVisitor(peer).logIn(t, "goodUnasked"); status != http.StatusUnauthorized {
		t.Errorf("a log-in with no gateway to ask answered %d", status)
	}
	if callbacks := peer.Stats().Callbacks; len(callbacks) != 1 || callbacks[0].Status != 0 {
		t.Errorf("the callback that nobody answered is %v", callbacks)
	}
	peer.Shutdown()
	if response, err := http.Get(peer.URL + "/xmlrpc"); !errors.Is(err, syscall.ECONNREFUSED) {
		if err == nil {
			response.Body.Close()
		}
		t.Errorf("after the shutdown: %v", err)
	}
}
