package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

// scanChunk is how many keys Redis looks at in one step of a search.
const scanChunk = 1000

// Find searches all keys; Redis keeps answering others meanwhile.
//
// When a token with a label was minted is worked out by findScript. It is wrong by
// whole seconds, and the expiry with it, where the minting took most of a second or
// the gateways' clocks differ by as much. A claim is judged by what the token
// itself says.
func (s *Store) Find(ctx context.Context, f handshake.Fingerprint) ([]handshake.Record, error) {
	keys := map[string]struct{}{} // SCAN may return a key twice
	err := s.direct(ctx, func(client redis.UniversalClient) error {
		cluster, ok := client.(*redis.ClusterClient)
		if !ok {
			return scan(ctx, client, f, keys, &sync.Mutex{})
		}
		var mu sync.Mutex
		return cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return scan(ctx, node, f, keys, &mu)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: cannot search for a token: %w", err)
	}
	var found []handshake.Record
	for key := range keys {
		hash := strings.TrimPrefix(key, keyPrefix)
		if len(hash) != handshake.HashSize {
			continue
		}
		id := handshake.ID{Hash: [handshake.HashSize]byte([]byte(hash))}
		record, ok, err := s.look(ctx, findScript, id, time.Now().UnixMilli(), stay(id).Milliseconds())
		switch {
		case errors.Is(err, errDamaged):
			continue // the key is as long as a token's, and none
		case err != nil:
			return nil, err
		}
		if ok {
			found = append(found, record)
		}
	}
	return found, nil
}

func scan(ctx context.Context, client redis.Cmdable, f handshake.Fingerprint, keys map[string]struct{}, mu *sync.Mutex) error {
	pattern := globEscaper.Replace(keyPrefix+string(f[:])) + "*"
	iterator := client.ScanType(ctx, 0, pattern, scanChunk, "string").Iterator()
	for iterator.Next(ctx) {
		mu.Lock()
		keys[iterator.Val()] = struct{}{}
		mu.Unlock()
	}
	return iterator.Err()
}

// globEscaper escapes what MATCH would read as a pattern.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
