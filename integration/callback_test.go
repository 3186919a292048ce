package integration

import (
	"net/http"
	"strings"
	"testing"
)

// The handshake's own words, byte for byte.
const (
	validatedBody = "Handshake token validated."
	invalidBody   = "Token has already been used or is invalid."
	methodBody    = "Only POST requests are accepted for bugtracker handshakes."
)

// wantText checks a plain text answer of the handshake, byte for byte.
func (a httpAnswer) wantText(tb testing.TB, status int, body string) {
	tb.Helper()
	kind := a.Header.Get("Content-Type")
	if a.Status != status || a.Body != body || kind != "text/plain; charset=utf-8" || a.Header.Get("Vary") != "Accept" {
		tb.Errorf("got %s, want %d %q as text/plain", a, status, body)
	}
}

func TestATokenIsValidatedOnceHoweverTheCallbackIsSent(t *testing.T) {
	t.Parallel()
	g := startGateway(t, unlimited...)
	for _, test := range []struct {
		name string
		args []string
		path func(token string) string
	}{
		{"empty", []string{"--request", "POST"}, nil},
		{"with a length of zero", []string{"--data", ""}, nil},
		{"as a form", []string{"--data", "from=trac&token=x"}, nil},
		{"as a multipart form", []string{"--form", "from=trac"}, nil},
		{"with a body and no Content-Type", []string{"--data", "from=trac", "--header", "Content-Type:"}, nil},
		{"with a strange Content-Type", []string{"--data", "{}", "--header", "Content-Type: nonsense"}, nil},
		{"with HTTP/1.0", []string{"--request", "POST", "--http1.0"}, nil},
		{"in chunks", []string{"--data", "x=y", "--header", "Transfer-Encoding: chunked"}, nil},
		{"with a query", []string{"--request", "POST"}, func(token string) string { return callback("", token) + "?next=/" }},
		{"under /tokens/", []string{"--request", "POST"}, func(token string) string { return "/tokens/" + token + "/+bugtracker-handshake" }},
		{"with the plus encoded", []string{"--request", "POST"}, func(token string) string { return "/token/" + token + "/%2Bbugtracker-handshake" }},
		{"with the token encoded", []string{"--request", "POST"}, func(token string) string { return callback("", percentEncoded(token)) }},
		{"with Accept: */*", []string{"--request", "POST", "--header", "Accept: */*"}, nil},
		{"with Accept: text/html", []string{"--request", "POST", "--header", "Accept: text/html"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := mint(t, g)
			path := callback("", token)
			if test.path != nil {
				path = test.path(token)
			}
			args := append(test.args, "http://"+g.Public+path)
			curl(t, args...).wantText(t, http.StatusOK, validatedBody)
			curl(t, args...).wantText(t, http.StatusGone, invalidBody)
			present(t, g, token).wantText(t, http.StatusGone, invalidBody)
		})
	}
}

// TestAPathThatIsNoPathIsRefusedByTheServerItself sends what no URL can be: the
// answer is that of net/http, before any handler of the gateway runs.
func TestAPathThatIsNoPathIsRefusedByTheServerItself(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, token := range []string{"%", "%zz", "%2", "%u002e"} {
		answer := curl(t, "--request", "POST", "http://"+g.Public+callback("", token))
		if answer.Status != http.StatusBadRequest || answer.Header.Get("Location") != "" {
			t.Errorf("%s: %s", token, answer)
		}
	}
}

// percentEncoded encodes every byte of a text, also those that need it not.
func percentEncoded(text string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		b.Write([]byte{'%', digits[text[i]>>4], digits[text[i]&15]})
	}
	return b.String()
}

func TestACallbackIsAnsweredInJSONToWhoeverAsksForIt(t *testing.T) {
	t.Parallel()
	g := startGateway(t, unlimited...)
	for _, accept := range []string{"application/json", "text/html, application/json;q=0.9", "APPLICATION/JSON"} {
		token := mint(t, g)
		header := []string{"--header", "Accept: " + accept}
		e := curl(t, append(header, "http://"+g.Public+callback("", token))...).wantCatalogueJSON(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
		if *e.Message != methodBody {
			t.Errorf("%s: the message is %q", accept, *e.Message)
		}
		answer := present(t, g, token, header...)
		if answer.Status != http.StatusOK || answer.Body != `{"status": "validated"}` || answer.Header.Get("Vary") != "Accept" ||
			answer.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: %s", accept, answer)
		}
		e = present(t, g, token, header...).wantCatalogueJSON(t, http.StatusGone, "TOKEN_INVALID")
		if *e.Message != invalidBody || e.ErrorList[0].Code != "resource-not-found" || len(*e.Extra) != 0 {
			t.Errorf("%s: the refusal is %+v", accept, e)
		}
	}
}

