package boltstore_test

import (
	"testing"

	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/storetest"
)

func BenchmarkFeed(b *testing.B) {
	f := openTemp(b, boltstore.WithFeedBounds(feed.Bounds{MaxEvents: max(b.N, feed.DefaultMaxEvents)})).Feed()
	storetest.FeedLoad(b, f, f, f)
}
