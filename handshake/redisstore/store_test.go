package redisstore_test

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/handshake/storetest"
)

func open(t testing.TB, s *server, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(context.Background(), s.url(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestConformance(t *testing.T) {
	s := startServer(t)
	raw := redis.NewClient(&redis.Options{Addr: s.addr})
	t.Cleanup(func() { _ = raw.Close() })
	storetest.Run(t, func(t *testing.T) storetest.Backend {
		if err := raw.FlushAll(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		return storetest.Backend{Shared: true, Open: func(t *testing.T) handshake.Store { return open(t, s) }}
	})
}
