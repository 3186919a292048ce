package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/hook"
	"github.com/trackgate/trackgate/ratelimit"
	"github.com/trackgate/trackgate/xmlrpc"
)

// The routes as metrics and the trail name them.
const (
	routeBugs      = "/bugs"
	routeTrackers  = "/trackers"
	routeEvents    = "/hooks"
	routeAudit     = "/audit"
	routeAll       = "/RPC2"
	routeProxy     = bridge.ProxyPath + "{name}"
	routeHandshake = "handshake"
	routeHooks     = hook.Route
	routeOther     = "other"
)

// routeOf names the route of a path on the private side.
func routeOf(path string) string {
	switch short := strings.TrimSuffix(path, "/"); short {
	case routeBugs, routeTrackers, routeEvents, routeAudit:
		return short
	case "", "/RPC2", "/rpc2", "/RPC", "/rpc", "/xmlrpc":
		return routeAll
	}
	if strings.HasPrefix(path, bridge.ProxyPath) {
		return routeProxy
	}
	return routeOther
}

// untilStopped is a feed for which nobody waits longer than the gateway runs.
type untilStopped struct {
	feed.Store
	stopped context.Context
}

// Wait waits for events.
func (u untilStopped) Wait(ctx context.Context, after string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.stopped, cancel)()
	return u.Store.Wait(ctx, after)
}

// services are what the private side offers, by their routes.
func services(stopped context.Context, authority *handshake.Authority, stores *stores, b *bridge.Bridge) (map[string]*xmlrpc.Registry, error) {
	all := map[string]*xmlrpc.Registry{routeAll: xmlrpc.NewRegistry()}
	for _, service := range []struct {
		route, prefix string
		register      func(*xmlrpc.Registry) error
	}{
		{routeBugs, "bugs.", func(r *xmlrpc.Registry) error { return handshake.RegisterService(r, authority) }},
		{routeTrackers, "trackers.", b.Register},
		{routeEvents, "hooks.", func(r *xmlrpc.Registry) error {
			return feed.RegisterService(r, untilStopped{stores.tokens.Feed(), stopped})
		}},
		{routeAudit, "audit.", func(r *xmlrpc.Registry) error { return audit.RegisterService(r, stores.tokens.Trail()) }},
	} {
		own := xmlrpc.NewRegistry()
		if err := service.register(own); err != nil {
			return nil, err
		}
		if err := all[routeAll].Mount(service.prefix, own); err != nil {
			return nil, err
		}
		all[service.route] = own
	}
	return all, nil
}

// privateRoutes is the XML-RPC interface: a route with bare names for each
// service, and /RPC2 with prefixed ones, which is also found under the other paths
// that old clients have built in.
func privateRoutes(cfg *config.Config, logger *slog.Logger, m *metrics, registries map[string]*xmlrpc.Registry, throttle *throttle, b *bridge.Bridge) (http.Handler, error) {
	if cfg.Private.Echo {
		all := registries[routeAll]
		if err := all.Register("bridge.echo", echo, "Returns its parameters as an array, for testing clients.", "value"); err != nil {
			return nil, err
		}
	}
	serve := func(name string, r *xmlrpc.Registry) http.Handler {
		return m.timed("private", name, xmlrpc.NewHandler(r,
			xmlrpc.WithHandlerLimits(xmlrpc.Limits{Bytes: cfg.Request.MaxBody, Depth: cfg.Request.MaxDepth, Values: cfg.Request.MaxValues}),
			xmlrpc.WithMulticallLimit(cfg.Request.MaxMulticall),
			xmlrpc.WithLogger(logger),
			xmlrpc.WithBefore(throttle.beforeCall)))
	}
	handlers := map[string]http.Handler{
		routeProxy: m.timed("private", routeProxy, b.Proxy(xmlrpc.Limits{Bytes: cfg.Request.MaxBody, Depth: cfg.Request.MaxDepth, Values: cfg.Request.MaxValues})),
		routeOther: http.HandlerFunc(notFound),
	}
	for route, registry := range registries {
		handlers[route] = serve(route, registry)
	}
	routes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handlers[routeOf(r.URL.Path)].ServeHTTP(w, r) })
	return &guard{next: entered(time.Duration(cfg.Request.HandlerTimeout), routes), hosts: cfg.Private.Hosts, allow: config.Prefixes(cfg.Private.Allow), refused: refusals("private", m, logger)}, nil
}

// echo is bridge.echo.
func echo(values ...any) ([]any, error) {
	if values == nil {
		values = []any{}
	}
	return values, nil
}

// publicRoutes is all that strangers reach: the handshake's callback and web hooks.
// No mux stands before them, since one would clean and redirect paths that hold
// tokens.
func publicRoutes(m *metrics, authority *handshake.Authority, hooks http.Handler, throttle *throttle) http.Handler {
	callback := m.timed("public", routeHandshake, handshake.NewHandler(authority,
		handshake.WithCaller(throttle.callerAddr), handshake.WithAdmission(throttle.gate)))
	called := m.timed("public", routeHooks, originated(listenerPublic, routeHooks, throttle.callers, hooks))
	other := m.timed("public", routeOther, http.HandlerFunc(notFound))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		throttle.adviseProxy(r)
		switch {
		case handshake.Match(r):
			callback.ServeHTTP(w, r)
		case hook.Match(r):
			called.ServeHTTP(w, r)
		default:
			other.ServeHTTP(w, r)
		}
	})
}

// adminRoutes is what operators look at.
func adminRoutes(cfg *config.Config, logger *slog.Logger, m *metrics, ready http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelError)}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", apierror.ContentTypeText)
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /", notFound)
	return &guard{next: mux, hosts: cfg.Admin.Hosts, refused: refusals("admin", m, logger)}
}

// readiness tells whether the gateway can do its work: the store must answer, and
// it must not be stopping. The throttle works without Redis, and says where it
// counts.
func (g *Gateway) readiness(stores *stores, throttle *throttle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		store := "ok"
		if err := stores.tokens.Ping(r.Context()); err != nil {
			store = "unavailable"
		}
		if store != "ok" || g.stopping.Load() {
			apierror.WriteJSON(w, apierror.New(apierror.StoreUnavailable).WithMessage("The gateway is not ready.").
				WithExtra("store", store).WithExtra("throttle", throttle.state()).WithExtra("stopping", g.stopping.Load()))
			return
		}
		w.Header().Set("Content-Type", apierror.ContentTypeJSON)
		state := map[string]any{"store": store, "throttle": throttle.state()}
		if skew, known := throttle.clock.seconds(); known {
			state["redis_clock_skew_seconds"] = skew
		}
		_ = json.NewEncoder(w).Encode(state) // a prober that is gone cannot be told so
	}
}

func notFound(w http.ResponseWriter, r *http.Request) {
	apierror.Write(w, r, apierror.New(apierror.ResourceNotFound))
}

// refusals counts and logs what a guard refused. The log has the peer, and
// nothing that the peer chose.
func refusals(listener string, m *metrics, logger *slog.Logger) func(*http.Request, string) {
	return func(r *http.Request, reason string) {
		m.guarded.WithLabelValues(listener, reason).Inc()
		logger.DebugContext(r.Context(), "request refused", "listener", listener, "reason", reason, "peer", ratelimit.Callers{}.CallerAddr(r).String())
	}
}
