package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// setting is one setting of Redis on which the promises about tokens depend.
type setting struct {
	name, want, risk string
}

var settings = []setting{
	{"appendonly", "yes", "a crash of Redis forgets which tokens were used, and loses tokens that were handed out"},
	{"appendfsync", "always", "a crash of Redis may forget the last second: a token used in it could be accepted again"},
	{"maxmemory-policy", "noeviction", "Redis may drop tokens, live or used, when its memory is full"},
}

// Warnings asks Redis for the settings on which the promises about tokens
// depend, and returns a sentence about each that is weaker than they need, or
// that could not be found out. It asks every primary of a cluster.
func (s *Store) Warnings(ctx context.Context) []string {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return check(ctx, s.client, "")
	}
	var mu sync.Mutex
	var all []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		found := check(ctx, node, " at "+node.Options().Addr)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, found...)
		return nil
	})
	if err != nil {
		all = append(all, fmt.Sprintf("The settings of the Redis cluster could not be checked: %v.", err))
	}
	return all
}

func check(ctx context.Context, client redis.Cmdable, where string) []string {
	var warnings []string
	for _, setting := range settings {
		values, err := client.ConfigGet(ctx, setting.name).Result()
		found, known := values[setting.name]
		switch {
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("Whether Redis%s has %s = %s could not be checked: %v. Otherwise %s.",
				where, setting.name, setting.want, err, setting.risk))
		case !known:
			warnings = append(warnings, fmt.Sprintf("Redis%s does not tell %s; if it is not %s, %s.",
				where, setting.name, setting.want, setting.risk))
		case found != setting.want:
			warnings = append(warnings, fmt.Sprintf("Redis%s has %s = %s, not %s: %s.",
				where, setting.name, found, setting.want, setting.risk))
		}
	}
	return warnings
}
