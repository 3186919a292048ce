package integration

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// scaleStore is a store under measurement, and what can be asked about its database.
type scaleStore struct {
	handshake.Store
	file  string        // of bolt
	redis *redis.Client // nil for bolt
	addr  string        // of Redis
	// prefix is what stands before a token's hash in its key in Redis.
	prefix string
}

// scaleKind makes stores of one kind.
type scaleKind struct {
	name string
	open func(b *testing.B) *scaleStore
}

// scaleKinds are the stores that are measured. Their names stand in the plot as
// well. The fence is as the store itself sets it: up on a Redis that can forget, so
// that every token carries a label, and down on one that has every answer on disk.
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
	server := redistest.Start(b, args...)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ReadTimeout: time.Minute})
	b.Cleanup(func() { _ = client.Close() })
	s := &scaleStore{Store: openScaleStore(b, server.URL()), addr: server.Addr(), redis: client}
	s.learnPrefix(b)
	return s
}

// openScaleStore opens a store as one more gateway would.
func openScaleStore(b *testing.B, url string, opts ...redisstore.Option) handshake.Store {
	b.Helper()
	store, err := redisstore.Open(b.Context(), url, opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// learnPrefix mints one token to see under which key the store puts it.
func (s *scaleStore) learnPrefix(b *testing.B) {
	b.Helper()
	specimen := scaleRecord(time.Now(), handshake.MinLifetime)
	if err := s.Mint(b.Context(), specimen); err != nil {
		b.Fatal(err)
	}
	keys, err := s.redis.Keys(b.Context(), "*").Result()
	if err != nil {
		b.Fatal(err)
	}
	for _, key := range keys {
		if prefix, ok := strings.CutSuffix(key, string(specimen.ID.Hash[:])); ok {
			s.prefix = prefix
			return
		}
	}
	b.Fatalf("no key of a token among %q", keys)
}

// info is the sum of numbers that INFO answers.
func (s *scaleStore) info(b *testing.B, fields ...string) float64 {
	b.Helper()
	text, err := s.redis.Info(b.Context(), "everything").Result()
	if err != nil {
		b.Fatal(err)
	}
	sum := 0.0
	for _, field := range fields {
		value, ok := between([]byte(text), "\n"+field+":", "\r\n")
		number, err := strconv.ParseFloat(string(value), 64)
		if !ok || err != nil {
			b.Fatalf("INFO has %q for %s", value, field)
		}
		sum += number
	}
	return sum
}

func scaleRecord(now time.Time, lifetime time.Duration) handshake.Record {
	id := handshake.ID{Millis: now.UnixMilli()}
	_, _ = rand.Read(id.Hash[:]) // documented never to fail
	return handshake.Record{ID: id, Kind: handshake.BugTracker, Expires: id.Time().Add(lifetime)}
}

// fill mints n tokens, each with the lifetime that lifetime gives at its time. It
// returns the first of every so many of them, and the last.
func (s *scaleStore) fill(b *testing.B, n, every int, lifetime func(now time.Time) time.Duration) (sample []handshake.Record, last handshake.Record) {
	b.Helper()
	// workers is how many are under way at once: mintings on bolt, chunks on Redis.
	chunk, workers, mint := 1, 4096, func(records []handshake.Record) error { return s.Mint(b.Context(), records[0]) }
	if s.redis != nil {
		client := redis.NewClient(&redis.Options{Addr: s.addr, ReadTimeout: time.Minute})
		// Its buffers must not count as the tokens' memory.
		defer func() { _ = client.Close() }()
		chunk, workers = 500, 8
		mint = func(records []handshake.Record) error { return s.copies(b, client, records) }
	}
	var mu sync.Mutex
	inTurns(b, workers, (n+chunk-1)/chunk, func(i int) error {
		now := time.Now()
		records := make([]handshake.Record, min(chunk, n-i*chunk))
		for j := range records {
			records[j] = scaleRecord(now, lifetime(now))
			records[j].Expires = records[0].Expires
		}
		if err := mint(records); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for j, r := range records {
			if (i*chunk+j)%every == 0 {
				sample = append(sample, r)
			}
			if r.ID.Millis > last.ID.Millis {
				last = r
			}
		}
		return nil
	})
	return sample, last
}

// copies mints the first of some tokens of one moment through the store, and puts
// the others beside it with the same value and time to live: that is several times as
// fast, and the measurements that follow see whether the store takes them for its own.
func (s *scaleStore) copies(b *testing.B, client *redis.Client, records []handshake.Record) error {
	first := records[0]
	if err := s.Mint(b.Context(), first); err != nil {
		return err
	}
	key := s.prefix + string(first.ID.Hash[:])
	value, err := client.Get(b.Context(), key).Result()
	if err != nil {
		return fmt.Errorf("the token that was just minted: %w", err)
	}
	lifetime, err := client.PTTL(b.Context(), key).Result()
	if err != nil {
		return err
	}
	pipeline := client.Pipeline()
	for _, r := range records[1:] {
		pipeline.SetNX(b.Context(), s.prefix+string(r.ID.Hash[:]), value, lifetime)
	}
	_, err = pipeline.Exec(b.Context())
	return err
}
