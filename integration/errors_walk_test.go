package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// publicErrors are the errors that the public side has, by status: a closed set.
var publicErrors = map[int]string{
	http.StatusBadRequest:            "INVALID_DATA",
	http.StatusForbidden:             "TOKEN_MISMATCH",
	http.StatusNotFound:              "RESOURCE_NOT_FOUND",
	http.StatusMethodNotAllowed:      "METHOD_NOT_ALLOWED",
	http.StatusGone:                  "TOKEN_INVALID",
	http.StatusRequestEntityTooLarge: "REQUEST_TOO_LARGE",
	http.StatusTooManyRequests:       "TOO_MANY_REQUESTS",
	http.StatusServiceUnavailable:    "STORE_UNAVAILABLE",
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
		"/trackers/gnome", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/favicon.ico", "/api/x", "/"+long, "*",
		"http://evil.example/token/x/+bugtracker-handshake", "http://evil.example/",
		"/hooks/x", "/hooks", "/hooks/", "/hooks//", "/hooks/commits", "/hooks/commits/", "/hooks/commits?token="+live, "/hooks/commits/more", "/hooks/Commits", "/hooks/../hooks/commits",
		"/hooks/%63ommits", "/%68ooks/commits", "/hooks%2Fcommits", "/hooks/commits%00", "/hooks/"+long, "//hooks/commits", "/hook/commits", "/for/gnome/hooks/commits",
		"http://evil.example/hooks/commits")
}

// alwaysJSON tells whether a target is one of hooks, whose errors are JSON whatever is accepted.
func alwaysJSON(target string) bool {
	u, err := url.ParseRequestURI(target)
	return err == nil && strings.HasPrefix(u.EscapedPath(), "/hooks/")
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
	config := writeConfig(t, commitsHook+buildsHook, trackerEntry{name: "gnome", url: "http://127.0.0.1:1/", lines: "allow_private = true\n"})
	elsewhere := startGateway(t)
	for _, test := range []struct {
		name string
		args []string
		seen []int // statuses that must have been among the answers
	}{
		{"all is well", unlimited, []int{400, 403, 404, 405, 410, 413}},
		{"callers are throttled", slow("handshake", 1), []int{404, 405, 429}},
		{"callers have failed", slow("handshake_failures", 1), []int{404, 405, 410, 429}},
		{"callers of hooks are throttled", slowHooks("1", "100"), []int{404, 405, 410, 429}},
		{"callers of hooks have failed", with(slowHooks("100000", "1"), "--set", "limits.handshake.rate=off", "--set", "limits.handshake_failures.rate=off"), []int{400, 403, 404, 405, 410, 429}},
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
					wantPublicError(t, answer, method, alwaysJSON(target) || strings.Contains(accept, "json") && !strings.Contains(accept, "q=0\r"))
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
			for _, more := range walkBodies() {
				walk("POST", "/hooks/commits", more[0], more[1])
				walk("POST", "/hooks/builds", more[0], more[1])
			}
			for _, status := range test.seen {
				if seen[status] == 0 {
					t.Errorf("there was no answer %d among %v", status, seen)
				}
			}
		})
	}
}

// walkBodies are headers and bodies of calls of hooks, each with something wrong.
func walkBodies() (all [][2]string) {
	add := func(kind, body, more string) {
		all = append(all, [2]string{fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n%s", kind, len(body), more), body})
	}
	const form, document, parts = "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=b"
	part := func(head, text string) string { return "--b\r\n" + head + "\r\n\r\n" + text + "\r\n" }
	for _, kind := range []string{"", "text/plain", "application/xml", "nonsense", form + "; charset=utf-7", "multipart/form-data", parts + "\r\nContent-Type: " + form, document + "; charset=koi8-r"} {
		add(kind, "bug=7&token=wrong", "")
	}
	for _, body := range []string{
		"", "bug=7", "bug=7&token=wrong", "bug=x&token=wrong", "bug=7&bug=8&token=wrong&token=wrong", "token=%zz", "bug=7&token=%ff", "bug=%00&token=%00", "token=line%0D%0Aline",
		strings.Repeat("a=b&", 101), strings.Repeat("n", 300) + "=1", "token=" + strings.Repeat("t", 300), "message=" + strings.Repeat("m", 300_000),
	} {
		add(form, body, "")
	}
	for _, body := range []string{
		"", "{", "[]", "null", `"token"`, `{"token": "wrong", "issue": {"number": 7}}`, `{"token": ["wrong"]}`, `{"token": {}, "issue": 7}`, `{"token": "wrong", "token": "wrong"}`,
		"{\"token\": \"\xff\"}", `{"token": "\u0000"}`, strings.Repeat("[", 100_000), `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
		"{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 101), ",") + "}", `{"message": "` + strings.Repeat("m", 300_000) + `"}`,
	} {
		add(document, body, "")
	}
	for _, body := range []string{
		"", "--b", "--b--\r\n", "--c--\r\n", part("", "x") + "--b--\r\n", part("Content-Disposition: form-data; name=token", "wrong") + "--b--\r\n",
		part("Content-Disposition: form-data; name=token; filename=f", "wrong") + "--b--\r\n", part("Content-Disposition: form-data; name=token", "wrong"),
		part("Content-Disposition: form-data; name=token\r\nContent-Type: text/plain; charset=x", "wrong") + "--b--\r\n",
		strings.Repeat(part("Content-Disposition: form-data; name=a", "x"), 101) + "--b--\r\n",
	} {
		add(parts, body, "")
	}
	for _, header := range []string{
		"Content-Encoding: gzip", "Authorization: Bearer wrong", "Authorization: Bearer", "Authorization: Bearer wrong\r\nAuthorization: Bearer wrong", "Authorization: Bearer \xff",
		"webhook-id: a.b", "webhook-id: a\r\nwebhook-id: b", "webhook-signature: v1,AAAA", "X-Hub-Signature-256: sha256=00", "X-HTTP-Method-Override: PUT", "Cookie: token=wrong",
	} {
		add(form, "bug=7", header+"\r\n")
	}
	return append(all,
		[2]string{"Content-Type: " + form + "\r\nContent-Length: 4194304\r\nExpect: 100-continue\r\n", ""},
		[2]string{"Content-Type: " + form + "\r\nTransfer-Encoding: chunked\r\n", "5\r\nbug=7\r\n0\r\n\r\n"},
	)
}

// badHeader is one that net/http refuses.
const badHeader = "Bad Header: x\r\n"
