package redisstore_test

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
)

// benchWorkers is how many goroutines share the work of a benchmark.
const benchWorkers = 128

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

func benchmarkMint(b *testing.B, persistence ...string) {
	s := open(b, startServer(b, persistence...))
	defer func() { _ = s.Close() }()
	inParallel(b, func(int) error { return s.Mint(context.Background(), newRecord(time.Now())) })
}

func benchmarkConsume(b *testing.B, persistence ...string) {
	s := open(b, startServer(b, persistence...))
	defer func() { _ = s.Close() }()
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

func BenchmarkMint(b *testing.B)    { benchmarkMint(b) }
func BenchmarkConsume(b *testing.B) { benchmarkConsume(b) }

func BenchmarkMintInMemory(b *testing.B)    { benchmarkMint(b, "--appendonly", "no") }
func BenchmarkConsumeInMemory(b *testing.B) { benchmarkConsume(b, "--appendonly", "no") }

// BenchmarkMintWithoutSharing is the same with a round trip for every command.
func BenchmarkMintWithoutSharing(b *testing.B) {
	client, err := redisstore.NewClient(startServer(b).url())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	inParallel(b, func(int) error {
		record := newRecord(time.Now())
		return client.SetNX(ctx, string(record.ID.Hash[:]), "value", time.Minute).Err()
	})
}
