package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake/audit"
)

// Bounds of one question about the trail on the operators' socket.
const (
	maxTrailBlocks = 64
	trailWaitLimit = 20 * time.Second
)

// OpenTrailReader gives operators the trail to read: that of the gateway that runs
// on a data directory, through its socket, or else that of the store.
func OpenTrailReader(ctx context.Context, cfg *config.Config, dir string, logger *slog.Logger) (audit.Store, func() error, error) {
	op, err := dialOperator(ctx, dir)
	if err == nil {
		return remoteTrail{remote: op}, func() error { return nil }, nil
	}
	if !errors.Is(err, ErrNoGateway) {
		return nil, nil, err
	}
	stores, err := openStores(ctx, cfg, dir, logger)
	if err != nil {
		return nil, nil, err
	}
	return stores.tokens.Trail(), stores.close, nil
}

type trailQuestion struct {
	After string `json:"after"`
	Limit int    `json:"limit,omitempty"`
}

// serveTrail lets the operators' socket read the trail.
func serveTrail(mux *http.ServeMux, trail audit.Store, logger *slog.Logger) {
	handle(mux, logger, pathTrailRead, func(ctx context.Context, q trailQuestion) ([]audit.Block, error) {
		return trail.Read(ctx, q.After, min(max(q.Limit, 1), maxTrailBlocks))
	})
	handle(mux, logger, pathTrailHeads, func(ctx context.Context, _ struct{}) ([]audit.Head, error) { return trail.Heads(ctx) })
	handle(mux, logger, pathTrailWait, func(ctx context.Context, q trailQuestion) (struct{}, error) {
		waiting, cancel := context.WithTimeout(ctx, trailWaitLimit)
		defer cancel()
		err := trail.Wait(waiting, q.After)
		if waiting.Err() != nil && ctx.Err() == nil {
			err = nil // there may be something by now, or not
		}
		return struct{}{}, err
	})
}

// remoteTrail reads the trail of a running gateway.
type remoteTrail struct {
	audit.Store // nil: a reader changes nothing
	remote      *remoteOperator
}

func (t remoteTrail) Read(ctx context.Context, after string, limit int) ([]audit.Block, error) {
	return ask[[]audit.Block](ctx, t.remote, pathTrailRead, trailQuestion{After: after, Limit: limit})
}

func (t remoteTrail) Heads(ctx context.Context) ([]audit.Head, error) {
	return ask[[]audit.Head](ctx, t.remote, pathTrailHeads, struct{}{})
}

func (t remoteTrail) Wait(ctx context.Context, after string) error {
	_, err := ask[struct{}](ctx, t.remote, pathTrailWait, trailQuestion{After: after})
	return err
}
