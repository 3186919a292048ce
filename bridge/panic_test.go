package bridge

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
)

func TestADialectThatPanicsEndsItsCallAndNotTheProcess(t *testing.T) {
	var log strings.Builder
	b, d := newBare(t, Config{URL: "http://tracker.test"}, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	var none []string
	check := func(where string, err error) {
		t.Helper()
		if !apierror.Is(err, apierror.ServerError) {
			t.Errorf("%s: %v, want SERVER_ERROR", where, err)
		}
		if lines := log.String(); !strings.Contains(lines, "index out of range") || !strings.Contains(lines, "panic_test.go") || !strings.Contains(lines, "tracker=t") {
			t.Errorf("%s: the log says %s", where, lines)
		}
		log.Reset()
	}
	d.login = func(context.Context, *Credentials) (*Session, error) { panic(none[len(none):][0]) }
	s := b.trackers["t"].candidates[0].session
	for range 2 { // and the next caller does not wait for ever
		_, err := s.acquire(t.Context(), 0)
		b.logins.Wait()
		check("log-in", err)
	}
	if state, _ := s.state(); state != SessionNone {
		t.Errorf("session %s: the tracker has done nothing wrong", state)
	}
	err := Batched(t.Context(), d.remote, []string{"1"}, func(context.Context, []string) (string, error) {
		return none[0], nil
	}, func(string) error { return nil })
	check("ask", err)
	err = Batched(t.Context(), d.remote, []string{"1"}, func(context.Context, []string) (string, error) {
		return "", nil
	}, func(string) error { _ = none[0]; return nil })
	check("collect", err)
}
