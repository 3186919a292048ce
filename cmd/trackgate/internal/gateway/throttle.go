package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/ratelimit"
	"github.com/trackgate/trackgate/xmlrpc"
)

// mintMethods are the names under which a token can be minted.
var mintMethods = map[string]bool{"newBugTrackerToken": true, "bugs.newBugTrackerToken": true}

// throttle is what both sides ask before they act.
type throttle struct {
	policies []config.AlsoLimit          // all, in the order of the configuration
	rules    map[string][]ratelimit.Rule // by what they are asked on
	private  *ratelimit.Throttle
	public   *ratelimit.Throttle
	gate     *ratelimit.Gate // of the handshake
	hooks    *auditedGate
	trail    *audit.Trail
	callers  ratelimit.Callers
	failover *ratelimit.Failover // nil where limits are always counted in the process
	live     *liveTokens
	clock    *clockWatch // nil where there is no other clock
	limits   *config.Limits
	trackers map[string]bool
	logger   *slog.Logger
	advised  sync.Once
}

var (
	_ handshake.Admission = (*ratelimit.Gate)(nil)
	_ bridge.Admission    = (*throttle)(nil)
	_ handshake.Observer  = (*throttle)(nil)
)

// newThrottle counts in Redis where the store is there, with the in-process
// limit for when it is away, and in the process otherwise.
func newThrottle(cfg *config.Config, stores *stores, m *metrics, trail *audit.Trail, logger *slog.Logger) (*throttle, error) {
	t := &throttle{
		policies: cfg.Limits.Policies(), rules: map[string][]ratelimit.Rule{}, limits: &cfg.Limits,
		trackers: make(map[string]bool, len(cfg.Trackers)), trail: trail, logger: logger,
		live: newLiveTokens(cfg.Token.MaxLive, time.Duration(cfg.Token.Lifetime), stores.client, time.Now, logger),
	}
	for _, tracker := range cfg.Trackers {
		t.trackers[tracker.Name] = true
	}
	for _, p := range t.policies {
		t.rules[p.On] = append(t.rules[p.On], p.Rule())
		m.knowPolicy(p.Name)
	}
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
		t.clock = watchClock(func(ctx context.Context) (time.Duration, error) {
			return ratelimit.ClockSkew(ctx, stores.client, time.Now)
		}, m.clockSkew, logger)
	}
	if err := t.throttles(cfg, limiter, m); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// throttles makes those of the two sides.
func (t *throttle) throttles(cfg *config.Config, limiter ratelimit.Limiter, m *metrics) (err error) {
	if t.callers, err = ratelimit.NewCallers(config.Prefixes(cfg.Public.TrustedProxies)); err != nil {
		return err
	}
	opts := []ratelimit.ThrottleOption{ratelimit.WithExempt(config.Prefixes(cfg.Limits.Exempt)), ratelimit.WithLog(t.logger)}
	// Nothing stands before the private side: its callers are its peers.
	if t.private, err = ratelimit.NewThrottle(limiter, ratelimit.Callers{}, m, opts...); err != nil {
		return err
	}
	if t.public, err = ratelimit.NewThrottle(limiter, t.callers, m, opts...); err != nil {
		return err
	}
	if t.gate, err = t.public.Gate(t.rules[config.OnHandshake], t.rules[config.OnHandshakeFailures]); err != nil {
		return err
	}
	gate, err := t.public.Gate(t.rules[config.OnHooks], t.rules[config.OnHookFailures])
	t.hooks = &auditedGate{Gate: gate, trail: t.trail, callers: t.callers, name: config.OnHooks, route: routeHooks}
	return err
}

// refused notes what the private side refuses.
func (t *throttle) refused(ctx context.Context, on, tracker string, err error) error {
	reason := ""
	switch {
	case err == nil:
		return nil
	case apierror.Is(err, apierror.TooManyRequests):
		reason = "too_many_requests"
	case apierror.Is(err, apierror.TooManyTokens):
		reason = "too_many_tokens"
	default:
		return err
	}
	t.trail.Note(ctx, audit.Entry{
		Subsystem: audit.SubsystemThrottle, Code: audit.ThrottleRefused, Outcome: audit.Refused, Reason: reason, Name: on, Detail: tracker,
	})
	return err
}

// visit is a request to the private side, as what is deep below its handler must
// know it.
type visit struct {
	subject ratelimit.Subject
	mu      sync.Mutex // guards header against the calls of a multicast
	header  http.Header
}

type visitKey struct{}

// caller is by whom the live tokens of a visit are counted.
func (v *visit) caller() ratelimit.Caller { return ratelimit.CallerOf(v.subject.Addr) }

// beforeCall charges an XML-RPC call that mints. Those to trackers are charged
// when it is known to which.
func (t *throttle) beforeCall(ctx context.Context, call *xmlrpc.CallInfo) error {
	if !mintMethods[call.Method] {
		return nil
	}
	s := ratelimit.Callers{}.SubjectOf(call.Request)
	err := t.private.Charge(ctx, call.Header, s, t.rules[config.OnMint]...)
	if err == nil {
		err = t.live.admit(ctx, ratelimit.CallerOf(s.Addr))
	}
	return t.refused(ctx, config.OnMint, "", err)
}

// Call implements [bridge.Admission].
func (t *throttle) Call(ctx context.Context, tracker string) error {
	v, ok := ctx.Value(visitKey{}).(*visit)
	if !ok { // for no caller, as watching is: what is counted by tracker holds
		s := ratelimit.Subject{Tracker: tracker}
		var rules []ratelimit.Rule
		for _, r := range t.rules[config.OnTrackerCalls] {
			if r.By == ratelimit.ByTracker {
				rules = append(rules, r)
			}
		}
		return t.refused(ctx, config.OnTrackerCalls, tracker, t.private.Charge(ctx, nil, s, rules...))
	}
	s := v.subject
	s.Tracker = tracker
	header := http.Header{}
	err := t.private.Charge(ctx, header, s, t.rules[config.OnTrackerCalls]...)
	v.mu.Lock()
	defer v.mu.Unlock()
	maps.Copy(v.header, header)
	return t.refused(ctx, config.OnTrackerCalls, tracker, err)
}

// Login implements [bridge.Admission].
func (t *throttle) Login(ctx context.Context, tracker string) error {
	return t.refused(ctx, config.OnLogin, tracker, t.private.Charge(ctx, nil, ratelimit.Subject{Tracker: tracker}, t.rules[config.OnLogin]...))
}

// account is the one by which a token is counted that is minted for a visit; other
// tokens are not counted.
func (t *throttle) account(ctx context.Context) handshake.Account {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return t.live.account(v.caller())
	}
	return ""
}

// Observe counts the tokens of each caller.
func (t *throttle) Observe(ctx context.Context, e handshake.Event) {
	switch e.Type {
	case handshake.EventMinted:
		if v, ok := ctx.Value(visitKey{}).(*visit); ok {
			t.live.minted(e.Account, v.caller())
		}
	case handshake.EventConsumed, handshake.EventRevoked:
		t.live.ended(e.Account)
	case handshake.EventRefused, handshake.EventProbe:
	}
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
	if t.clock != nil {
		t.clock.close()
	}
	t.live.close()
	return nil
}
