package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// tokenAuthority stands in for the gateway that made the captures: a token of letters and
// digits that begins with "good" is validated once, "status500" and its like are answered with
// that status, and everything else is refused with 410.
type tokenAuthority struct {
	URL string

	mu       sync.Mutex
	used     map[string]bool
	requests []authorityRequest
}

// authorityRequest is one callback as the authority received it; Path is the escaped path.
type authorityRequest struct {
	Method, Path, Body string
	Header             http.Header
}

var (
	callbackPath = regexp.MustCompile(`^/tokens?/([^/]+)/\+bugtracker-handshake$`)
	goodToken    = regexp.MustCompile(`^good[a-zA-Z0-9]*$`)
)

func startTokenAuthority(t testing.TB) *tokenAuthority {
	t.Helper()
	authority := &tokenAuthority{used: make(map[string]bool)}
	server := httptest.NewServer(authority)
	t.Cleanup(server.Close)
	authority.URL = server.URL
	return authority
}

// ServeHTTP answers a callback and remembers it.
func (a *tokenAuthority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The caller gave up half-way: there is nobody to answer.
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	path := r.URL.EscapedPath()
	a.requests = append(a.requests, authorityRequest{r.Method, path, string(body), r.Header})
	match := callbackPath.FindStringSubmatch(path)
	if match == nil {
		http.Error(w, "no such resource", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodPost {
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	token := match[1]
	if status, ok := strings.CutPrefix(token, "status"); ok {
		code, err := strconv.Atoi(status)
		if err == nil && code >= 200 && code <= 599 {
			// Whoever follows the redirect is told that all is well.
			w.Header().Set("Location", "/token/goodredirected/+bugtracker-handshake")
			w.WriteHeader(code)
			return
		}
	}
	if !goodToken.MatchString(token) || a.used[token] {
		http.Error(w, "refused", http.StatusGone)
		return
	}
	a.used[token] = true
	w.WriteHeader(http.StatusOK)
}

// Requests returns the callbacks that arrived since the last time it was asked.
func (a *tokenAuthority) Requests() []authorityRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	requests := a.requests
	a.requests = nil
	return requests
}
