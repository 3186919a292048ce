package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// startTracNativePeer starts peers/trac_native.py, whose flags are described there.
func startTracNativePeer(t testing.TB, flags ...string) *tracPeer {
	t.Helper()
	return startPeer(t, "trac_native.py", flags...)
}

// tracNativeCaptures is how many exchanges testdata/trac holds.
const tracNativeCaptures = 118

var (
	nativeStamp  = regexp.MustCompile(`<name>_ts</name>\s*<value><string>(1795\d{12})</string>`)
	nativeCookie = regexp.MustCompile(`trac_auth=([0-9a-f]{32})`)
	nativeHead   = regexp.MustCompile(`(?s)^(.*?)\r\n\r\n(.*)$`)
)

// TestTracNativePeerAnswersAsTheRealTracDid replays every captured request in order. Of each
// answer it compares the status, the headers that say something, and the body: XML-RPC by
// its values, CSV and text byte for byte, HTML by its title. Not compared: random values of
// cookies; stamps and times of the day of the captures, which tickets got while they were
// made and of which seconds and microseconds hang on the machine.
func TestTracNativePeerAnswersAsTheRealTracDid(t *testing.T) {
	files, err := filepath.Glob("testdata/trac/*.request.http")
	if err != nil || len(files) != tracNativeCaptures {
		t.Fatalf("there are %d captures, want %d (%v)", len(files), tracNativeCaptures, err)
	}
	peer := startTracNativePeer(t)
	host := tracHost(t, peer.URL)
	live := map[string]string{} // cookies and stamps: captured, the peer's
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".request.http")
		t.Run(name, func(t *testing.T) {
			request, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.Replace(file, ".request.", ".response.", 1))
			if err != nil {
				t.Fatal(err)
			}
			if len(want) > 0 {
				peer.StopClock(captureTime(t, want))
			}
			request = bytes.ReplaceAll(request, []byte("Host: 127.0.0.1:8801"), []byte("Host: "+host))
			for captured, own := range live {
				request = bytes.ReplaceAll(request, []byte(captured), []byte(own))
			}
			got := rawExchange(t, host, request, endsByItself(request, want))
			for _, pattern := range []*regexp.Regexp{nativeStamp, nativeCookie} {
				if a, b := pattern.FindSubmatch(want), pattern.FindSubmatch(got); a != nil && b != nil {
					live[string(a[1])] = string(b[1])
				}
			}
			if diff := nativeDifference(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if failures := peer.Stats().Failures; failures != 0 {
		t.Errorf("the peer failed %d times", failures)
	}
}

// nativeDifference says how an answer differs from the captured one, "" when it does not.
func nativeDifference(want, got []byte) string {
	if len(want) == 0 || len(got) == 0 {
		if len(want) != len(got) {
			return fmt.Sprintf("captured %d bytes, peer %q", len(want), got)
		}
		return ""
	}
	a, b := nativeAnswer(want), nativeAnswer(got)
	switch {
	case a.status != b.status:
		return fmt.Sprintf("status %q, captured %q", b.status, a.status)
	case !reflect.DeepEqual(a.header, b.header):
		return fmt.Sprintf("header %q,\ncaptured %q", b.header, a.header)
	case !reflect.DeepEqual(a.body, b.body):
		return fmt.Sprintf("body     %#v,\ncaptured %#v", b.body, a.body)
	}
	return ""
}

// comparedAnswer is what is compared of an answer.
type comparedAnswer struct {
	status string
	header []string
	body   any
}

func nativeAnswer(raw []byte) comparedAnswer {
	parts := nativeHead.FindSubmatch(raw)
	if parts == nil {
		return comparedAnswer{status: string(raw)}
	}
	lines := strings.Split(string(parts[1]), "\r\n")
	answer := comparedAnswer{status: lines[0]}
	chunked := false
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		switch name {
		case "Date", "Content-Length":
			value = ""
		case "Location":
			_, value, _ = strings.Cut(value, "//")
			_, value, _ = strings.Cut(value, "/")
		case "Set-Cookie": // its name, and whether it is cleared
			value, _, _ = strings.Cut(value, ";")
			if cookie, random, _ := strings.Cut(value, "="); random != `""` {
				value = cookie
			}
		case "Transfer-Encoding":
			chunked = true
		}
		answer.header = append(answer.header, name+": "+value)
	}
	slices.Sort(answer.header)
	body := parts[2]
	if chunked {
		// What follows the chunks, if anything, is another answer.
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
		if err == nil {
			body, _ = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
	}
	answer.body = nativeBody(string(body))
	return answer
}

var htmlTitle = regexp.MustCompile(`(?s)<title>\s*(.*?)\s*(–.*)?</title>`)

func nativeBody(body string) any {
	if document, junk, found := strings.Cut(body, "</methodResponse>\n"); found {
		var value any
		err := xmlrpc.ParseResponse([]byte(document+"</methodResponse>\n"), &value)
		return []any{today(value), fmt.Sprint(err), junk}
	}
	if title := htmlTitle.FindStringSubmatch(body); title != nil && !strings.HasPrefix(body, "<!DOCTYPE HTML>") {
		return title[1]
	}
	return regexp.MustCompile(`"Nov 21, 2026, [^"]*"`).ReplaceAllString(body, "TODAY")
}

// today hides the times of the day of the captures in a value.
func today(v any) any {
	switch v := v.(type) {
	case xmlrpc.DateTime:
		if strings.HasPrefix(v.String(), "20261121T") {
			return "TODAY"
		}
	case string:
		if strings.HasPrefix(v, "1795291") && len(v) == 16 {
			return "TODAY"
		}
	case []any:
		for i := range v {
			v[i] = today(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = today(v[name])
		}
	}
	return v
}
