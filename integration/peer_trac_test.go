package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// tracCaptures is how many exchanges testdata/trac-launchpad holds.
const tracCaptures = 76

// notCompared names the captures that the peer is not held against, and why. It is empty:
// with its clock stopped the peer answers all of them byte for byte.
var notCompared = map[string]string{}

// beforeCapture is what happened to the tracker between two captures.
var beforeCapture = map[string]func(*tracPeer){
	"71-xmlrpc-expired-login": func(peer *tracPeer) { peer.Expire("expired") },
	"72-xmlrpc-purged-cookie": func(peer *tracPeer) { peer.Expire("purged") },
}

// callbackOfCapture is the token segment of the callback that a log-in caused. Captures of
// log-ins that are not here caused none.
var callbackOfCapture = map[string]string{
	"01-auth-probe-check":         "check",
	"04-auth-accepted":            "gooda1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
	"05-auth-reused-token":        "gooda1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
	"06-auth-refused-410":         "nosuchtoken000000000000000000000000000",
	"07-auth-authority-500":       "status500",
	"08-auth-authority-302":       "status302",
	"09-auth-authority-204":       "status204",
	"10-auth-token-encoded-slash": "..%2Fgoodtraversal%2F..%2Fx",
	"11-auth-token-raw-dotdot":    "..%2Ftoken%2Fgoodx",
	"14-auth-token-query-chars":   "a%3Fb%23c%25d%20e",
	"73-auth-again":               "goodSECONDtoken00000000000000000000000",
}

var (
	dateHeader = regexp.MustCompile(`(?m)^Date: (.*)\r$`)
	authCookie = regexp.MustCompile(`trac_auth=([0-9a-f]{32})`)
	// randomID is what is new in every answer; its length counts, its digits do not.
	randomID = regexp.MustCompile(`(trac_auth|trac_session|trac_form_token|name="__FORM_TOKEN" type="hidden" value)=("?)[0-9a-f]{24,32}`)
)

// TestTracPeerAnswersAsTheRealTracDid replays every captured request, byte for byte and in
// order, and compares the whole answers, heads and bodies: the peer's clock is stopped at the
// time of each capture, so that only random ids are left to differ.
func TestTracPeerAnswersAsTheRealTracDid(t *testing.T) {
	names := captureNames(t)
	if len(names) != tracCaptures {
		t.Fatalf("there are %d captures, want %d", len(names), tracCaptures)
	}
	authority := startTokenAuthority(t)
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: authority.URL})
	host := tracHost(t, peer.URL)
	cookies := make(map[string]string) // captured cookie: the peer's
	for _, name := range names {
		if reason, ok := notCompared[name]; ok {
			t.Logf("%s is not compared: %s", name, reason)
			continue
		}
		// A capture that differs spoils those that build on it: each is reported all the same.
		t.Run(name, func(t *testing.T) {
			request, want := readCapture(t, name)
			if prepare := beforeCapture[name]; prepare != nil {
				prepare(peer)
			}
			peer.StopClock(captureTime(t, want))

			request = bytes.ReplaceAll(request, []byte("Host: 127.0.0.1:8802"), []byte("Host: "+host))
			for captured, live := range cookies {
				request = bytes.ReplaceAll(request, []byte(captured), []byte(live))
			}
			got := rawExchange(t, host, request, endsByItself(request, want))
			if captured, live := authCookie.FindSubmatch(want), authCookie.FindSubmatch(got); captured != nil && live != nil {
				cookies[string(captured[1])] = string(live[1])
			}
			compareAnswers(t, want, got)
			checkCallback(t, authority.Requests(), callbackOfCapture[name])
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

// checkCallback wants one empty POST for the token, or no callback where there is no token.
func checkCallback(t *testing.T, requests []authorityRequest, token string) {
	t.Helper()
	if token == "" {
		if len(requests) != 0 {
			t.Errorf("the authority was asked: %v", requests)
		}
		return
	}
	if len(requests) != 1 {
		t.Fatalf("the authority was asked %d times, want once: %v", len(requests), requests)
	}
	request, path := requests[0], "/token/"+token+"/+bugtracker-handshake"
	if request.Method != http.MethodPost || request.Path != path {
		t.Errorf("callback %s %s, want POST %s", request.Method, request.Path, path)
	}
	if length := request.Header.Get("Content-Length"); length != "0" || request.Body != "" {
		t.Errorf("callback with Content-Length %q and body %q, want 0 and none", length, request.Body)
	}
}

func compareAnswers(t *testing.T, want, got []byte) {
	t.Helper()
	maskedWant := randomID.ReplaceAll(want, []byte("$1=${2}RANDOM"))
	maskedGot := randomID.ReplaceAll(got, []byte("$1=${2}RANDOM"))
	if bytes.Equal(maskedWant, maskedGot) && len(want) == len(got) {
		return
	}
	wantLines := strings.SplitAfter(string(maskedWant), "\n")
	gotLines := strings.SplitAfter(string(maskedGot), "\n")
	for i, line := range wantLines {
		if i >= len(gotLines) || gotLines[i] != line {
			t.Fatalf("the answer differs from line %d on:\ncaptured %q\npeer     %q",
				i+1, wantLines[i:min(i+4, len(wantLines))], gotLines[min(i, len(gotLines)):min(i+4, len(gotLines))])
		}
	}
	t.Fatalf("the answer is %d bytes long, the captured one %d", len(got), len(want))
}

// endsByItself tells whether the captured exchange ended with the tracker closing the
// connection. Otherwise the client has to, and the peer must not.
func endsByItself(request, answer []byte) bool {
	head, _, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	return bytes.Contains(head, []byte("Connection: close")) ||
		bytes.Contains(request, []byte("Connection: close"))
}

// rawExchange sends bytes over a connection of its own and returns all bytes that come back.
func rawExchange(t *testing.T, host string, request []byte, endsByItself bool) []byte {
	t.Helper()
	connection, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := connection.Write(request); err != nil {
		t.Fatal(err)
	}
	if !endsByItself {
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(answer), err)
	}
	return answer
}

func captureNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "trac-launchpad", "*.request.http"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files { // Glob sorts.
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".request.http"))
	}
	return names
}

func readCapture(t *testing.T, name string) (request, answer []byte) {
	t.Helper()
	read := func(kind string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", "trac-launchpad", fmt.Sprintf("%s.%s.http", name, kind)))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return read("request"), read("response")
}

// captureTime is the time in the Date header of a captured answer.
func captureTime(t *testing.T, answer []byte) time.Time {
	t.Helper()
	match := dateHeader.FindSubmatch(answer)
	if match == nil {
		t.Fatal("the captured answer has no Date")
	}
	at, err := http.ParseTime(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func tracHost(t *testing.T, address string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Host
}
