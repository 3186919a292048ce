package redisstore_test

import (
	"context"
	"testing"
	"time"

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

// A SET of the minting that arrives late must find the used token still there.
func TestAUsedTokenIsRememberedBeyondItsExpiryHoweverShortTheRetention(t *testing.T) {
	server := startServer(t)
	store := open(t, server, redisstore.WithRetention(time.Second))
	authority, err := handshake.New(store, handshake.WithLifetime(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := authority.Mint(t.Context(), handshake.BugTracker, "")
	if err != nil {
		t.Fatal(err)
	}
	if reason, err := authority.Accept(t.Context(), handshake.Callback{Token: token, Kind: handshake.BugTracker}); err != nil || reason != handshake.Granted {
		t.Fatalf("%q, %v", reason, err)
	}
	client, err := redisstore.NewClient(server.url())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keys, err := client.Keys(t.Context(), "trackgate:token:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if left := client.PTTL(t.Context(), keys[0]).Val(); left < 9*time.Minute {
		t.Errorf("the used token is forgotten in %v, while it has not expired", left)
	}
}
