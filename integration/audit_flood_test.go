package integration

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// Refusals of one caller in a minute, and callers, that the trail lists.
	listedRefusals = 10
	listedCallers  = 10_000
)

// madeUp is a text that looks like a token of now and is none: its last characters
// are another's.
func madeUp(token string, n int) string {
	tail := strconv.Itoa(100_000 + n)
	return token[:len(token)-len(tail)] + tail
}

// presentFrom presents a token as a reverse proxy would for a caller.
func (l *loader) presentFrom(tb testing.TB, g *gatewayProcess, token, caller string) int {
	request, err := http.NewRequest(http.MethodPost, "http://"+g.Public+callback("", token), nil)
	if err != nil {
		tb.Error(err)
		return 0
	}
	request.Header.Set("X-Forwarded-For", caller)
	response, err := l.client.Do(request)
	if err != nil {
		tb.Error(err)
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// flood presents n made-up tokens, each from the address that caller names.
func flood(t *testing.T, g *gatewayProcess, token string, n int, caller func(n int) string) {
	t.Helper()
	load := newLoader()
	defer load.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for worker := range crashWorkers {
		wg.Go(func() {
			for i := worker; i < n; i += crashWorkers {
				if status := load.presentFrom(t, g, madeUp(token, i), caller(i)); status != http.StatusGone {
					t.Errorf("a made-up token is answered %d", status)
					return
				}
			}
		})
	}
	wg.Wait()
}

var suppressedCount = regexp.MustCompile(`^(\d+) entries: token/unknown=(\d+)$`)

// told returns how many refusals the trail lists, how many it counts, and for how
// many minutes it did so.
func told(t *testing.T, entries []trailEntry) (listed, counted, minutes int) {
	t.Helper()
	var first, last time.Time
	for _, e := range entries {
		switch {
		case e.Event == "refused":
			listed++
			at, err := time.Parse(time.RFC3339, e.Time)
			if err != nil {
				t.Fatal(err)
			}
			if first.IsZero() {
				first = at
			}
			last = at
		case e.Event == "suppressed":
			match := suppressedCount.FindStringSubmatch(e.Detail)
			if match == nil || match[1] != match[2] || e.Reason != "flood" {
				t.Fatalf("the summary is %+v", e)
			}
			n, _ := strconv.Atoi(match[1])
			counted += n
		case e.Event == "consumed" && e.Outcome == "intended":
			t.Errorf("a made-up token leaves an intention: %+v", e)
		}
	}
	return listed, counted, int(last.Sub(first)/time.Minute) + 2
}

func TestStrangersCannotFloodTheTrail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		calls  int
		most   int // that are listed a minute
		caller func(n int) string
	}{
		{"from one address", 2000, listedRefusals, func(int) string { return "192.0.2.7" }},
		{"from one network of IPv6", 2000, listedRefusals, func(n int) string { return fmt.Sprintf("2001:db8::%x", n+1) }},
		{"from many addresses", listedCallers + 2000, listedCallers, func(n int) string { return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := with(unlimited, "--set", "public.trusted_proxies=127.0.0.1", "--set", "audit.key_file="+auditKeyFile(t, "flood"))
			g := startGateway(t, args...)
			flood(t, g, mint(t, g), test.calls, test.caller)
			if status := g.Stop(); status != 0 {
				t.Errorf("the gateway ended with %d", status)
			}
			listed, counted, minutes := told(t, exportTrail(t, g.Data, args))
			if listed+counted != test.calls || listed < test.most || listed > test.most*minutes {
				t.Errorf("of %d refusals %d are listed and %d counted within %d minutes", test.calls, listed, counted, minutes)
			}
			verifyTrail(t, g.Data, args).wantWhole(t, 1)
			if strings.Contains(g.Output(), "level=ERROR") {
				t.Errorf("the log is\n%s", g.Output())
			}
		})
	}
}
