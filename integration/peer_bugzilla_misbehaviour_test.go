package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bugzillaVisitor talks to a Bugzilla peer as a plain HTTP client does: no redirects, no
// retries, and the cookies that it was given.
type bugzillaVisitor struct {
	peer    *bugzillaPeer
	client  *http.Client
	cookies []*http.Cookie
}

func newBugzillaVisitor(peer *bugzillaPeer) *bugzillaVisitor {
	return &bugzillaVisitor{peer: peer, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// call calls a method with one struct as its parameter.
func (v *bugzillaVisitor) call(ctx context.Context, method string, members map[string]any) tracAnswer {
	document := "<methodCall><methodName>" + method + "</methodName><params><param>" +
		bugzillaValue(members) + "</param></params></methodCall>"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.peer.Endpoint(), strings.NewReader(document))
	if err != nil {
		return tracAnswer{err: err}
	}
	request.Header.Set("Content-Type", "text/xml")
	for _, cookie := range v.cookies {
		request.AddCookie(cookie)
	}
	response, err := v.client.Do(request)
	if err != nil {
		return tracAnswer{err: err}
	}
	defer response.Body.Close()
	if logIn := response.Cookies(); len(logIn) == 2 {
		v.cookies = logIn
	}
	var body bytes.Buffer
	_, err = io.Copy(&body, response.Body)
	return tracAnswer{response.StatusCode, response.Header, body.String(), err}
}

// bugzillaValue writes a value as XML-RPC does.
func bugzillaValue(value any) string {
	switch value := value.(type) {
	case int:
		return fmt.Sprintf("<value><int>%d</int></value>", value)
	case []int:
		var items strings.Builder
		for _, item := range value {
			items.WriteString(bugzillaValue(item))
		}
		return "<value><array><data>" + items.String() + "</data></array></value>"
	case map[string]any:
		var members strings.Builder
		for name, member := range value {
			members.WriteString("<member><name>" + name + "</name>" + bugzillaValue(member) + "</member>")
		}
		return "<value><struct>" + members.String() + "</struct></value>"
	}
	return "<value><string>" + html.EscapeString(fmt.Sprint(value)) + "</string></value>"
}

func logInMembers(password string) map[string]any {
	return map[string]any{"login": "rene@bugs.example", "password": password}
}

func commentMembers() map[string]any {
	return map[string]any{"id": 2, "comment": "Hello.", "Bugzilla_api_key": "FAKEAPIKEY0000000000000000000000RENE0001"}
}

// isFault tells whether an answer is a fault of this code, with this text in it.
func isFault(a tracAnswer, code, text string) bool {
	return a.status == http.StatusOK && strings.Contains(a.body, "<fault>") &&
		strings.Contains(a.body, code) && strings.Contains(a.body, text)
}

func isWhole(a tracAnswer) bool {
	return a.err == nil && a.status == http.StatusOK && strings.HasSuffix(a.body, "</methodResponse>") &&
		!strings.Contains(a.body, "<fault>")
}

func TestBugzillaPeerMisbehavesOnDemand(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	visitor := newBugzillaVisitor(peer)
	const mebibyte = 1 << 20
	tests := []struct {
		name    string
		kind    string
		with    map[string]any
		written int // comments that the call left behind
		check   func(tracAnswer) bool
	}{
		{"a length that is too long ends early", "wrong_length", map[string]any{"delta": 7}, 1, func(a tracAnswer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && strings.HasSuffix(a.body, "</methodResponse>")
		}},
		{"half a document is well-formed HTTP", "half", nil, 1, func(a tracAnswer) bool {
			return a.err == nil && a.status == 200 && strings.HasPrefix(a.body, "<?xml") && !isWhole(a)
		}},
		{"HTML with 200", "html200", nil, 0, func(a tracAnswer) bool {
			return a.status == 200 && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && strings.Contains(a.body, "Bugzilla Main Page")
		}},
		{"HTML with 500", "html500", nil, 0, func(a tracAnswer) bool {
			return a.status == 500 && strings.Contains(a.body, "<h1>Internal Server Error</h1>")
		}},
		{"a status of choice", "status", map[string]any{"status": 429, "headers": map[string]string{"Retry-After": "7"}}, 0, func(a tracAnswer) bool {
			return a.status == 429 && a.header.Get("Retry-After") == "7"
		}},
		{"a site that is closed", "closed", nil, 0, func(a tracAnswer) bool {
			return a.status == 503 && a.header.Get("Retry-After") == "3600" && strings.Contains(a.body, "Bugzilla is Down")
		}},
		{"a page that holds the request, credentials and all", "closed", nil, 0, func(a tracAnswer) bool {
			return strings.Contains(a.body, "FAKEAPIKEY0000000000000000000000RENE0001")
		}},
		{"an endless answer", "endless", map[string]any{"limit": 3 * mebibyte}, 0, func(a tracAnswer) bool {
			return errors.Is(a.err, io.ErrUnexpectedEOF) && len(a.body) > 3*mebibyte
		}},
		{"a compressed bomb", "gzip_bomb", map[string]any{"size": 8 * mebibyte}, 0, func(a tracAnswer) bool {
			return a.err == nil && len(a.body) > 8*mebibyte
		}},
		{"a redirect to another host", "redirect", map[string]any{"to": "http://127.0.0.2:1/xmlrpc.cgi", "status": 307}, 0, func(a tracAnswer) bool {
			return a.status == 307 && a.header.Get("Location") == "http://127.0.0.2:1/xmlrpc.cgi"
		}},
		{"a fault whose code is a string", "fault", map[string]any{"code": "Client"}, 0, func(a tracAnswer) bool {
			return strings.Contains(a.body, "<string>Client</string>")
		}},
		{"bytes that are no HTTP", "garbage", nil, 0, func(a tracAnswer) bool {
			return a.err != nil && strings.Contains(a.err.Error(), "malformed HTTP")
		}},
		{"a reset instead of anything", "reset", nil, 0, func(a tracAnswer) bool {
			return errors.Is(a.err, syscall.ECONNRESET)
		}},
		{"a reset after the comment was written", "reset_after", nil, 1, func(a tracAnswer) bool {
			return errors.Is(a.err, syscall.ECONNRESET)
		}},
		{"a refusal whatever was shown", "refuse", nil, 0, func(a tracAnswer) bool {
			return isFault(a, "<int>410</int>", "You must log in")
		}},
		{"control characters in every text", "control_characters", nil, 0, func(a tracAnswer) bool {
			return a.status == 200
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(peer.Stats().Comments)
			peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: test.kind, Times: 1, With: test.with})
			members := commentMembers()
			if test.kind == "control_characters" {
				members["comment"] = ""
			}
			answer := visitor.call(t.Context(), "Bug.add_comment", members)
			if !test.check(answer) {
				t.Errorf("the answer was %d, %v, %d bytes: %.200q", answer.status, answer.err, len(answer.body), answer.body)
			}
			if test.kind == "control_characters" && !strings.Contains(answer.body, "\x1b\x0b</string>") {
				t.Errorf("the answer has no control characters: %q", answer.body)
			}
			if written := len(peer.Stats().Comments) - before; written != test.written {
				t.Errorf("%d comments were written, want %d", written, test.written)
			}
			if answer := visitor.call(t.Context(), "Bugzilla.version", nil); !isWhole(answer) {
				t.Errorf("the call after the last misbehaviour: %+v", answer)
			}
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func TestBugzillaPeerKeepsACallerWaiting(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	visitor := newBugzillaVisitor(peer)
	for i, rule := range []misbehaviour{{Kind: "slow"}, {Kind: "stall"}, {Kind: "stall", With: map[string]any{"after": 30}}} {
		rule.On, rule.Times = "xmlrpc", 1
		peer.Misbehave(rule)
		ctx, cancel := context.WithCancel(t.Context())
		answer := make(chan tracAnswer)
		go func() { answer <- visitor.call(ctx, "Bugzilla.version", nil) }()
		peer.Await("held", 1)
		cancel()
		if err := (<-answer).err; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the call ended with %v", rule.Kind, err)
		}
		peer.Await("hung_up", i+1)
	}
}

func TestBugzillaPeerLocksAnAccountForHalfAnHourOfItsClock(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	visitor := newBugzillaVisitor(peer)
	for i := range 5 {
		want, text := "<int>300</int>", "not valid"
		if i == 4 {
			want, text = "<int>32000</int>", "locked out"
		}
		if answer := visitor.call(t.Context(), "User.login", logInMembers("wrong")); !isFault(answer, want, text) {
			t.Errorf("the log-in after %d failures: %+v", i, answer)
		}
	}
	peer.ShiftClock(29 * time.Minute)
	if answer := visitor.call(t.Context(), "User.login", logInMembers("fake-rene-Pass1")); !isFault(answer, "<int>32000</int>", "locked out") {
		t.Errorf("the right password before the time is over: %+v", answer)
	}
	peer.ShiftClock(31 * time.Minute)
	if answer := visitor.call(t.Context(), "User.login", logInMembers("fake-rene-Pass1")); !isWhole(answer) {
		t.Errorf("the right password after the time: %+v", answer)
	}
}

func TestBugzillaPeerEndsASessionInTheMiddle(t *testing.T) {
	authority := startTokenAuthority(t)
	peer := startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: authority.URL})
	visitor := newBugzillaVisitor(peer)
	write := func() tracAnswer {
		return visitor.call(t.Context(), "Launchpad.add_comment", map[string]any{"id": 2, "comment": "Hello."})
	}
	for _, kind := range []string{"expire", "expire_after"} {
		if answer := visitor.call(t.Context(), "Launchpad.login", map[string]any{"token": "good" + strings.ReplaceAll(kind, "_", "")}); !isWhole(answer) {
			t.Fatalf("the log-in: %+v", answer)
		}
		peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "honest", Times: 2}, misbehaviour{On: "xmlrpc", Kind: kind, Times: 1})
		for range 2 {
			if answer := write(); !isWhole(answer) {
				t.Errorf("a call with a session: %+v", answer)
			}
		}
		if third := write(); isWhole(third) != (kind == "expire_after") {
			t.Errorf("%s: the third call: %+v", kind, third)
		}
		if answer := write(); !isFault(answer, "<int>32000</int>", "The cookies or token") {
			t.Errorf("%s: a call after the session: %+v", kind, answer)
		}
	}
	stats := peer.Stats()
	if stats.Accepted != 2 || len(stats.Callbacks) != 2 || len(stats.Comments) != 5 {
		t.Errorf("the ledger says %+v", stats)
	}
}

