package bridge_test

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
)

// logBuffer takes log lines from several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestNoLogLineHoldsATokenACookieOrAURL(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	var log logBuffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var secrets []string
	p.Validate(func(token string) bool { secrets = append(secrets, token); return true })
	for _, answer := range []func(w http.ResponseWriter, r *http.Request) bool{
		func(_ http.ResponseWriter, r *http.Request) bool { // works
			if c, err := r.Cookie("trac_auth"); err == nil {
				secrets = append(secrets, c.Value)
			}
			return false
		},
		func(w http.ResponseWriter, r *http.Request) bool { // refuses, and shows what it was sent
			http.Error(w, r.RequestURI+r.Header.Get("Cookie"), http.StatusUnauthorized)
			return true
		},
		func(w http.ResponseWriter, r *http.Request) bool { // leads elsewhere with what it was sent
			http.Redirect(w, r, "http://example.org"+r.RequestURI, http.StatusFound)
			return true
		},
		func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, r *http.Request) bool { // leads to what is no URL
			w.Header().Set("Location", "http://%zz"+r.RequestURI)
			w.WriteHeader(http.StatusFound)
			return true
		},
	} {
		p.Before(func(w http.ResponseWriter, r *http.Request, _ string) bool { return answer(w, r) })
		b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens(), bridge.WithLogger(logger))
		_ = b.Retry(t.Context(), "t")
		p.Expire()
		_, _ = b.GetLink(t.Context(), "t", "1")
	}
	lines := log.String()
	for _, want := range []string{"logged in to tracker", "refused the log-in", "log-in to tracker failed"} {
		if !strings.Contains(lines, want) {
			t.Errorf("no line says %q", want)
		}
	}
	for _, secret := range append(secrets, "token0", "://", "trac_auth=") {
		if strings.Contains(lines, secret) {
			t.Errorf("the log holds %q:\n%s", secret, lines)
		}
	}
}
