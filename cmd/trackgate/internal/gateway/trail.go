package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/ratelimit"
)

// The listeners as the trail names them.
const (
	listenerPublic  = "public"
	listenerPrivate = "private"
	listenerControl = "control"
)

// trailCloseLimit bounds how long the end of the trail is waited for.
const trailCloseLimit = 5 * time.Second

// openTrail begins the chain of this run.
func openTrail(ctx context.Context, cfg *config.Config, stores *stores, env Environment) (*audit.Trail, error) {
	keys, err := AuditKeys(cfg)
	if err != nil {
		return nil, err
	}
	trail, err := audit.Open(ctx, stores.tokens.Trail(),
		audit.WithKeys(keys), audit.WithGateway(cfg.GatewayID()), audit.WithLogger(env.Logger), audit.WithRequired(cfg.Audit.Required),
		audit.WithMaxAge(time.Duration(cfg.Audit.MaxAge)), audit.WithMaxSize(int64(cfg.Audit.MaxSize)),
		audit.WithStarted(fmt.Sprintf("version %s, configuration %s", env.Version, digest(cfg))))
	if err != nil {
		return nil, fmt.Errorf("the audit trail cannot be opened: %w", err)
	}
	return trail, nil
}

// AuditKeys reads the keys of the trail; there are none without a file.
func AuditKeys(cfg *config.Config) (audit.Keys, error) {
	if cfg.Audit.KeyFile == "" {
		return audit.Keys{}, nil
	}
	text, err := readKeyFile(cfg.Audit.KeyFile)
	if err == nil {
		var keys audit.Keys
		if keys, err = audit.ParseKeys(text); err == nil {
			return keys, nil
		}
		err = fmt.Errorf("%s: %w", cfg.Audit.KeyFile, err)
	}
	return audit.Keys{}, fmt.Errorf("audit.key_file: %w", err)
}

// readKeyFile reads a file that is small.
func readKeyFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Size() > maxKeyFile {
		return "", errors.New("it is larger than a file of keys can be")
	}
	text, err := os.ReadFile(path)
	return string(text), err
}

// digest tells configurations apart, without what is secret in them.
func digest(cfg *config.Config) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", *cfg)) // secrets print as REDACTED
	return fmt.Sprintf("sha256:%x", sum[:8])
}

// closeTrail writes the end of the chain.
func closeTrail(trail *audit.Trail) error {
	ctx, cancel := context.WithTimeout(context.Background(), trailCloseLimit)
	defer cancel()
	return trail.Close(ctx)
}

// originated lets what is deep below a handler know where a request came from.
func originated(listener, route string, callers ratelimit.Callers, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := audit.Origin{Caller: callers.CallerAddr(r), Listener: listener, Route: route}
		next.ServeHTTP(w, r.WithContext(audit.WithOrigin(r.Context(), origin)))
	})
}

// auditedGate notes what a gate refuses. That of the handshake needs none: the
// handler notes it, with the token.
type auditedGate struct {
	*ratelimit.Gate
	trail   *audit.Trail
	callers ratelimit.Callers
	name    string // of the policies
	route   string // which they guard
}

var _ handshake.Admission = (*auditedGate)(nil)

// Admit asks the gate.
func (g *auditedGate) Admit(r *http.Request, h http.Header) error {
	err := g.Gate.Admit(r, h)
	if apierror.Is(err, apierror.TooManyRequests) {
		g.trail.Note(r.Context(), audit.Entry{
			Subsystem: audit.SubsystemThrottle, Code: audit.ThrottleRefused, Outcome: audit.Refused, Reason: "too_many_requests",
			Caller: g.callers.CallerAddr(r), Listener: listenerPublic, Route: g.route, Name: g.name,
		})
	}
	return err
}

// auditedBridge notes the log-ins to trackers.
type auditedBridge struct {
	bridge.Observer
	trail *audit.Trail
}

// TrackerLogin notes a log-in.
func (a auditedBridge) TrackerLogin(tracker string, outcome bridge.Outcome, took time.Duration) {
	a.Observer.TrackerLogin(tracker, outcome, took)
	e := audit.Entry{Subsystem: audit.SubsystemTracker, Code: audit.TrackerLogin, Outcome: audit.Done, Name: tracker}
	if outcome != bridge.OutcomeOK {
		e.Outcome, e.Reason = audit.Failed, string(outcome)
	}
	a.trail.Note(context.Background(), e)
}
