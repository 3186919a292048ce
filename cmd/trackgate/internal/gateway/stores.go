package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
)

// boltFile is the store's file in the data directory.
const boltFile = "trackgate.db"

// warningsEvery is how often a Redis that is late at start is asked again
// whether it is set up to keep what it is told.
const warningsEvery = 5 * time.Second

// ErrStoreAddress says that what store.url names cannot be used at all.
var ErrStoreAddress = errors.New("store.url cannot be used")

// stores are what is kept outside the process.
type stores struct {
	tokens handshake.Store
	limits redis.UniversalClient // for the throttle; nil where there is no Redis
	client redis.UniversalClient // what limits shares; nil where limits is
	shared bool                  // whether other gateways may use them too
	close  func() error
}

// openStores opens what store.url names: a bolt file, or Redis. Redis need not
// answer yet.
func openStores(ctx context.Context, cfg *config.Config, dir string, logger *slog.Logger) (*stores, error) {
	url := cfg.Store.URL.Reveal()
	path, bolt := strings.CutPrefix(url, "bolt:")
	if url == "" {
		path, bolt = filepath.Join(dir, boltFile), true
	}
	if bolt {
		return openBolt(path, cfg, logger)
	}
	return openRedis(ctx, url, cfg, logger)
}

// feedBounds is what the feed of events keeps.
func feedBounds(cfg *config.Config) feed.Bounds {
	return feed.Bounds{MaxEvents: cfg.Events.MaxEvents, MaxAge: time.Duration(cfg.Events.MaxAge), KeyAge: time.Duration(cfg.Events.KeyAge)}
}

func openBolt(path string, cfg *config.Config, logger *slog.Logger) (*stores, error) {
	path = strings.TrimPrefix(path, "//")
	store, err := boltstore.Open(path,
		boltstore.WithRetention(time.Duration(cfg.Token.Retention)), boltstore.WithLogger(logger), boltstore.WithFeedBounds(feedBounds(cfg)))
	if errors.Is(err, boltstore.ErrLocked) {
		return nil, fmt.Errorf("the store %s is in use by another gateway; stop it, or give this one another directory with --data DIR", path)
	}
	if err != nil {
		return nil, &addressError{fmt.Errorf("the store %s cannot be opened: %w", path, err)}
	}
	return &stores{tokens: store, close: store.Close}, nil
}

func openRedis(ctx context.Context, url string, cfg *config.Config, logger *slog.Logger) (*stores, error) {
	client, err := redisstore.NewClient(url)
	if err != nil {
		return nil, &addressError{fmt.Errorf("store.url: %w", err)}
	}
	fence, err := redisstore.ParseFence(cfg.Store.Fence)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	store, err := redisstore.New(client, redisstore.WithRetention(time.Duration(cfg.Token.Retention)), redisstore.WithFence(fence), redisstore.WithFeedBounds(feedBounds(cfg)),
		redisstore.WithReplicas(cfg.Store.WaitReplicas, time.Duration(cfg.Store.WaitLimit)))
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	limits, err := client.AsyncAutoPipeline()
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	redis.SetLogger(redisLogger{logger})
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		warnWhenReachable(watching, store, logger)
	}()
	return &stores{tokens: store, limits: limits, client: client, shared: true, close: func() error {
		stop()
		<-done
		return errors.Join(store.Close(), client.Close())
	}}, nil
}

// addressError is one of [ErrStoreAddress], which its text does not repeat.
type addressError struct{ error }

func (e *addressError) Unwrap() error      { return e.error }
func (*addressError) Is(target error) bool { return target == ErrStoreAddress }

// warnWhenReachable logs, once Redis answers, what of its set-up puts tokens at
// risk.
func warnWhenReachable(ctx context.Context, store *redisstore.Store, logger *slog.Logger) {
	tick := time.NewTicker(warningsEvery)
	defer tick.Stop()
	for late := false; ; late = true {
		err := store.Ping(ctx)
		if err == nil {
			for _, warning := range store.Warnings(ctx) {
				logger.Warn("the store is not as safe as it could be", "warning", warning)
			}
			if late {
				logger.Info("Redis answers now")
			}
			return
		}
		if !late && ctx.Err() == nil {
			logger.Warn("Redis does not answer: no token is minted or accepted until it does", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// redisLogger takes the lines that go-redis would write to standard error. They
// tell of single connections, which only somebody who looks for trouble wants.
type redisLogger struct{ logger *slog.Logger }

// Printf takes one line.
func (l redisLogger) Printf(ctx context.Context, format string, v ...any) {
	l.logger.DebugContext(ctx, "go-redis", "line", fmt.Sprintf(format, v...))
}