func TestWhatIsNoTokenOfOursIsGoneAndNeverAnotherResource(t *testing.T) {
	t.Parallel()
	g := startGateway(t, unlimited...)
	used := mint(t, g)
	present(t, g, used).wantText(t, http.StatusOK, validatedBody)
	reference := present(t, g, used)
	altered := "0" + used[1:]
	if used[0] == '0' {
		altered = "1" + used[1:]
	}
	for _, token := range []string{
		"check", "x", "unknown", altered, used + "x", used[:len(used)-1], strings.ToUpper(used), strings.Repeat("a", 4000),
		strings.Repeat("0", len(used)), strings.Repeat("z", len(used)),
		"../+index", "..%2F%2Bindex", "%2E%2E/%2Bindex", "%2e%2e%2f%2bindex", "..%252F%252Bindex", "%252e%252e/+index",
		"", ".", "..", "%2E", "%2E%2E", "%2F", "%00", "%0D%0ASet-Cookie:a=b", "%FF%FE", "a/b", "a//b", "//", "..;/x",
		"%C3%A4", "a%20b", "a+b", used + "%00", used + "%20", used + "/", "/" + used, "./" + used, "x/../" + used, "%0a" + used,
	} {
		for _, path := range []string{callback("", token), "/tokens/" + token + "/+bugtracker-handshake", callback("/for/nobody", token)} {
			answer := curl(t, "--request", "POST", "http://"+g.Public+path)
			answer.wantText(t, http.StatusGone, invalidBody)
			if answer.Header.Get("Location") != "" {
				t.Errorf("%s leads to %s", path, answer.Header.Get("Location"))
			}
			for name, values := range answer.Header {
				if name != "Date" && strings.Join(values, ",") != strings.Join(reference.Header[name], ",") {
					t.Errorf("%s: %s is %q, and for a used token %q", path, name, values, reference.Header[name])
				}
			}
			if len(answer.Header) != len(reference.Header) {
				t.Errorf("%s has the headers %v, and a used token %v", path, answer.Header, reference.Header)
			}
			if t.Failed() {
				t.Fatalf("at %s", path)
			}
		}
	}
}

func TestOnlyPOSTIsAnsweredAndTheTokenStaysLive(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	token := mint(t, g)
	for _, path := range []string{callback("", token), "/tokens/" + token + "/+bugtracker-handshake", callback("/for/gnome", token), callback("", "nothing")} {
		url := "http://" + g.Public + path
		for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "post"} {
			answer := curl(t, "--request", method, url)
			answer.wantText(t, http.StatusMethodNotAllowed, methodBody)
			if allow := answer.Header.Values("Allow"); len(allow) != 1 || allow[0] != "POST" {
				t.Errorf("%s: Allow is %q", method, allow)
			}
		}
		answer := curl(t, "--head", url)
		if answer.Status != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" || answer.Body != "" {
			t.Errorf("HEAD: %s", answer)
		}
		curl(t, "--request", "PUT", "--data", "x", url).wantText(t, http.StatusMethodNotAllowed, methodBody)
	}
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
}

// TestTheTokenOfAProbeIsNoFailedHandshake allows a single failure.
func TestTheTokenOfAProbeIsNoFailedHandshake(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "limits.handshake_failures.rate=1/h", "--set", "limits.handshake_failures.burst=1")
	for range 5 {
		present(t, g, "check").wantText(t, http.StatusGone, invalidBody)
	}
	present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
	present(t, g, "nonsense").wantText(t, http.StatusGone, invalidBody)
	if answer := present(t, g, mint(t, g)); answer.Status != http.StatusTooManyRequests {
		t.Errorf("after a failure: %s", answer)
	}
}

func TestAnExpiredTokenIsGone(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "token.lifetime=1s")
	token := mint(t, g)
	g.await(t, func() bool {
		f := runGateway(t, token+"\n", nil, "token", "show", "--data", g.Data)
		if f.status != 0 {
			t.Fatalf("token show: %+v", f)
		}
		return strings.Contains(f.stdout, "expired")
	})
	present(t, g, token).wantText(t, http.StatusGone, invalidBody)
	if text := scrape(t, g); metric(t, text, `trackgate_tokens_refused_total{reason="expired"}`) != 1 {
		t.Error("the refusal was not counted as that of an expired token")
	}
}

func TestEveryErrorOfThePublicSideIsOfTheCatalogue(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, path := range []string{
		"/", "/favicon.ico", "/token", "/token/", "/token/x", "/token/x/", "/token/x/+index", "/tokens/x/+bugtracker-handshake/more", "/for/",
		"/for/gnome", "/for/gnome/", "/for/gnome/token/x", "/Token/x/+bugtracker-handshake", "/token/x/+Bugtracker-handshake", "//token/x/+bugtracker-handshake",
		"/RPC2", "/bugs", "/metrics", "/hooks", "/api/v2/x", "/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/a%00b",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			url := "http://" + g.Public + path
			args := []string{"--request", method}
			answer := curl(t, append(args, "--header", "Accept: application/json", url)...)
			answer.wantCatalogueJSON(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
			curl(t, append(args, url)...).wantText(t, http.StatusNotFound, "The resource requested was not found.")
			if t.Failed() {
				t.Fatalf("at %s %s", method, path)
			}
		}
	}
}
