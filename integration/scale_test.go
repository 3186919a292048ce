package integration

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/redisstore"
)

var (
	scaleSizes    = flag.String("scale-sizes", "10000,1000000,10000000", "the numbers of live tokens that BenchmarkScale measures, ascending")
	scaleExpiring = flag.Int("scale-expiring", 1_000_000, "how many tokens expire at once in BenchmarkScale")
	scaleOps      = flag.Int("scale-ops", 20_000, "how many mintings and how many consumptions BenchmarkScale times at each size")
	scaleTSV      = flag.String("scale-tsv", "", "a file for the figures of BenchmarkScale, one a line, for integration/scale")
)

// BenchmarkScale measures what grows with the number of tokens and of machines:
// memory and latency at up to ten million live tokens, the slowest request while a
// million expire, and CPU time per request on one Redis and on a cluster.
func BenchmarkScale(b *testing.B) {
	sizes := readSizes(b)
	for b.Loop() {
		r := &scaleReport{}
		b.Run("tokens", func(b *testing.B) { scaleTokens(b, r, sizes) })
		b.Run("expiry", func(b *testing.B) { scaleExpiry(b, r) })
		b.Run("cpu", func(b *testing.B) { scaleCPU(b, r) })
		r.write(b)
	}
}

func readSizes(b *testing.B) []int {
	b.Helper()
	var sizes []int
	for text := range strings.SplitSeq(*scaleSizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n <= 0 || len(sizes) > 0 && n <= sizes[len(sizes)-1] {
			b.Fatalf("-scale-sizes must be ascending numbers of tokens, not %q", *scaleSizes)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// scaleReport collects tables for people and figures for programs.
type scaleReport struct {
	figures strings.Builder
}

// figure adds a line of what was measured: part, subject, number of tokens or
// gateways, name, value.
func (r *scaleReport) figure(part, subject string, n int, name string, value float64) {
	fmt.Fprintf(&r.figures, "%s\t%s\t%d\t%s\t%s\n", part, subject, n, name, strconv.FormatFloat(value, 'g', 6, 64))
}

func (r *scaleReport) write(b *testing.B) {
	b.Helper()
	if *scaleTSV == "" {
		fmt.Printf("\n%s\n", r.figures.String())
		return
	}
	if err := os.WriteFile(*scaleTSV, []byte(r.figures.String()), 0o644); err != nil {
		b.Fatal(err)
	}
}

// printTable prints rows below a title that says how busy the machine was.
func printTable(title string, header string, rows []string) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, header+"\t")
	for _, row := range rows {
		fmt.Fprintln(w, row+"\t")
	}
	_ = w.Flush() // a strings.Builder takes everything
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	fmt.Printf("\n%s (load averages at the end: %s)\n%s\n", title, strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "), out.String())
}

// scaleStore is a store under measurement, and what can be asked about its database.
type scaleStore struct {
	handshake.Store
	redis *redis.Client // nil for bolt
	file  string        // of bolt
}

// scaleKind makes stores of one kind.
type scaleKind struct {
	name string
	open func(b *testing.B) *scaleStore
}

// The names of the kinds stand in the plot as well.
func scaleKinds() []scaleKind {
	return []scaleKind{
		{"bolt", openScaleBolt},
		{"Redis in memory", func(b *testing.B) *scaleStore { return openScaleRedis(b, "--appendonly", "no") }},
		{"Redis on disk", func(b *testing.B) *scaleStore { return openScaleRedis(b) }},
	}
}

func openScaleBolt(b *testing.B) *scaleStore {
	b.Helper()
	path := filepath.Join(b.TempDir(), "tokens.db")
	// What has expired may be forgotten at once, so that it is forgotten during the measurement.
	s, err := boltstore.Open(path, boltstore.WithRetention(time.Millisecond), boltstore.WithStallLimit(time.Minute))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return &scaleStore{Store: s, file: path}
}

func openScaleRedis(b *testing.B, args ...string) *scaleStore {
	b.Helper()
	server := startRedis(b, redisOptions{args: args})
	client, err := redisstore.NewClient(server.URL)
	if err != nil {
		b.Fatal(err)
	}
	s, err := redisstore.New(client)
	if err != nil {
		b.Fatal(err)
	}
	plain := redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: time.Minute})
	b.Cleanup(func() { _, _, _ = s.Close(), client.Close(), plain.Close() })
	return &scaleStore{Store: s, redis: plain}
}

// info is one number of what INFO answers.
func (s *scaleStore) info(b *testing.B, field string) float64 {
	b.Helper()
	text, err := s.redis.Info(b.Context(), "everything").Result()
	if err != nil {
		b.Fatal(err)
	}
	value, ok := between([]byte(text), "\n"+field+":", "\r\n")
	number, err := strconv.ParseFloat(string(value), 64)
	if !ok || err != nil {
		b.Fatalf("INFO has %q for %s", value, field)
	}
	return number
}

func scaleRecord(now time.Time, lifetime time.Duration) handshake.Record {
	id := handshake.ID{Millis: now.UnixMilli()}
	_, _ = rand.Read(id.Hash[:]) // documented never to fail
	return handshake.Record{ID: id, Kind: handshake.BugTracker, Expires: id.Time().Add(lifetime)}
}

// fillWorkers is how many mintings of a fill are under way at once.
const fillWorkers = 2048

// fill mints n tokens, each with the lifetime that lifetime gives at its time. It
// returns every so-manieth of them, and the last.
func (s *scaleStore) fill(b *testing.B, n, every int, lifetime func(now time.Time) time.Duration) (sample []handshake.Record, last handshake.Record) {
	b.Helper()
	var mu sync.Mutex
	inTurns(b, fillWorkers, n, func(i int) error {
		r := scaleRecord(time.Now(), lifetime(time.Now()))
		if err := s.Mint(b.Context(), r); err != nil {
			return err
		}
		if i%every != 0 && i < n-fillWorkers {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if i%every == 0 {
			sample = append(sample, r)
		}
		if r.ID.Millis > last.ID.Millis {
			last = r
		}
		return nil
	})
	return sample, last
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
