package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// publicErrors are the errors that the public side has, by status: a closed set.
var publicErrors = map[int]string{
	http.StatusNotFound:           "RESOURCE_NOT_FOUND",
	http.StatusMethodNotAllowed:   "METHOD_NOT_ALLOWED",
	http.StatusGone:               "TOKEN_INVALID",
	http.StatusTooManyRequests:    "TOO_MANY_REQUESTS",
	http.StatusServiceUnavailable: "STORE_UNAVAILABLE",
}

// walkMethods are all that are registered and usual, one that is not, and one in
// the wrong case.
var walkMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO", "post"}

// walkTargets are request targets of the public side: its routes, what is near to
// them, and routes of the other sides.
func walkTargets(used, live string) []string {
	long := strings.Repeat("x", 8000)
	var all []string
	for _, root := range []string{"", "/for/gnome", "/for/nobody", "/for/", "/for/%2e%2e", "/for/gnome/for/gnome"} {
		for _, token := range []string{used, "nonsense", "check", "", long, "a/b", "..", "%2F", "%00", "%ff"} {
			all = append(all, root+"/token/"+token+"/+bugtracker-handshake")
		}
		all = append(all, root+"/tokens/"+used+"/+bugtracker-handshake", root+"/token/"+live, root+"/token//+bugtracker-handshake/", root+"/token")
	}
	return append(all, "/", "//", "/../", "/./token/x/+bugtracker-handshake", "/%2e%2e/metrics", "/?q=1", "/token/x/+bugtracker-handshake?q=1", "/RPC2", "/bugs", "/trackers",
		"/trackers/gnome", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/favicon.ico", "/hooks/x", "/api/x", "/"+long, "*",
		"http://evil.example/token/x/+bugtracker-handshake", "http://evil.example/")
}

// exchange sends one request as it stands and returns the answer.
func exchange(tb testing.TB, addr, method, request string) httpAnswer {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startUpLimit)); err != nil {
		tb.Fatal(err)
	}
	go func() { _, _ = io.WriteString(c, request) }() // a large body may be refused before all of it is sent
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		tb.Fatalf("%.100q: %v", request, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("%.100q: %v", request, err)
	}
	return httpAnswer{res.StatusCode, res.Header, string(body)}
}

// wantPublicError checks that an answer is an error of the catalogue in the form
// that was asked for.
func wantPublicError(tb testing.TB, a httpAnswer, method string, asJSON bool) {
	tb.Helper()
	name, known := publicErrors[a.Status]
	if !known {
		tb.Fatalf("status %d is none of the public side's: %s", a.Status, a)
	}
	kind := "text/plain; charset=utf-8"
	if asJSON {
		kind = "application/json; charset=utf-8"
	}
	if kinds := a.Header.Values("Content-Type"); !slices.Equal(kinds, []string{kind}) {
		tb.Errorf("Content-Type %q, want %q: %s", kinds, kind, a)
	}
	if vary := a.Header.Values("Vary"); !slices.Equal(vary, []string{"Accept"}) {
		tb.Errorf("Vary %q: %s", vary, a)
	}
	if a.Header.Get("X-Content-Type-Options") != "nosniff" {
		tb.Errorf("no nosniff: %s", a)
	}
	if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); (name == "TOO_MANY_REQUESTS" || name == "STORE_UNAVAILABLE") != (err == nil && wait > 0) {
		tb.Errorf("Retry-After %q: %s", a.Header.Get("Retry-After"), a)
	}
	if allow := a.Header.Get("Allow"); (name == "METHOD_NOT_ALLOWED") != (allow == "POST") {
		tb.Errorf("Allow %q: %s", allow, a)
	}
	switch {
	case method == http.MethodHead:
		if a.Body != "" || a.Header.Get("Content-Length") == "0" {
			tb.Errorf("HEAD: %s", a)
		}
	case asJSON:
		a.wantCatalogueJSON(tb, a.Status, name)
		var e struct{ Message string }
		if err := json.Unmarshal([]byte(a.Body), &e); err != nil || strings.ContainsAny(e.Message, "\r\n") {
			tb.Errorf("message %q, %v", e.Message, err)
		}
	case a.Body == "" || bytes.ContainsAny([]byte(a.Body), "<{\n"):
		tb.Errorf("the text is %q", a.Body)
	}
}

// TestEveryErrorOfEveryPublicRouteIsOneOfTheCatalogue walks all routes with all
// methods, while all is well, while callers are throttled, and without a store.
func TestEveryErrorOfEveryPublicRouteIsOneOfTheCatalogue(t *testing.T) {
	t.Parallel()
	config := writeConfig(t, "", trackerEntry{name: "gnome", url: "http://127.0.0.1:1/", lines: "allow_private = true\n"})
	elsewhere := startGateway(t)
	for _, test := range []struct {
		name string
		args []string
		seen []int // statuses that must have been among the answers
	}{
		{"all is well", unlimited, []int{404, 405, 410}},
		{"callers are throttled", slow("handshake", 1), []int{404, 405, 429}},
		{"callers have failed", slow("handshake_failures", 1), []int{404, 405, 410, 429}},
		{"there is no store", with(unlimited, "--set", fmt.Sprintf("store.url=redis://127.0.0.1:%d", freePort(t))), []int{404, 405, 503}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, with(test.args, "--config", config)...)
			used, live := mint(t, elsewhere), mint(t, elsewhere) // tokens that there could be
			if test.name == "all is well" {
				used, live = mint(t, g), mint(t, g)
				present(t, g, used).wantText(t, http.StatusOK, validatedBody)
			}
			seen := map[int]int{}
			walk := func(method, target, more, body string) {
				t.Helper()
				for _, accept := range []string{"", "Accept: application/json\r\n", "Accept: text/html, application/json;q=0.5\r\n", "Accept: */*\r\n", "Accept: application/json;q=0\r\n"} {
					request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s%s\r\n%s", method, target, accept, more, body)
					answer := exchange(t, g.Public, method, request)
					if answer.Status < 400 {
						t.Fatalf("%s %.60s: %s", method, target, answer)
					}
					if answer.Status == http.StatusBadRequest && (strings.Contains(target, "%zz") || more == badHeader) {
						continue // net/http's own answer, from before any handler
					}
					seen[answer.Status]++
					wantPublicError(t, answer, method, strings.Contains(accept, "json") && !strings.Contains(accept, "q=0\r"))
				}
				if t.Failed() {
					t.Fatalf("it was for %s %.60s", method, target)
				}
			}
			for _, target := range walkTargets(used, live) {
				for _, method := range walkMethods {
					if method == "CONNECT" && !strings.HasPrefix(target, "/") {
						continue // its target has another form
					}
					walk(method, target, "", "")
				}
			}
			refused := "/token/nonsense/+bugtracker-handshake"
			walk("POST", refused, "Content-Length: 4194304\r\nExpect: 100-continue\r\n", "")
			walk("POST", refused, "Content-Length: 300000\r\nContent-Type: application/json\r\n", strings.Repeat("x", 300_000))
			walk("POST", refused, "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n")
			walk("POST", refused, "Origin: http://evil.example\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: evil.example\r\n", "")
			walk("POST", refused, badHeader, "")
			walk("POST", "/token/%zz/+bugtracker-handshake", "", "")
			for _, status := range test.seen {
				if seen[status] == 0 {
					t.Errorf("there was no answer %d among %v", status, seen)
				}
			}
		})
	}
}

// badHeader is one that net/http refuses.
const badHeader = "Bad Header: x\r\n"
