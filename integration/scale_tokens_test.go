package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
)

const (
	// scaleWorkers is how many requests are under way while latency is measured.
	scaleWorkers = 32
	scaleRounds  = 5
	// scaleLifetime lets tokens live until all of a size is measured.
	scaleLifetime = 4 * time.Hour
)

// scaleTokens measures memory and latency of each kind of store at each size.
//
// Every round at a size comes right after one on a store of the same kind that
// holds as many tokens as the smallest size, so that what else the machine does
// meets both alike. The ratios are medians of the rounds' ratios.
func scaleTokens(b *testing.B, r *scaleReport, sizes []int) {
	var rows []string
	for _, kind := range scaleKinds() {
		b.Run(kind.name, func(b *testing.B) {
			small := newPopulation(b, kind)
			begun := time.Now()
			perToken := small.grow(b, sizes[0])
			row := func(n int, bytes float64, filled time.Duration, s *latencies, flat [4]float64) {
				figures := [4]float64{median(s.mint50), median(s.mint99), median(s.consume50), median(s.consume99)}
				text := fmt.Sprintf("%s\t%d\t%.0f\t%.0f", kind.name, n, bytes, float64(n)/filled.Seconds())
				for i, name := range []string{"mint_p50_ms", "mint_p99_ms", "consume_p50_ms", "consume_p99_ms"} {
					r.figure("tokens", kind.name, n, name, figures[i])
					r.figure("tokens", kind.name, n, name+"_ratio", flat[i])
					text += fmt.Sprintf("\t%.2f ms\t(%.2f)", figures[i], flat[i])
				}
				r.figure("tokens", kind.name, n, "bytes_per_token", bytes)
				rows = append(rows, text)
			}
			var own latencies
			small.measure(b, &own) // the first round warms up
			own = latencies{}
			for range scaleRounds {
				small.measure(b, &own)
			}
			row(sizes[0], perToken, time.Since(begun), &own, [4]float64{1, 1, 1, 1})
			if len(sizes) == 1 {
				return
			}
			large := newPopulation(b, kind)
			for _, n := range sizes[1:] {
				begun := time.Now()
				missing := n - large.tokens
				perToken := large.grow(b, n)
				filled := time.Since(begun) * time.Duration(n) / time.Duration(missing)
				var beside, measured latencies
				for range scaleRounds {
					small.measure(b, &beside)
					large.measure(b, &measured)
				}
				row(n, perToken, filled, &measured, measured.to(&beside))
			}
		})
	}
	printTable(fmt.Sprintf("live tokens, %d requests at a time, medians of %d rounds, in brackets the ratio to the smallest size", scaleWorkers, scaleRounds),
		"store\ttokens\tbytes a token\tfilled/s\tmint p50\t\tmint p99\t\tconsume p50\t\tconsume p99\t", rows)
}

// population is a store with a number of live tokens, some of which are known.
type population struct {
	*scaleStore
	tokens int
	known  []handshake.Record
	empty  float64 // the size of the database without tokens
}

func newPopulation(b *testing.B, kind scaleKind) *population {
	b.Helper()
	p := &population{scaleStore: kind.open(b)}
	// One token of short life, so that connections and scripts are there.
	p.fill(b, 1, 1, func(time.Time) time.Duration { return handshake.MinLifetime })
	p.empty = p.size(b)
	return p
}

// grow mints until there are n tokens, and returns the bytes per token.
func (p *population) grow(b *testing.B, n int) float64 {
	b.Helper()
	missing := n - p.tokens
	sample, _ := p.fill(b, missing, max(1, missing / *scaleOps), func(time.Time) time.Duration { return scaleLifetime })
	p.tokens = n
	p.known = append(p.known, sample...)
	rand.Shuffle(len(p.known), func(i, j int) { p.known[i], p.known[j] = p.known[j], p.known[i] })
	return (p.size(b) - p.empty) / float64(n)
}

// size is how many bytes the database takes, once it has settled: a hash table
// that grows exists twice for a while, and a file is rewritten in the background.
func (p *population) size(b *testing.B) float64 {
	b.Helper()
	if p.redis == nil {
		info, err := os.Stat(p.file)
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size())
	}
	const settled, patience = 0.0005, time.Minute
	limit := time.Now().Add(patience)
	for before := 0.0; ; {
		busy := p.info(b, "aof_rewrite_in_progress") + p.info(b, "aof_rewrite_scheduled")
		size := p.info(b, "used_memory")
		if busy == 0 && size < before*(1+settled) && size > before*(1-settled) || time.Now().After(limit) {
			return size
		}
		before = size
		time.Sleep(time.Second)
	}
}

// latencies are those of some rounds, in milliseconds.
type latencies struct{ mint50, mint99, consume50, consume99 []float64 }

// to are the medians of the ratios to other rounds.
func (l *latencies) to(other *latencies) (ratios [4]float64) {
	for i, pair := range [4][2][]float64{
		{l.mint50, other.mint50}, {l.mint99, other.mint99}, {l.consume50, other.consume50}, {l.consume99, other.consume99},
	} {
		each := make([]float64, len(pair[0]))
		for j := range each {
			each[j] = pair[0][j] / pair[1][j]
		}
		ratios[i] = median(each)
	}
	return ratios
}

// measure makes one round: as many mintings as consumptions, so that the number
// of live tokens stays. What is consumed is spread evenly over all tokens.
func (p *population) measure(b *testing.B, l *latencies) {
	b.Helper()
	n := *scaleOps / scaleRounds
	minted := make([]handshake.Record, n)
	mint := timed(b, n, func(i int) error {
		minted[i] = scaleRecord(time.Now(), scaleLifetime)
		return p.Mint(b.Context(), minted[i])
	})
	p.known = append(p.known, minted...)
	victims := p.known[:n]
	p.known = p.known[n:]
	consume := timed(b, n, func(i int) error {
		_, reason, err := p.Consume(b.Context(), handshake.Claim{ID: victims[i].ID, Kind: handshake.BugTracker, At: time.Now()})
		if err == nil && reason != handshake.Granted {
			err = fmt.Errorf("a live token was refused: %v", reason)
		}
		return err
	})
	l.mint50, l.mint99 = append(l.mint50, quantile(mint, 0.5)), append(l.mint99, quantile(mint, 0.99))
	l.consume50, l.consume99 = append(l.consume50, quantile(consume, 0.5)), append(l.consume99, quantile(consume, 0.99))
}

// timed makes calls, each worker its next when the last one has returned, and
// returns how long each took, in order of size.
func timed(b *testing.B, n int, call func(i int) error) []time.Duration {
	b.Helper()
	took := make([]time.Duration, n)
	inTurns(b, scaleWorkers, n, func(i int) error {
		begun := time.Now()
		err := call(i)
		took[i] = time.Since(begun)
		return err
	})
	slices.Sort(took)
	return took
}

// quantile is that of sorted times, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	return milliseconds(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)])
}
