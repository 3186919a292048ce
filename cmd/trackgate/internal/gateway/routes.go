package gateway

import (
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
	"github.com/trackgate/trackgate/ratelimit"
	"github.com/trackgate/trackgate/xmlrpc"
)

// privateRoutes is the XML-RPC interface: /bugs and /trackers with bare names,
// /RPC2 with prefixed ones, which is also found under the other paths that old
// clients have built in.
func privateRoutes(cfg *config.Config, logger *slog.Logger, m *metrics, authority *handshake.Authority, throttle *throttle, b *bridge.Bridge) (http.Handler, error) {
	bugs, trackers, all := xmlrpc.NewRegistry(), xmlrpc.NewRegistry(), xmlrpc.NewRegistry()
	if err := handshake.RegisterService(bugs, authority); err != nil {
		return nil, err
	}
	if err := b.Register(trackers); err != nil {
		return nil, err
	}
	if err := all.Mount("bugs.", bugs); err != nil {
		return nil, err
	}
	if err := all.Mount("trackers.", trackers); err != nil {
		return nil, err
	}
	if cfg.Private.Echo {
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
	bugsHandler, trackersHandler, allHandler := serve("/bugs", bugs), serve("/trackers", trackers), serve("/RPC2", all)
	proxy := m.timed("private", bridge.ProxyPath+"{name}", b.Proxy(xmlrpc.Limits{Bytes: cfg.Request.MaxBody, Depth: cfg.Request.MaxDepth, Values: cfg.Request.MaxValues}))
	routes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.TrimSuffix(r.URL.Path, "/") {
		case "/bugs":
			bugsHandler.ServeHTTP(w, r)
		case "/trackers":
			trackersHandler.ServeHTTP(w, r)
		case "", "/RPC2", "/rpc2", "/RPC", "/rpc", "/xmlrpc":
			allHandler.ServeHTTP(w, r)
		default:
			if strings.HasPrefix(r.URL.Path, bridge.ProxyPath) {
				proxy.ServeHTTP(w, r)
				return
			}
			notFound(w, r)
		}
	})
	limited := withDeadline(time.Duration(cfg.Request.HandlerTimeout), visited(routes))
	return &guard{next: limited, hosts: cfg.Private.Hosts, allow: config.Prefixes(cfg.Private.Allow), refused: refusals("private", m, logger)}, nil
}

// echo is bridge.echo.
func echo(values ...any) ([]any, error) {
	if values == nil {
		values = []any{}
	}
	return values, nil
}

// publicRoutes is all that strangers reach: the handshake's callback. No mux
// stands before it, since one would clean and redirect paths that hold tokens.
func publicRoutes(m *metrics, authority *handshake.Authority, throttle *throttle) http.Handler {
	callback := m.timed("public", "handshake", handshake.NewHandler(authority,
		handshake.WithCaller(throttle.callerAddr), handshake.WithAdmission(throttle.gate)))
	other := m.timed("public", "other", http.HandlerFunc(notFound))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		throttle.adviseProxy(r)
		if handshake.Match(r) {
			callback.ServeHTTP(w, r)
			return
		}
		other.ServeHTTP(w, r)
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
