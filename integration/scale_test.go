package integration

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/trackgate/trackgate/internal/redistest"
)

var (
	scaleTokensFlag = flag.String("scale-tokens", "10000,1000000,10000000", "the numbers of live tokens that BenchmarkScale measures, ascending")
	scaleExpiring   = flag.Int("scale-expiring", 1_000_000, "how many tokens expire at once in BenchmarkScale")
	scaleOps        = flag.Int("scale-ops", 20_000, "how many mintings and how many consumptions BenchmarkScale times at each size")
	scaleEventRate  = flag.Int("scale-events", 10_000, "how many events a second come into the feed in BenchmarkScale")
	scaleEventTime  = flag.Duration("scale-events-time", 10*time.Second, "how long they come, in whole seconds")
	scaleTSV        = flag.String("scale-tsv", "", "a file for the figures of BenchmarkScale, one a line, for integration/scale; none prints them")
)

// BenchmarkScale measures what grows with the number of tokens, of machines and of
// events: memory and latency at up to ten million live tokens, the slowest request
// while a million expire, CPU time per request on one Redis and on a cluster, and
// ten thousand events a second into the feed.
// Each part is a benchmark of its own, so that one can be chosen, as in
// -bench '^BenchmarkScale$/^cpu$'; each runs once.
func BenchmarkScale(b *testing.B) {
	sizes := readSizes(b)
	if *scaleExpiring < 1 || *scaleOps < scaleRounds || *scaleEventRate < 1 || *scaleEventTime < time.Second {
		b.Fatalf("-scale-expiring and -scale-events must be positive, -scale-ops %d or more, and -scale-events-time a second or more", scaleRounds)
	}
	redistest.Quiet()
	r := &scaleReport{}
	b.Run("tokens", func(b *testing.B) { scaleTokens(b, r, sizes) })
	b.Run("expiry", func(b *testing.B) { scaleExpiry(b, r) })
	b.Run("cpu", func(b *testing.B) { scaleCPU(b, r) })
	b.Run("events", func(b *testing.B) { scaleEvents(b, r) })
	r.close(b)
}

func readSizes(b *testing.B) []int {
	b.Helper()
	var sizes []int
	for text := range strings.SplitSeq(*scaleTokensFlag, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || len(sizes) > 0 && n <= sizes[len(sizes)-1] {
			b.Fatalf("-scale-tokens must be ascending numbers of tokens, not %q", *scaleTokensFlag)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// scaleReport collects figures for programs, and which goals were missed.
type scaleReport struct {
	figures strings.Builder
	missed  []string
}

// figure adds a line of what was measured: part, subject, number of tokens,
// gateways or events, name, value.
func (r *scaleReport) figure(part, subject string, n int, name string, value float64) {
	fmt.Fprintf(&r.figures, "%s\t%s\t%d\t%s\t%s\n", part, subject, n, name, strconv.FormatFloat(value, 'g', 6, 64))
}

// goal adds a figure that should not be above a number.
func (r *scaleReport) goal(part, subject string, n int, name string, value, most float64) {
	r.figure(part, subject, n, name, value)
	if value > most {
		r.missed = append(r.missed, fmt.Sprintf("%s, %s, %d: %s is %.4g, the goal %g", part, subject, n, name, value, most))
	}
}

func (r *scaleReport) close(b *testing.B) {
	b.Helper()
	switch {
	case b.Failed():
	case len(r.missed) == 0:
		fmt.Printf("\nEvery goal was met.\n\n")
	default:
		fmt.Printf("\nGoals that were missed:\n%s\n\n", strings.Join(r.missed, "\n"))
	}
	if *scaleTSV == "" {
		fmt.Printf("%s\n", r.figures.String())
		return
	}
	if err := os.WriteFile(*scaleTSV, []byte(r.figures.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}

// printTable prints rows below a title that says how busy the machine was.
func printTable(title, header string, rows []string) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, header+"\t")
	for _, row := range rows {
		fmt.Fprintln(w, row+"\t")
	}
	_ = w.Flush() // a strings.Builder takes everything
	busy, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		busy = []byte("unknown")
	}
	averages := strings.Fields(string(busy))
	fmt.Printf("\n%s (load averages at the end: %s)\n%s\n", title, strings.Join(averages[:min(3, len(averages))], " "), out.String())
}

// progress tells whoever waits what has been done.
func progress(b *testing.B, format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s: %s\n", time.Now().Format(time.TimeOnly), b.Name(), fmt.Sprintf(format, args...))
}

// inTurns makes the calls 0 to n-1 of work, a number of them at a time.
func inTurns(b *testing.B, workers, n int, work func(i int) error) {
	b.Helper()
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				if err := work(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// quantile is that of sorted times, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	return milliseconds(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)])
}