func TestBugzillaPeerCallsBackInOtherWays(t *testing.T) {
	authority := startTokenAuthority(t)
	honest := startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: authority.URL})
	peer := startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: authority.URL})
	for _, test := range []struct {
		kind     string
		with     map[string]any
		token    string
		accepted bool
		statuses []int
	}{
		{"twice", nil, "goodTwice", true, []int{200, 410}},
		{"tokens", nil, "goodTokens", true, []int{200}},
		{"form", nil, "goodForm", true, []int{200}},
		{"get", nil, "goodGet", false, []int{405}},
		{"skip", nil, "badToken", true, nil},
		{"late", map[string]any{"seconds": 0}, "goodLate", true, []int{200}},
		{"hand_on", map[string]any{"tracker": honest.Endpoint()}, "goodStolen", true, nil},
	} {
		t.Run(test.kind, func(t *testing.T) {
			before := len(peer.Stats().Callbacks)
			peer.Misbehave(misbehaviour{On: "callback", Kind: test.kind, Times: 1, With: test.with})
			answer := newBugzillaVisitor(peer).call(t.Context(), "Launchpad.login", map[string]any{"token": test.token})
			if isWhole(answer) != test.accepted {
				t.Errorf("the log-in: %+v", answer)
			}
			var statuses []int
			for _, callback := range peer.Stats().Callbacks[before:] {
				statuses = append(statuses, callback.Status)
			}
			if !slices.Equal(statuses, test.statuses) {
				t.Errorf("the callbacks were answered %v, want %v", statuses, test.statuses)
			}
		})
	}
	if handed := peer.Stats().HandedOn; len(handed) != 1 || !slices.Contains(handed[0].Cookies, "Bugzilla_logincookie") {
		t.Errorf("the token was handed on with the outcome %v", handed)
	}
}

