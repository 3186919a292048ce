package integration

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
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
	// The goals: bytes a token, and latency beside that at the smallest size.
	mostBytes, flatWithin = 150, 1.5
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
			row := func(n int, bytes float64, measured, beside *latencies) {
				text := fmt.Sprintf("%s\t%d\t%.0f", kind.name, n, bytes)
				for i, name := range latencyNames {
					ratio := measured.to(beside, i)
					r.figure("tokens", kind.name, n, name+"_ms", median(measured[i]))
					r.goal("tokens", kind.name, n, name+"_ratio", ratio, flatWithin)
					text += fmt.Sprintf("\t%.2f (%.2f)", median(measured[i]), ratio)
				}
				r.goal("tokens", kind.name, n, "bytes_per_token", bytes, mostBytes)
				rows = append(rows, text)
				progress(b, "%d tokens measured", n)
			}
			small := newPopulation(b, kind)
			perToken := small.grow(b, sizes[0])
			small.measure(b, new(latencies)) // warms up
			var own latencies
			for range scaleRounds {
				small.measure(b, &own)
			}
			row(sizes[0], perToken, &own, &own)
			if len(sizes) == 1 {
				return
			}
			large := newPopulation(b, kind)
			for _, n := range sizes[1:] {
				begun := time.Now()
				perToken := large.grow(b, n)
				progress(b, "%d tokens minted in %.0f s", n, time.Since(begun).Seconds())
				var measured, beside latencies
				for range scaleRounds {
					small.measure(b, &beside)
					large.measure(b, &measured)
				}
				row(n, perToken, &measured, &beside)
			}
		})
	}
	printTable(fmt.Sprintf("live tokens; milliseconds with %d requests at a time, medians of %d rounds, in brackets the ratio to the smallest size", scaleWorkers, scaleRounds),
		"store\ttokens\tbytes a token\tmint p50\tp99\tconsume young p50\tp99\tconsume any p50\tp99", rows)
}

// youngTokens is how many of the latest tokens count as young. Trackers call back
// within seconds, so that nearly all tokens are consumed young.
const youngTokens = 10_000

// population is a store with a number of live tokens, some of which are known.
type population struct {
	*scaleStore
	tokens int
	young  []handshake.Record // some of the latest, in no order
	any    []handshake.Record // some of all, in no order
	// youngest is how many are kept in young: as many come in each round as go.
	youngest int
	empty    float64 // the size of the database without tokens
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
	p.add(b, n-p.tokens)
	p.tokens = n
	return (p.size(b) - p.empty) / float64(n)
}

// add mints tokens; the last of them are the young ones from now on.
func (p *population) add(b *testing.B, n int) {
	b.Helper()
	every := max(1, n/(2**scaleOps))
	forever := func(time.Time) time.Duration { return scaleLifetime }
	p.youngest = min(n/2, youngTokens)
	old, _ := p.fill(b, n-p.youngest, every, forever)
	p.any = append(p.any, p.young...)
	p.any = append(p.any, old...)
	p.young, _ = p.fill(b, p.youngest, 1, forever)
	for _, pool := range [][]handshake.Record{p.any, p.young} {
		rand.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	}
}

// size is how many bytes the database takes.
func (p *population) size(b *testing.B) float64 {
	b.Helper()
	if p.redis == nil {
		info, err := os.Stat(p.file)
		if err != nil {
			b.Fatal(err)
		}
		// The file is as long as its memory map at least, most of it never written.
		const block = 512
		return float64(info.Sys().(*syscall.Stat_t).Blocks * block)
	}
	return p.settledMemory(b)
}

// settledMemory waits until Redis takes the same memory for some seconds. Its hash
// tables are made larger bit by bit, so often a second as it is told to work in the
// background: that is hurried here.
func (p *population) settledMemory(b *testing.B) float64 {
	b.Helper()
	before, err := p.redis.ConfigGet(b.Context(), "hz").Result()
	if err != nil {
		b.Fatal(err)
	}
	hurry := func(hz string) {
		if err := p.redis.ConfigSet(b.Context(), "hz", hz).Err(); err != nil {
			b.Fatal(err)
		}
	}
	hurry("500")
	defer hurry(before["hz"])
	const slack, seconds, patience = 32 << 10, 3, 90 // slack is what connections come and go with
	size, same := 0.0, 0
	for range patience {
		last := size
		busy := p.info(b, "aof_rewrite_in_progress", "aof_rewrite_scheduled") > 0
		size = p.info(b, "used_memory") - p.info(b, "mem_clients_normal", "mem_aof_buffer")
		if same++; busy || math.Abs(size-last) > max(slack, size/2000) {
			same = 0
		}
		if same == seconds {
			return size
		}
		time.Sleep(time.Second)
	}
	b.Fatalf("the memory of Redis does not settle within %d s", patience)
	return 0
}

// latencies are those of some rounds in milliseconds, in the order of latencyNames.
type latencies [6][]float64

var latencyNames = [6]string{"mint_p50", "mint_p99", "young_p50", "young_p99", "any_p50", "any_p99"}

// to is the median of the ratios to other rounds.
func (l *latencies) to(other *latencies, which int) float64 {
	ratios := make([]float64, len(l[which]))
	for i := range ratios {
		ratios[i] = l[which][i] / other[which][i]
	}
	return median(ratios)
}

// measure makes one round: mintings, consumptions of young tokens, and consumptions
// spread over all tokens. As many more are minted in between as keep the number of
// live ones.
func (p *population) measure(b *testing.B, l *latencies) {
	b.Helper()
	n := *scaleOps / scaleRounds
	minted := make([]handshake.Record, n)
	mint := timed(b, n, func(i int) error {
		minted[i] = scaleRecord(time.Now(), scaleLifetime)
		return p.Mint(b.Context(), minted[i])
	})
	more, _ := p.fill(b, n, 1, func(time.Time) time.Duration { return scaleLifetime })
	p.young = append(append(p.young, minted...), more...)
	rand.Shuffle(len(p.young), func(i, j int) { p.young[i], p.young[j] = p.young[j], p.young[i] })
	young, older := p.young[:n], p.young[n:]
	left := min(len(older), p.youngest)
	p.young, p.any = older[:left], append(p.any, older[left:]...)
	for i, took := range [3][]time.Duration{mint, p.consumeAll(b, young), p.consumeAll(b, p.any[:n])} {
		l[2*i] = append(l[2*i], quantile(took, 0.5))
		l[2*i+1] = append(l[2*i+1], quantile(took, 0.99))
	}
	p.forget(b, slices.Concat(young, p.any[:n]))
	p.any = p.any[n:]
}

// forget has Redis remove used tokens, as it does by itself when the time of their
// retention is over, so that the live ones alone take memory.
func (p *population) forget(b *testing.B, used []handshake.Record) {
	b.Helper()
	if p.redis == nil {
		return
	}
	for chunk := range slices.Chunk(used, 1000) {
		keys := make([]string, len(chunk))
		for i, r := range chunk {
			keys[i] = p.prefix + string(r.ID.Hash[:])
		}
		if err := p.redis.Unlink(b.Context(), keys...).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

func (p *population) consumeAll(b *testing.B, tokens []handshake.Record) []time.Duration {
	b.Helper()
	return timed(b, len(tokens), func(i int) error {
		_, reason, err := p.Consume(b.Context(), handshake.Claim{ID: tokens[i].ID, Kind: handshake.BugTracker, At: time.Now()})
		if err == nil && reason != handshake.Granted {
			err = fmt.Errorf("a live token was refused: %v", reason)
		}
		return err
	})
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
