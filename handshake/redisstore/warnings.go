package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

// setting is one setting of Redis on which the promises about tokens depend.
type setting struct {
	name, want string
	// risk is what can happen without a fence, fenced what happens behind it.
	risk, fenced string
}

var settings = []setting{
	{"appendonly", "yes",
		"a crash of Redis forgets which tokens were used, and loses tokens that were handed out",
		"the tokens that were handed out before a restart of Redis are refused after it"},
	{"appendfsync", "always",
		"a crash of Redis may forget the last second: a token used in it could be accepted again",
		"the tokens that were handed out before a restart of Redis are refused after it"},
	{"maxmemory-policy", "noeviction",
		"Redis may drop tokens, live or used, when its memory is full",
		"Redis may drop tokens, live or used, when its memory is full"},
}

// Warnings asks Redis for the settings on which the promises about tokens
// depend, and returns a sentence about each that is weaker than they need, or
// that could not be found out. It asks every primary of a cluster.
func (s *Store) Warnings(ctx context.Context) []string {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return s.batches.check(ctx, s.client, "")
	}
	var mu sync.Mutex
	var all []string
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		found := s.batches.check(ctx, node, " at "+node.Options().Addr)
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

func (b *batches) check(ctx context.Context, client redis.Cmdable, where string) []string {
	var warnings []string
	for _, setting := range settings {
		risk := setting.risk
		if b.fence != FenceNever {
			risk = setting.fenced
		}
		values, err := client.ConfigGet(ctx, setting.name).Result()
		found, known := values[setting.name]
		switch {
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("Whether Redis%s has %s = %s could not be checked: %v. Otherwise %s.",
				where, setting.name, setting.want, err, risk))
		case !known:
			warnings = append(warnings, fmt.Sprintf("Redis%s does not tell %s; if it is not %s, %s.",
				where, setting.name, setting.want, risk))
		case found != setting.want:
			warnings = append(warnings, fmt.Sprintf("Redis%s has %s = %s, not %s: %s.",
				where, setting.name, found, setting.want, risk))
		}
	}
	return append(warnings, b.checkReplicas(ctx, client, where)...)
}

// checkReplicas looks at what only matters where there are replicas.
func (b *batches) checkReplicas(ctx context.Context, client redis.Cmdable, where string) []string {
	info, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return []string{fmt.Sprintf("Whether Redis%s has replicas could not be checked: %v.", where, err)}
	}
	var warnings []string
	connected, _ := strconv.Atoi(infoField(info, "connected_slaves"))
	if connected < b.replicas {
		warnings = append(warnings, fmt.Sprintf("Redis%s has %d replicas, fewer than the %d that must acknowledge every change: no token is minted or accepted.",
			where, connected, b.replicas))
	}
	const minimum = "min-replicas-to-write"
	values, err := client.ConfigGet(ctx, minimum).Result()
	if connected > 0 && err == nil && values[minimum] == "0" {
		warnings = append(warnings, fmt.Sprintf("Redis%s has %s = 0: a primary that is cut off from its replicas goes on minting, "+
			"and what it mints is lost when one of them takes its place.", where, minimum))
	}
	return warnings
}
