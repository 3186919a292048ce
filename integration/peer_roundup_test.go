package integration

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// startRoundupPeer starts peers/roundup_tracker.py, whose options are described there. Its
// account for the gateway is gateway:gateway.
func startRoundupPeer(t testing.TB, args ...string) *tracPeer {
	t.Helper()
	return startPeer(t, "roundup_tracker.py", args...)
}

// roundupNotCompared names the captures that the peer is not held against, and why.
var roundupNotCompared = map[string]string{
	"105-csv-issues":         "the dialect reads no CSV, and the peer has none",
	"106-csv-issues-with-id": "the dialect reads no CSV, and the peer has none",
	"107-csv-anonymous":      "the dialect reads no CSV, and the peer has none",
}

// roundupHost is the address of the captured tracker, which stands in Host, Origin and Referer.
const roundupHost = "127.0.0.1:8917"

var contentLength = regexp.MustCompile(`(?m)^Content-Length: \d+\r$`)

// TestRoundupPeerAnswersAsTheRealRoundupDid replays every captured request in order, and
// compares whole answers, heads and bodies. The peer's clock is stopped at the time of each
// capture. Compressed bodies are compared unpacked and without their lengths, since two
// versions of zlib need not pack alike.
func TestRoundupPeerAnswersAsTheRealRoundupDid(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "roundup", "*.request.http"))
	if err != nil || len(files) != 107 {
		t.Fatalf("%d captures, want 107 (%v)", len(files), err)
	}
	peer := startRoundupPeer(t)
	host := tracHost(t, peer.URL)
	for _, file := range files { // Glob sorts.
		name := strings.TrimSuffix(filepath.Base(file), ".request.http")
		if reason, ok := roundupNotCompared[name]; ok {
			t.Logf("%s is not compared: %s", name, reason)
			continue
		}
		// A capture that differs spoils those that build on it: each is reported all the same.
		t.Run(name, func(t *testing.T) {
			request, want := readRoundupCapture(t, file), readRoundupCapture(t, strings.Replace(file, ".request.", ".response.", 1))
			peer.StopClock(captureTime(t, want))
			request = bytes.ReplaceAll(request, []byte(roundupHost), []byte(host))
			got := rawExchange(t, host, request, endsByItself(request, want))
			compareAnswers(t, unpackedAnswer(t, want), unpackedAnswer(t, got))
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

func readRoundupCapture(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unpackedAnswer is an answer whose body is not compressed.
func unpackedAnswer(t *testing.T, answer []byte) []byte {
	t.Helper()
	head, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !bytes.Contains(head, []byte("Content-Encoding: gzip")) {
		return answer
	}
	unpacker, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(unpacker)
	if err != nil {
		t.Fatal(err)
	}
	head = contentLength.ReplaceAll(head, []byte("Content-Length: LENGTH\r"))
	return slices.Concat(head, []byte("\r\n\r\n"), plain)
}

// roundupVisitor calls a Roundup peer as a plain HTTP client does.
type roundupVisitor struct {
	t              *testing.T
	url            string
	user, password string
}

// call makes a call of string parameters, and returns status and body.
func (v roundupVisitor) call(method string, params ...string) (int, string) {
	v.t.Helper()
	var doc strings.Builder
	fmt.Fprintf(&doc, "<methodCall><methodName>%s</methodName><params>", method)
	for _, p := range params {
		fmt.Fprintf(&doc, "<param><value><string>%s</string></value></param>", p)
	}
	doc.WriteString("</params></methodCall>")
	request, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.url, strings.NewReader(doc.String()))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "text/xml")
	request.Header.Set("X-Requested-With", "XMLHttpRequest")
	if v.user != "" {
		request.SetBasicAuth(v.user, v.password)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response.StatusCode, string(body) + "!" + err.Error()
	}
	return response.StatusCode, string(body)
}

func TestRoundupPeerMisbehavesOnDemand(t *testing.T) {
	peer := startRoundupPeer(t)
	visitor := roundupVisitor{t, peer.URL + "/xmlrpc", "gateway", "gateway"}
	const mebibyte = 1 << 20
	for _, tc := range []struct {
		kind   string
		with   map[string]any
		status int
		body   string // which is in the body
		made   bool   // whether the call was executed
	}{
		{"slow", map[string]any{"seconds": 0.01}, 200, "<string>2", true},
		{"wrong_length", map[string]any{"delta": 7}, 200, "!unexpected EOF", true},
		{"wrong_length", map[string]any{"delta": -7}, 200, "</methodRes", true},
		{"half", nil, 200, "<?xml", true},
		{"html200", nil, 200, "<title>", false},
		{"html500", nil, 500, "<title>", false},
		{"status", map[string]any{"status": 429, "headers": map[string]string{"Retry-After": "7"}}, 429, "Service unavailable", false},
		{"endless", map[string]any{"limit": 2 * mebibyte}, 200, "!unexpected EOF", false},
		{"gzip_bomb", map[string]any{"size": 2 * mebibyte}, 200, "xxxx", false},
		{"redirect", map[string]any{"to": "http://192.0.2.1/"}, 302, "Moved", false},
		{"fault", map[string]any{"code": 7, "text": "sulking"}, 200, "sulking", false},
		{"garbage", nil, 0, "malformed", false},
		{"reset", nil, 0, "", false},
		{"reset_after", nil, 0, "", true},
		{"refuse", nil, 200, "Invalid login", false},
	} {
		before := peer.Stats().Calls["create"]
		peer.Misbehave(misbehaviour{On: "write", Kind: tc.kind, Times: 1, With: tc.with})
		status, body := visitor.call("create", "msg", "content=x")
		if status != tc.status || !strings.Contains(body, tc.body) {
			t.Errorf("%s: %d %.200q", tc.kind, status, body)
		}
		if made := peer.Stats().Calls["create"] > before; made != tc.made {
			t.Errorf("%s: the call was executed: %t", tc.kind, made)
		}
		if status, body := visitor.call("lookup", "user", "bob"); status != 200 || !strings.Contains(body, "<string>5</string>") {
			t.Errorf("after %s: %d %.200q", tc.kind, status, body)
		}
	}
}

func TestRoundupPeerForgetsPasswords(t *testing.T) {
	peer := startRoundupPeer(t)
	visitor := roundupVisitor{t, peer.URL + "/xmlrpc", "gateway", "gateway"}
	refused := func() bool {
		_, body := visitor.call("lookup", "user", "bob")
		return strings.Contains(body, "<int>401</int>")
	}
	peer.Expire("expired")
	if !refused() || refused() {
		t.Error("after an expiry the next call, and no other, is refused")
	}
	peer.mustPost("/lockout", map[string]int{"failures": 2})
	visitor.password = "wrong"
	for range 2 {
		if !refused() {
			t.Error("a wrong password is taken")
		}
	}
	visitor.password = "gateway"
	if !refused() {
		t.Error("after two wrong passwords the account is not locked")
	}
	peer.mustPost("/lockout", map[string]int{"failures": 0})
	peer.Expire("purged")
	if !refused() {
		t.Error("a password that was changed is taken")
	}
	peer.mustPost("/password", map[string]string{"user": "gateway", "password": "new"})
	visitor.password = "new"
	if refused() {
		t.Error("a password that was set is not taken")
	}
}
