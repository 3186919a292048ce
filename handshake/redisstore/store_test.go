package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func open(t testing.TB, url string, opts ...redisstore.Option) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(context.Background(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// A SET of the minting that arrives late must find the used token still there.
func TestAUsedTokenIsRememberedBeyondItsExpiryHoweverShortTheRetention(t *testing.T) {
	server := redistest.Start(t)
	store := open(t, server.URL(), redisstore.WithRetention(time.Second))
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
	client, err := redisstore.NewClient(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	keys, err := client.Keys(t.Context(), "trackgate:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if left := client.PTTL(t.Context(), keys[0]).Val(); left < 9*time.Minute {
		t.Errorf("the used token is forgotten in %v, while it has not expired", left)
	}
}