func TestBugzillaPeerTellsEachCallAndHowManyAtOnce(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{Bugs: 975, Delay: time.Millisecond})
	visitor := newBugzillaVisitor(peer)
	peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "slow"})
	const batches, size = 10, 100
	var group sync.WaitGroup
	for batch := range batches {
		group.Go(func() {
			var ids []int
			for n := range size {
				ids = append(ids, batch*size+n+1)
			}
			answer := visitor.call(t.Context(), "Bug.get", map[string]any{"ids": ids, "include_fields": "id",
				"Bugzilla_api_key": "FAKEAPIKEY0000000000000000000000RENE0001"})
			if bugs := strings.Count(answer.body, "<name>id</name>"); !isWhole(answer) || bugs != size {
				t.Errorf("batch %d has %d bugs: %d, %v", batch, bugs, answer.status, answer.err)
			}
		})
	}
	peer.Await("held", batches)
	peer.Reset()
	group.Wait()
	calls, busiest := peer.Log()
	if len(calls) != batches || busiest != batches {
		t.Errorf("there were %d calls, %d at once", len(calls), busiest)
	}
	for _, call := range calls {
		if want := (bugzillaCall{"Bug.get", size, "api_key", "rene@bugs.example"}); call != want {
			t.Errorf("a call was %+v, want %+v", call, want)
		}
	}
	peer.SetDelay(0)
	if answer := visitor.call(t.Context(), "Bug.get", map[string]any{"ids": []int{1001}}); !isFault(answer, "<int>101</int>", "Bug #1001 does not exist.") {
		t.Errorf("a bug beyond the last one: %+v", answer)
	}
}

