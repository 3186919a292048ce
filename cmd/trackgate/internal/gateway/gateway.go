// Package gateway puts the rooms together: it opens the store, introduces
// tokens, throttle and bridge to each other, and serves them on the three
// listeners.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/hook"
)

// Environment is what a gateway is given beside its configuration.
type Environment struct {
	DataDir string       // exists and is writable
	Logger  *slog.Logger // never nil
	Version string
}

// Addresses are where the listeners really are, as host:port.
type Addresses struct {
	Private string `json:"private"`
	Public  string `json:"public"`
	Admin   string `json:"admin"`
}

// Gateway is a gateway whose listeners are open.
type Gateway struct {
	config    *config.Config
	logger    *slog.Logger
	listeners []listener
	publicURL string
	bridge    *bridge.Bridge
	watcher   *bridge.Watcher    // nil where nothing is watched
	stop      context.CancelFunc // ends what waits for events
	stopping  atomic.Bool
	closers   []func() error // in the order of opening
}

// Open opens the store and all listeners, and wires everything. Connections
// are accepted from then on and answered once Serve runs. An error says in one
// line what is wrong and what to do; nothing stays open then.
func Open(ctx context.Context, cfg *config.Config, env Environment) (_ *Gateway, err error) {
	g := &Gateway{config: cfg, logger: env.Logger}
	defer func() {
		if err != nil {
			g.close()
		}
	}()
	metrics := newMetrics(env.Version)

	stores, err := openStores(ctx, cfg, env.DataDir, env.Logger)
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, stores.close)
	trail, err := openTrail(ctx, cfg, stores, env)
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, func() error { return closeTrail(trail) })

	private, err := g.listen("private.listen", cfg.Private.Listen)
	if err != nil {
		return nil, err
	}
	public, err := g.listen("public.listen", cfg.Public.Listen)
	if err != nil {
		return nil, err
	}
	admin, err := g.listen("admin.listen", cfg.Admin.Listen)
	if err != nil {
		return nil, err
	}
	g.publicURL = cfg.Public.URL
	if g.publicURL == "" {
		g.publicURL = "http://" + public.Addr().String()
	}

	throttle, err := newThrottle(cfg, stores, metrics, trail, env.Logger)
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, throttle.close)
	authority, err := newAuthority(cfg, stores.tokens, handshake.WithTrail(trail), handshake.WithAccounts(throttle.account),
		handshake.WithObserver(metrics), handshake.WithObserver(throttle), handshake.WithObserver(handshake.NewLogObserver(env.Logger)))
	if err != nil {
		return nil, err
	}
	g.bridge, err = newBridge(cfg, env, stores, authority, auditedBridge{metrics, trail}, throttle)
	if err != nil {
		return nil, err
	}
	g.closers = append(g.closers, func() error { g.bridge.Close(); return nil })
	warnUnbound(cfg, env.Logger)
	g.watcher, err = newWatcher(cfg, g.bridge, stores.tokens.Feed(), metrics)
	if err != nil {
		return nil, err
	}

	stopped, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	registries, err := services(stopped, authority, stores, g.bridge)
	if err != nil {
		return nil, err
	}
	privateHandler, err := privateRoutes(cfg, env.Logger, metrics, registries, throttle, g.bridge)
	if err != nil {
		return nil, err
	}
	hookTokens := hook.NewTokens(stores.tokens.State(), hook.WithTokensTrail(trail))
	g.closers = append(g.closers, func() error { hookTokens.Close(); return nil })
	hooks, err := newHooks(cfg, stores, hookTokens, trail, throttle, metrics, env.Logger)
	if err != nil {
		return nil, err
	}
	g.serve("private", private, privateHandler)
	g.serve("public", public, publicRoutes(metrics, authority, hooks, throttle))
	g.serve("admin", admin, adminRoutes(cfg, env.Logger, metrics, g.readiness(stores, throttle)))

	control, err := listenControl(env.DataDir)
	if err != nil {
		env.Logger.Warn("operator commands will not reach this gateway", "error", err.Error())
		return g, nil
	}
	g.listeners = append(g.listeners, listener{name: "control", net: control, server: &http.Server{
		Handler:           recovered(env.Logger, controlHandler(auditedOperator{localOperator{authority}, trail}, throttle, localHooks{hookTokens, trail}, readTrail{stores.tokens.Trail(), stopped}, env.Logger)),
		ReadHeaderTimeout: time.Duration(cfg.Request.HeaderTimeout),
		ErrorLog:          slog.NewLogLogger(env.Logger.Handler(), slog.LevelDebug),
	}})
	return g, nil
}

func (g *Gateway) listen(key, addr string) (net.Listener, error) {
	ln, err := listen(key, addr)
	if err == nil {
		g.closers = append(g.closers, func() error { ln.Close(); return nil })
	}
	return ln, err
}

func (g *Gateway) serve(name string, ln net.Listener, handler http.Handler) {
	g.listeners = append(g.listeners, listener{name: name, net: ln, server: newServer(g.config.Request, handler, g.logger)})
}

// Addresses tells where the listeners are.
func (g *Gateway) Addresses() Addresses {
	at := map[string]string{}
	for _, l := range g.listeners {
		at[l.name] = l.net.Addr().String()
	}
	return Addresses{Private: at["private"], Public: at["public"], Admin: at["admin"]}
}

// PublicURL is the canonical root of callback URLs.
func (g *Gateway) PublicURL() string { return g.publicURL }

// Serve answers until ctx ends, then answers what has begun, refuses what is
// new, and closes everything. ready is called when all listeners are served.
func (g *Gateway) Serve(ctx context.Context, ready func() error) error {
	defer g.close()
	var group errgroup.Group
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	for _, l := range g.listeners {
		group.Go(func() error {
			if err := l.server.Serve(l.net); !errors.Is(err, http.ErrServerClosed) {
				err = fmt.Errorf("the %s listener failed: %w", l.name, err)
				fail(err)
				return err
			}
			return nil
		})
	}
	g.logger.Info("gateway started", "private", g.Addresses().Private, "public", g.Addresses().Public, "admin", g.Addresses().Admin)
	if err := ready(); err != nil {
		fail(err)
	}
	if g.watcher != nil {
		group.Go(func() error { return g.watcher.Run(failed) })
	}
	<-failed.Done()
	g.stopping.Store(true)
	g.stop()
	g.logger.Info("gateway stopping: answering what has begun")
	drainErr := g.drain()
	serveErr := group.Wait()
	g.logger.Info("gateway stopped")
	if cause := context.Cause(failed); ctx.Err() == nil {
		return errors.Join(cause, drainErr)
	}
	return errors.Join(serveErr, drainErr)
}

// drain shuts the servers down, within the time that a request may take that
// has just begun. The private side goes first: a call there that is under way
// may need the tracker's callback on the public side to end.
func (g *Gateway) drain() error {
	limit := time.Duration(g.config.Request.BodyTimeout) + time.Duration(g.config.Request.HandlerTimeout) + answerSlack
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var failures []error
	for _, l := range g.listeners {
		if err := l.server.Shutdown(ctx); err != nil {
			_ = l.server.Close()
			failures = append(failures, fmt.Errorf("the %s listener still had requests after %s: they were cut off", l.name, limit))
		}
	}
	return errors.Join(failures...)
}

// close closes what was opened, the last first.
func (g *Gateway) close() {
	for i := len(g.closers) - 1; i >= 0; i-- {
		if err := g.closers[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			g.logger.Error("closing failed", "error", err.Error())
		}
	}
	g.closers = nil
}
