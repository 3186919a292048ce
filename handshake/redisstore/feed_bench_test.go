package redisstore_test

import (
	"testing"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/handshake/storetest"
	"github.com/trackgate/trackgate/internal/redistest"
)

// benchmarkFeed has the senders at one gateway, and a reader at each of two others.
func benchmarkFeed(b *testing.B, persistence ...string) {
	server := redistest.Start(b, persistence...)
	feeds := make([]feed.Store, 3)
	for i := range feeds {
		s := open(b, server.URL(), redisstore.WithFeedBounds(feed.Bounds{MaxEvents: max(b.N, feed.DefaultMaxEvents)}))
		defer func() { _ = s.Close() }()
		feeds[i] = s.Feed()
	}
	storetest.FeedLoad(b, feeds[0], feeds[1:]...)
}

func BenchmarkFeed(b *testing.B)         { benchmarkFeed(b) }
func BenchmarkFeedInMemory(b *testing.B) { benchmarkFeed(b, "--appendonly", "no") }