func TestBugzillaPeerTakesTheShapesOfOlderVersions(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{Version: "3.6.13", AliasString: true, CommentAuthor: true,
		LocalTime: true, TimeZone: -5 * time.Hour, ClockOffset: 3 * time.Hour})
	visitor := newBugzillaVisitor(peer)
	for method, test := range map[string]struct {
		members map[string]any
		want    []string
	}{
		"Bugzilla.version": {nil, []string{"<string>3.6.13</string>"}},
		"Bug.get":          {map[string]any{"ids": []int{1, 2}}, []string{"<name>alias</name><value><string>crash-empty</string>", "<name>alias</name><value><string /></value>"}},
		"Bug.comments":     {map[string]any{"ids": 1}, []string{"<name>author</name>"}},
		"Bugzilla.time":    {nil, []string{"<string>-0500</string>", "<string>EST</string>"}},
	} {
		answer := visitor.call(t.Context(), method, test.members)
		for _, want := range test.want {
			if !isWhole(answer) || !strings.Contains(answer.body, want) {
				t.Errorf("%s has no %s: %.600s", method, want, answer.body)
			}
		}
		if strings.Contains(answer.body, "<name>count</name>") && strings.Contains(answer.body, "<name>creator</name>") {
			t.Errorf("a comment has a creator: %.600s", answer.body)
		}
		if date, err := http.ParseTime(answer.header.Get("Date")); err != nil || time.Until(date) < 2*time.Hour {
			t.Errorf("a clock that is three hours ahead says %v (%v)", date, err)
		}
	}
	peer.StopClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	answer := visitor.call(t.Context(), "Bugzilla.time", nil)
	for _, want := range []string{"<name>db_time</name><value><dateTime.iso8601>20260101T22:04:05<",
		"<name>web_time</name><value><dateTime.iso8601>20260101T22:04:05<", "<name>web_time_utc</name><value><dateTime.iso8601>20260102T03:04:05<"} {
		if !strings.Contains(answer.body, want) {
			t.Errorf("the time has no %s: %s", want, answer.body)
		}
	}
}

func TestBugzillaPeerRefusesSettingsThatDoNotExist(t *testing.T) {
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	for path, request := range map[string]any{
		"/site":      siteSettings{"colour": "red"},
		"/delay":     map[string]any{"seconds": -1},
		"/misbehave": misbehaviour{On: "xmlrpc", Kind: "sulk"},
	} {
		if err := peer.post(path, request); err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := peer.post("/site", siteSettings{"requirelogin": "yes"}); err == nil {
		t.Error("a setting of another type was taken")
	}
	peer.Change(siteSettings{"maxcommentlength": 3})
	if answer := newBugzillaVisitor(peer).call(t.Context(), "Bug.add_comment", commentMembers()); !isFault(answer, "<int>114</int>", "longer than 3 characters") {
		t.Errorf("a comment beyond the limit: %+v", answer)
	}
}
