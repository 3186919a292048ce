package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ClockSkew asks Redis for the time (TIME), a cluster each of its masters, and
// returns how far its clock is ahead of now, as far as that is certain: what half
// of the round trip can explain is not counted. Of several clocks it is that
// which is off the most. It may take as long as the client's own time limits.
func ClockSkew(ctx context.Context, client redis.UniversalClient, now func() time.Time) (time.Duration, error) {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return skewOf(ctx, client, now)
	}
	var mu sync.Mutex
	var worst time.Duration
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		skew, err := skewOf(ctx, master, now)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && skew.Abs() > worst.Abs() {
			worst = skew
		}
		return err
	})
	return worst, err
}

// skewOf compares one clock with now half way between question and answer.
func skewOf(ctx context.Context, client redis.Cmdable, now func() time.Time) (time.Duration, error) {
	before := now()
	there, err := client.Time(ctx).Result()
	if err != nil {
		return 0, err
	}
	half := now().Sub(before) / 2
	switch skew := there.Sub(before.Add(half)); {
	case skew > half:
		return skew - half, nil
	case skew < -half:
		return skew + half, nil
	}
	return 0, nil
}
