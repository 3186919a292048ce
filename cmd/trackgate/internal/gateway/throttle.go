package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/ratelimit"
	"github.com/trackgate/trackgate/xmlrpc"
)

// The names of the policies, in the configuration, in Redis and in metrics.
const (
	policyMint      = "mint"
	policyHandshake = "handshake"
	policyFailures  = "handshake_failures"
)

// mintMethods are the names under which a token can be minted.
var mintMethods = map[string]bool{"newBugTrackerToken": true, "bugs.newBugTrackerToken": true}

// throttle is what both sides ask before they act.
type throttle struct {
	mint     ratelimit.Policy
	private  *ratelimit.Throttle
	gate     *ratelimit.Gate
	callers  ratelimit.Callers
	failover *ratelimit.Failover // nil where limits are always counted in the process
	logger   *slog.Logger
	advised  sync.Once
}

// newThrottle counts in Redis where the store is there, with the in-process
// limit for when it is away, and in the process otherwise.
func newThrottle(cfg *config.Config, stores *stores, m *metrics, logger *slog.Logger) (*throttle, error) {
	t := &throttle{mint: policy(policyMint, cfg.Limits.Mint), logger: logger}
	local, err := ratelimit.NewLocal(0, time.Now)
	if err != nil {
		return nil, err
	}
	var limiter ratelimit.Limiter = local
	if stores.limits != nil {
		t.failover, err = ratelimit.NewFailover(ratelimit.FailoverConfig{
			Redis: ratelimit.NewRedis(stores.limits), Local: local, Replicas: cfg.Limits.Replicas, Log: logger, Observer: m,
		})
		if err != nil {
			return nil, err
		}
		limiter = t.failover
		m.Switched(ratelimit.StateRedis)
	}
	if err := t.mint.Validate(); err != nil {
		return nil, err
	}
	if t.callers, err = ratelimit.NewCallers(config.Prefixes(cfg.Public.TrustedProxies)); err != nil {
		return nil, err
	}
	// Nothing stands before the private side: its callers are its peers.
	if t.private, err = ratelimit.NewThrottle(limiter, ratelimit.Callers{}, m); err != nil {
		return nil, err
	}
	public, err := ratelimit.NewThrottle(limiter, t.callers, m)
	if err != nil {
		return nil, err
	}
	t.gate, err = public.Gate(policy(policyHandshake, cfg.Limits.Handshake), policy(policyFailures, cfg.Limits.HandshakeFailures))
	if err != nil {
		return nil, err
	}
	return t, nil
}

func policy(name string, l config.Limit) ratelimit.Policy {
	return ratelimit.Policy{Name: name, Rate: l.Rate, Burst: l.Burst}
}

var _ handshake.Admission = (*ratelimit.Gate)(nil)

// beforeCall charges an XML-RPC call.
func (t *throttle) beforeCall(ctx context.Context, call *xmlrpc.CallInfo) error {
	if !mintMethods[call.Method] {
		return nil
	}
	return t.private.Charge(ctx, call.Request, call.Header, t.mint)
}

// callerAddr is the address that made a public request.
func (t *throttle) callerAddr(r *http.Request) netip.Addr { return t.callers.CallerAddr(r) }

// adviseProxy says once that a proxy which is not trusted seems to stand before
// the public side: all callers then share its limits.
func (t *throttle) adviseProxy(r *http.Request) {
	if len(r.Header["X-Forwarded-For"]) == 0 {
		return
	}
	peer := ratelimit.Callers{}.CallerAddr(r)
	if t.callers.CallerAddr(r) == peer {
		t.advised.Do(func() {
			t.logger.Warn("X-Forwarded-For came from a peer that is not trusted: if it is your proxy, add it to public.trusted_proxies, or all its callers are throttled as one",
				"peer", peer.String())
		})
	}
}

// state says where limits are counted.
func (t *throttle) state() string {
	if t.failover == nil {
		return string(ratelimit.StateLocal)
	}
	return string(t.failover.State())
}

func (t *throttle) close() error {
	if t.failover != nil {
		t.failover.Close()
	}
	return nil
}
