package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// How many exchanges testdata/bugzilla and testdata/bugzilla-launchpad hold, and how many of the
// latter are callbacks, which the peer makes and does not answer.
const (
	bugzillaCaptures  = 199
	launchpadCaptures = 78
	callbackCaptures  = 9
)

// bugzillaNotCompared names the captures that the peer is not held against, and why.
var bugzillaNotCompared = map[string]string{}

// siteBefore is what happened to the site between one capture and the one before it.
var siteBefore = map[string]siteSettings{
	"169-site-email-filter-anonymous":           {"email_filter": true},
	"172-site-requirelogin-version":             {"email_filter": false, "requirelogin": true},
	"176-site-shutdown-version":                 {"requirelogin": false, "shutdown": true},
	"178-user.login-locked-out":                 {"shutdown": false},
	"162-bug.get-access-denied-anonymous-102":   {"hidden": []int{14}},
	"180-bugzilla.extensions-with-one":          {"launchpad": true},
	"064-launchpad.login-account-disabled":      {"disabled": []string{"launchpad@bugs.example"}},
	"065-site-requirelogin-login-ok":            {"disabled": []string{}, "requirelogin": true},
	"069-launchpad.login-second-session":        {"requirelogin": false},
	"073-launchpad.login-gateway-never-answers": {"callback_timeout": 0.1},
	"074-launchpad.login-gateway-hangs-up":      {"callback_timeout": 30},
	"076-site-timezone-launchpad.get_bugs":      {"timezone": 330},
	"186-site-utc-bug.get-same-bug":             {"timezone": 0},
	"075-site-timezone-launchpad.time":          {"timezone": 330},
	"187-site-database-unreadable":              {"timezone": 0, "trouble": "database"},
	"188-site-broken-configuration":             {"trouble": "configuration"},
	"189-site-script-fails-500":                 {"trouble": "script"},
	"190-site-recovered":                        {"trouble": ""},
}

const wrongPassword = `<?xml version="1.0"?><methodCall><methodName>User.login</methodName><params><param><value><struct>` +
	`<member><name>login</name><value><string>launchpad@bugs.example</string></value></member>` +
	`<member><name>password</name><value><string>fake-wrong</string></value></member>` +
	`</struct></value></param></params></methodCall>`

var (
	// sessionSecret is the second half of a token, or the cookie with the same content.
	sessionSecret = regexp.MustCompile(`(?:<string>\d+-|Bugzilla_logincookie=)([A-Za-z0-9]{10})(?:</string>|; path=/; HttpOnly)`)
	etagLine      = regexp.MustCompile(`(?m)^ETag: ([A-Za-z0-9+/]{22})\r$`)
	requestCookie = regexp.MustCompile(`Bugzilla_login_request_cookie=[A-Za-z0-9]{10};`)
	gzipLength    = regexp.MustCompile(`(Content-Encoding: gzip\r\nContent-Length): \d+`)
	updateToken   = regexp.MustCompile(`<string>\d{10}-FAKE-UPDATE-TOKEN-\d{25}</string>`)
	pageToken     = regexp.MustCompile(`value="\d{10}-[A-Za-z0-9_-]{43}"`)
	dateOfTheDay  = regexp.MustCompile(`^2026112[12]T\d\d:\d\d:\d\d$`)
)

// bugzillaCapture is one recorded exchange.
type bugzillaCapture struct {
	directory, name string
	request, answer []byte
	at              time.Time // zero for a callback
}

// bugzillaReplay is what a replay remembers: what stands, in the peer, for secrets and the like
// of the captures.
type bugzillaReplay struct {
	peer    *bugzillaPeer
	host    string
	gateway *scriptedGateway
	known   map[string]string
}

