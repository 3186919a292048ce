package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes to an address and returns the answer: for what curl cannot send.
func raw(tb testing.TB, addr, request string) *http.Response {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(startUpLimit)); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		tb.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { response.Body.Close() })
	return response
}

// whatABrowserSends are headers of requests that a web page, or a name that an
// attacker rebound to this machine, would cause.
var whatABrowserSends = []struct{ name, header string }{
	{"a script of another site", "Origin: https://evil.example"},
	{"a script of the machine itself", "Origin: http://127.0.0.1:8087"},
	{"a sandboxed frame", "Origin: null"},
	{"an image of another site", "Sec-Fetch-Site: cross-site"},
	{"a form of the same site", "Sec-Fetch-Site: same-site"},
	{"a page of the same origin", "Sec-Fetch-Site: same-origin"},
	{"a rebound name", "Host: evil.example"},
	{"a rebound name with a port", "Host: evil.example:8087"},
	{"a name that begins with an address", "Host: 127.0.0.1.evil.example"},
	{"a name that ends with localhost", "Host: evil.localhost"},
	{"a name that begins like a listed one", "Host: gate.corp.example.evil.example"},
	{"a name with a trick in it", "Host: localhost@evil.example"},
}

func TestThePrivateAndTheAdminSideRefuseWhatAWebPageCouldSend(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "private.hosts=gate.corp.example", "--set", "admin.hosts=gate.corp.example")
	for _, test := range whatABrowserSends {
		t.Run(test.name, func(t *testing.T) {
			answer := postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken"), "--header", test.header, "--header", "Accept: application/json")
			if answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest {
				t.Errorf("private: %s", answer)
			}
			if answer.Status == http.StatusForbidden {
				answer.wantCatalogueJSON(t, http.StatusForbidden, "FORBIDDEN")
			}
			for _, path := range []string{"/metrics", "/healthz", "/debug/pprof/"} {
				answer := curl(t, "--header", test.header, "http://"+g.Admin+path)
				if answer.Status != http.StatusForbidden && answer.Status != http.StatusBadRequest {
					t.Errorf("admin: %s", answer)
				}
			}
			// A simple request, as a form sends it without asking first.
			answer = curl(t, "--header", test.header, "--header", "Content-Type: text/plain", "--data-binary", rpcDocument("bugs.newBugTrackerToken"), "http://"+g.Private+"/RPC2")
			if answer.Status == http.StatusOK {
				t.Errorf("a simple request: %s", answer)
			}
			answer = curl(t, "--request", "OPTIONS", "--header", test.header, "--header", "Access-Control-Request-Method: POST", "http://"+g.Private+"/RPC2")
			if answer.Status < 400 || answer.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("a preflight: %s", answer)
			}
		})
	}
	if minted := metric(t, scrape(t, g), "trackgate_tokens_minted_total"); minted != 0 {
		t.Errorf("%v tokens were minted", minted)
	}
}

func TestThePrivateSideLetsInWhatOldClientsSend(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "private.hosts=gate.corp.example")
	_, port, err := net.SplitHostPort(g.Private)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1:" + port, "localhost", "LocalHost:" + port, "localhost.", "gate.corp.example", "GATE.corp.example:80", "[::1]:" + port, "192.0.2.9"} {
		postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken"), "--header", "Host: "+host).wantMinted(t, host)
	}
	postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken"), "--header", "Sec-Fetch-Site: none").wantMinted(t, "Sec-Fetch-Site: none")
	document := rpcDocument("bugs.newBugTrackerToken")
	response := raw(t, g.Private, fmt.Sprintf("POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(document), document))
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !mintedValue.MatchString(squeezed(string(body))) {
		t.Errorf("HTTP/1.0 without Host: %d %q, %v", response.StatusCode, body, err)
	}
	if response := raw(t, g.Admin, "GET /healthz HTTP/1.0\r\n\r\n"); response.StatusCode != http.StatusOK {
		t.Errorf("HTTP/1.0 without Host at the admin side: %s", response.Status)
	}
}

// wantMinted checks that an answer hands out a token.
func (a httpAnswer) wantMinted(tb testing.TB, name string) {
	tb.Helper()
	if a.Status != http.StatusOK || !mintedValue.MatchString(squeezed(a.Body)) {
		tb.Errorf("%s: %s", name, a)
	}
}

func TestAnAddressOutsideTheAllowedNetworksIsRefused(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "private.allow=192.0.2.0/24,2001:db8::/32")
	answer := postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken"), "--header", "Accept: application/json")
	answer.wantCatalogueJSON(t, http.StatusForbidden, "FORBIDDEN")
	answer = postXML(t, g, "/RPC2", rpcDocument("bugs.newBugTrackerToken"), "--header", "X-Forwarded-For: 192.0.2.1")
	answer.wantText(t, http.StatusForbidden, "Insufficient permissions.")
	if answer := curl(t, "http://"+g.Private+"/RPC2"); answer.Status != http.StatusForbidden {
		t.Errorf("the page: %s", answer)
	}
	if answer := curl(t, "http://"+g.Admin+"/healthz"); answer.Status != http.StatusOK {
		t.Errorf("private.allow shuts the admin side: %s", answer)
	}
	if minted := metric(t, scrape(t, g), "trackgate_tokens_minted_total"); minted != 0 {
		t.Errorf("%v tokens were minted", minted)
	}
}

func TestNothingOfOneListenerIsReachedThroughAnother(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	paths := map[string][]string{
		g.Private: {"/RPC2", "/bugs", "/trackers"},
		g.Public:  {callback("", "x"), "/tokens/x/+bugtracker-handshake", callback("/for/gnome", "x")},
		g.Admin:   {"/metrics", "/healthz", "/readyz", "/debug/pprof/"},
	}
	for owner, own := range paths {
		for _, path := range own {
			for addr := range paths {
				answer := curl(t, "http://"+addr+path)
				if found := answer.Status != http.StatusNotFound; found != (addr == owner) {
					t.Errorf("%s at %s: %s", path, addr, answer)
				}
				if addr != owner && strings.Contains(answer.Body, "trackgate") {
					t.Errorf("%s at %s tells %q", path, addr, answer.Body)
				}
			}
		}
	}
}
