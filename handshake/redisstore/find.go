package redisstore

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

// scanChunk is how many keys Redis looks at in one step of a search.
const scanChunk = 1000

// Find searches all keys; Redis keeps answering others meanwhile.
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
		record, ok, err := s.Lookup(ctx, handshake.ID{Hash: [handshake.HashSize]byte([]byte(hash))})
		if err != nil {
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
	iterator := client.Scan(ctx, 0, pattern, scanChunk).Iterator()
	for iterator.Next(ctx) {
		mu.Lock()
		keys[iterator.Val()] = struct{}{}
		mu.Unlock()
	}
	return iterator.Err()
}

// globEscaper escapes what MATCH would read as a pattern.
var globEscaper = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)