// TestBugzillaPeerAnswersAsTheRealBugzillaDid replays every captured request byte for byte, in
// the order of their dates (both directories are of one server), and compares heads, chunk
// sizes and bodies. Aside are left: the order of struct members; secrets, ETags and tokens,
// which have to look alike; how well gzip compressed; and two seconds between a date that the
// server wrote itself and that of the answer. The peer's clock is stopped at each capture's time.
func TestBugzillaPeerAnswersAsTheRealBugzillaDid(t *testing.T) {
	captures, callbacks := readBugzillaCaptures(t)
	if len(captures)+len(callbacks) != bugzillaCaptures+launchpadCaptures || len(callbacks) != callbackCaptures {
		t.Fatalf("there are %d captures and %d callbacks", len(captures), len(callbacks))
	}
	peer := startBugzillaPeer(t, bugzillaPeerOptions{})
	replay := &bugzillaReplay{peer, tracHost(t, peer.URL), startScriptedGateway(t), make(map[string]string)}
	for _, capture := range captures {
		if reason, ok := bugzillaNotCompared[capture.name]; ok {
			t.Logf("%s is not compared: %s", capture.name, reason)
			continue
		}
		// A capture that differs spoils those that build on it: each is reported all the same.
		t.Run(capture.directory+"/"+capture.name, func(t *testing.T) {
			replay.run(t, capture, callbacks)
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func (r *bugzillaReplay) run(t *testing.T, capture bugzillaCapture, callbacks map[string]bugzillaCapture) {
	r.peer.StopClock(capture.at)
	if settings := siteBefore[capture.name]; settings != nil {
		r.peer.Change(settings)
	}
	var callback bugzillaCapture
	switch capture.name {
	case "178-user.login-locked-out":
		for range 5 {
			visitBugzilla(t, r.peer, wrongPassword)
		}
	case "002-launchpad.login-gateway-unreachable":
		r.peer.Change(siteSettings{"callback_root": "http://127.0.0.1:1"})
	case "003-launchpad.plugin_version-ok":
		r.peer.Change(siteSettings{"callback_root": r.gateway.url})
	case "073-launchpad.login-gateway-never-answers":
		r.gateway.script(gatewaySilent, nil)
	case "074-launchpad.login-gateway-hangs-up":
		r.gateway.script(gatewayHangsUp, nil)
	default:
		callback = callbacks[fmt.Sprintf("%03d", captureNumber(t, capture.name)+1)]
		if capture.directory != "bugzilla-launchpad" {
			callback = bugzillaCapture{}
		}
		r.gateway.script(gatewayAnswers, callback.answer)
	}

	request := strings.ReplaceAll(string(capture.request), "Host: 127.0.0.1:18471", "Host: "+r.host)
	for captured, live := range r.known {
		request = strings.ReplaceAll(request, captured, live)
	}
	got := rawExchange(t, r.host, []byte(request), endsByItself(capture.request, capture.answer))
	for _, pattern := range []*regexp.Regexp{sessionSecret, etagLine} {
		captured, live := pattern.FindSubmatch(capture.answer), pattern.FindSubmatch(got)
		if captured != nil && live != nil {
			r.known[string(captured[1])] = string(live[1])
		}
	}
	compareBugzillaAnswers(t, parseBugzillaAnswer(t, capture.answer), parseBugzillaAnswer(t, got))
	r.checkCallback(t, callback)
}

// checkCallback wants the captured callback, its headers in any order, where there is one.
func (r *bugzillaReplay) checkCallback(t *testing.T, capture bugzillaCapture) {
	t.Helper()
	if capture.request == nil {
		return
	}
	got := r.gateway.received()
	want := strings.ReplaceAll(string(capture.request), "127.0.0.1:18473", r.gateway.host)
	if sortedLines(want) != sortedLines(got) {
		t.Errorf("the callback was\n%s\nwant %s\n%s", got, capture.name, want)
	}
}

// sortedLines is a request's head with its headers in order of name.
func sortedLines(head string) string {
	lines := strings.Split(strings.TrimSpace(head), "\r\n")
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n")
}

func compareBugzillaAnswers(t *testing.T, want, got bugzillaAnswer) {
	t.Helper()
	if maskHead(want.head) != maskHead(got.head) {
		t.Errorf("the head is\n%s\nwant\n%s", got.head, want.head)
	}
	if !slices.Equal(want.chunks, got.chunks) {
		t.Errorf("the chunks have %v bytes, want %v", got.chunks, want.chunks)
	}
	wantTokens, gotTokens := want.tokens(), got.tokens()
	for i, token := range wantTokens {
		if i >= len(gotTokens) || !sameToken(token, gotTokens[i]) {
			t.Fatalf("the bodies differ:\ncaptured %q\npeer     %q", wantTokens[i:min(i+8, len(wantTokens))],
				gotTokens[min(i, len(gotTokens)):min(i+8, len(gotTokens))])
		}
	}
	if len(gotTokens) != len(wantTokens) {
		t.Fatalf("the body goes on with %q", gotTokens[len(wantTokens):])
	}
}

// maskHead covers what is new in every answer; all but the compressed length keeps its size.
func maskHead(head string) string {
	head = etagLine.ReplaceAllString(head+"\r", "ETag: ETAG\r")
	head = requestCookie.ReplaceAllString(head, "Bugzilla_login_request_cookie=RANDOM;")
	head = sessionSecret.ReplaceAllString(head, "Bugzilla_logincookie=SECRET")
	return gzipLength.ReplaceAllString(head, "$1: LENGTH")
}

// sameToken tells whether two pieces of a document are the same: to the letter, or as dates that
// the server wrote itself in the same moment.
func sameToken(want, got string) bool {
	if want == got {
		return true
	}
	if !dateOfTheDay.MatchString(want) || !dateOfTheDay.MatchString(got) {
		return false
	}
	const layout = "20060102T15:04:05"
	a, errA := time.Parse(layout, want)
	b, errB := time.Parse(layout, got)
	return errA == nil && errB == nil && a.Sub(b).Abs() <= 2*time.Second
}

// readBugzillaCaptures returns the exchanges with the peer in order of their dates, and the
// callbacks by their number.
func readBugzillaCaptures(t *testing.T) (captures []bugzillaCapture, callbacks map[string]bugzillaCapture) {
	t.Helper()
	callbacks = make(map[string]bugzillaCapture)
	for _, directory := range []string{"bugzilla", "bugzilla-launchpad"} {
		files, err := filepath.Glob(filepath.Join("testdata", directory, "*.request.http"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files { // Glob sorts.
			prefix := strings.TrimSuffix(file, ".request.http")
			capture := bugzillaCapture{directory: directory, name: filepath.Base(prefix),
				request: readTestFile(t, file), answer: readTestFile(t, prefix+".response.http")}
			if strings.Contains(capture.name, "-handshake-") {
				callbacks[capture.name[:3]] = capture
				continue
			}
			capture.at = captureTime(t, capture.answer)
			captures = append(captures, capture)
		}
	}
	slices.SortStableFunc(captures, func(a, b bugzillaCapture) int { return a.at.Compare(b.at) })
	return captures, callbacks
}

func captureNumber(t *testing.T, name string) int {
	t.Helper()
	var number int
	if _, err := fmt.Sscanf(name, "%03d-", &number); err != nil {
		t.Fatalf("the capture %s has no number: %v", name, err)
	}
	return number
}

func readTestFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// visitBugzilla makes one call over a connection of its own and returns the answer's bytes.
func visitBugzilla(t *testing.T, peer *bugzillaPeer, document string) string {
	t.Helper()
	host := tracHost(t, peer.URL)
	request := fmt.Sprintf("POST /xmlrpc.cgi HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s",
		host, len(document), document)
	return string(rawExchange(t, host, []byte(request), false))
}
