package boltstore_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

// benchWorkers is how many goroutines share the work of a benchmark.
const benchWorkers = 128

func openTemp(tb testing.TB, opts ...boltstore.Option) *boltstore.Store {
	tb.Helper()
	s, err := boltstore.Open(filepath.Join(tb.TempDir(), "tokens.db"), opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// inParallel runs b.N calls of work on benchWorkers goroutines.
func inParallel(b *testing.B, work func(i int) error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range benchWorkers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := work(int(i - 1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func newRecord(now time.Time) handshake.Record {
	id := handshake.ID{Millis: now.UnixMilli()}
	_, _ = rand.Read(id.Hash[:])
	return handshake.Record{ID: id, Kind: handshake.BugTracker, Expires: id.Time().Add(10 * time.Minute)}
}

func BenchmarkMint(b *testing.B) {
	s := openTemp(b)
	inParallel(b, func(int) error { return s.Mint(context.Background(), newRecord(time.Now())) })
}

func BenchmarkConsume(b *testing.B) {
	s := openTemp(b)
	records := make([]handshake.Record, b.N)
	inParallel(b, func(i int) error {
		records[i] = newRecord(time.Now())
		return s.Mint(context.Background(), records[i])
	})
	inParallel(b, func(i int) error {
		_, _, err := s.Consume(context.Background(), handshake.Claim{ID: records[i].ID, Kind: handshake.BugTracker, At: time.Now()})
		return err
	})
}

func BenchmarkRefuse(b *testing.B) {
	s := openTemp(b)
	inParallel(b, func(int) error {
		_, _, err := s.Consume(context.Background(), handshake.Claim{ID: newRecord(time.Now()).ID, Kind: handshake.BugTracker, At: time.Now()})
		return err
	})
}
