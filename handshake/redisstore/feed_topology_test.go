package redisstore_test

import (
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/handshake/storetest"
	"github.com/trackgate/trackgate/internal/redistest"
)

func TestFeedConformanceOnOneServer(t *testing.T) {
	server := redistest.Start(t)
	conformFeed(t, server.URL(), only(server))
}

func TestFeedConformanceBehindTheFence(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "everysec")
	conformFeed(t, server.URL(), only(server))
}

func TestFeedConformanceWithSentinels(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t)
	conformFeed(t, set.URL(), only(set.Settled(2)), redisstore.WithReplicas(2, redisstore.MaxReplicaLimit))
}

func TestFeedConformanceOnACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	conformFeed(t, cluster.URL(), cluster.Primaries, redisstore.WithReplicas(1, redisstore.MaxReplicaLimit))
}

// conformFeed holds the feed on some servers to its contract. The primaries are
// emptied before every test.
func conformFeed(t *testing.T, url string, primaries func() []*redistest.Server, opts ...redisstore.Option) {
	t.Helper()
	storetest.Feed(t, func(_ *testing.T, bounds feed.Bounds) storetest.Backend {
		for _, primary := range primaries() {
			primary.Do("flushall")
		}
		return storetest.Backend{Shared: true, Open: func(t *testing.T) handshake.Store {
			return open(t, url, append([]redisstore.Option{redisstore.WithFeedBounds(bounds)}, opts...)...)
		}}
	})
}
