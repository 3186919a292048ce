package integration

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// scrape reads /metrics.
func scrape(tb testing.TB, g *gatewayProcess) string {
	tb.Helper()
	answer := curl(tb, "http://"+g.Admin+"/metrics")
	if answer.Status != http.StatusOK {
		tb.Fatalf("metrics: %s", answer)
	}
	return answer.Body
}

// metric is the value of one series of a scrape, named with its labels as they
// are printed; 0 when there is none, as for a counter that never moved.
func metric(tb testing.TB, text, series string) float64 {
	tb.Helper()
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, series+" ")
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		return n
	}
	return 0
}
