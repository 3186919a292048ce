package gateway

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
)

// callbackOwn is the value of a tracker's callback that keeps its tokens from
// the common root.
const callbackOwn = "own"

// newAuthority makes what mints and accepts tokens, by the rules of the
// configured trackers.
func newAuthority(cfg *config.Config, store handshake.Store, opts ...handshake.Option) (*handshake.Authority, error) {
	trackers := make(map[string]handshake.Tracker, len(cfg.Trackers))
	for _, t := range cfg.Trackers {
		trackers[t.Name] = handshake.Tracker{Name: t.Name, OwnRoot: t.Callback == callbackOwn, Networks: config.Prefixes(t.CallbackFrom)}
	}
	return handshake.New(store, append(opts,
		handshake.WithLifetime(time.Duration(cfg.Token.Lifetime)),
		handshake.WithTrackers(func(name string) (handshake.Tracker, bool) {
			t, ok := trackers[name]
			return t, ok
		}))...)
}

// OpenOperator opens the store of a data directory for operator commands, when
// no gateway runs there.
func OpenOperator(ctx context.Context, cfg *config.Config, env Environment) (Operator, func() error, error) {
	stores, err := openStores(ctx, cfg, env.DataDir, env.Logger)
	if err != nil {
		return nil, nil, err
	}
	trail, err := openTrail(ctx, cfg, stores, env)
	if err != nil {
		return nil, nil, errors.Join(err, stores.close())
	}
	closeBoth := func() error { return errors.Join(closeTrail(trail), stores.close()) }
	authority, err := newAuthority(cfg, stores.tokens, handshake.WithTrail(trail), handshake.WithObserver(handshake.NewLogObserver(env.Logger)))
	if err != nil {
		return nil, nil, errors.Join(err, closeBoth())
	}
	return auditedOperator{localOperator{authority}, trail}, closeBoth, nil
}

// minter gives the bridge its tokens.
type minter struct {
	authority *handshake.Authority
}

var _ bridge.Minter = minter{}

func (m minter) Mint(ctx context.Context, tracker string) (string, func(context.Context) error, error) {
	token, _, err := m.authority.Mint(ctx, handshake.BugTracker, tracker)
	if err != nil {
		return "", nil, err
	}
	return token, func(ctx context.Context) error {
		_, _, err := m.authority.Revoke(ctx, token)
		return err
	}, nil
}

// warnUnbound names the trackers whose tokens others could use: nothing keeps
// another tracker, to which such a token were handed, from logging in with it.
func warnUnbound(cfg *config.Config, logger *slog.Logger) {
	for _, t := range cfg.Trackers {
		if t.Callback != callbackOwn && len(t.CallbackFrom) == 0 {
			logger.Warn("tokens of this tracker are accepted from any address under the common callback root",
				"tracker", t.Name, "advice", `configure the tracker with the root {public.url}/for/`+t.Name+` and set callback = "own", or set callback_from`)
		}
	}
}
