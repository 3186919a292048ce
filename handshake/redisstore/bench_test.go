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
	"github.com/trackgate/trackgate/internal/redistest"
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
	s := open(b, redistest.Start(b, persistence...).URL())
	defer func() { _ = s.Close() }()
	inParallel(b, func(int) error { return s.Mint(context.Background(), newRecord(time.Now())) })
}

func benchmarkConsume(b *testing.B, persistence ...string) {
	s := open(b, redistest.Start(b, persistence...).URL())
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
	client, err := redisstore.NewClient(redistest.Start(b).URL())
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

// BenchmarkPromises makes the same mintings and claims on a primary with two
// replicas under each setting, in turns, and reports the ratio of each to the
// setting that promises the least.
func BenchmarkPromises(b *testing.B) {
	primary := redistest.Start(b, "--appendonly", "no")
	for range 2 {
		redistest.Start(b, "--appendonly", "no").Replicate(primary.Addr())
	}
	settings := []struct {
		name string
		opts []redisstore.Option
	}{
		{"nothing", []redisstore.Option{redisstore.WithFence(redisstore.FenceNever)}},
		{"fence", []redisstore.Option{redisstore.WithFence(redisstore.FenceAlways)}},
		{"wait", []redisstore.Option{redisstore.WithFence(redisstore.FenceNever), redisstore.WithReplicas(1, redisstore.MaxReplicaLimit)}},
		{"both", []redisstore.Option{redisstore.WithFence(redisstore.FenceAlways), redisstore.WithReplicas(1, redisstore.MaxReplicaLimit)}},
	}
	const turns = 4
	spent := make([]time.Duration, len(settings))
	for turn := range turns {
		for n := range settings {
			i := (turn + n) % len(settings) // nobody is always the first
			s := open(b, primary.URL(), settings[i].opts...)
			if err := s.Mint(context.Background(), newRecord(time.Now())); err != nil {
				b.Fatal(err)
			}
			begun := time.Now()
			inParallel(b, func(int) error {
				record := newRecord(time.Now())
				if err := s.Mint(context.Background(), record); err != nil {
					return err
				}
				_, _, err := s.Consume(context.Background(), claimOn(record))
				return err
			})
			spent[i] += time.Since(begun)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	}
	for i, setting := range settings {
		b.ReportMetric(float64(spent[0])/float64(spent[i]), setting.name+"/nothing")
	}
}
