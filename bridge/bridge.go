package bridge

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// Limits of the bridge. Those that have an option of the same meaning are its
// default.
const (
	// DefaultTimeLimit bounds one call of a caller, log-in and repetition
	// included, and one log-in.
	DefaultTimeLimit = 25 * time.Second
	// DefaultMaxAnswer bounds one answer of a tracker in bytes, after
	// decompression, and what all answers to one call of a caller hold together.
	DefaultMaxAnswer = 32 << 20
	// DefaultBatchSize is how many bugs or comments one call to a tracker asks for.
	DefaultBatchSize = 100
	// DefaultConnections is how many connections to one tracker are open at once.
	DefaultConnections = 4
	// DefaultKeyRetention is how long the outcome of a write is kept under its
	// caller's idempotency key.
	DefaultKeyRetention = 7 * 24 * time.Hour
	// MaxNameLength bounds the name of a tracker in bytes.
	MaxNameLength = 64
)

// Config is one tracker.
type Config struct {
	// Name is what callers call the tracker: ASCII letters, digits, '.', '_' and
	// '-', at most [MaxNameLength] of them, and not only dots.
	Name string
	// URL is the tracker's base URL, http or https, without user, query and
	// fragment. A slash at its end means nothing.
	URL string
	// Dialect is the name of one of the dialects given to [New], or [Auto].
	Dialect string
	// Connections replaces what [WithConnections] says, unless it is zero.
	Connections int
	// CallsPerSecond replaces what [WithCallsPerSecond] says, unless it is zero.
	CallsPerSecond float64
	// TLS holds the CA and the certificate of the gateway's own for this tracker;
	// nil means the system's CAs and none. Nothing else of it is used.
	TLS *tls.Config
	// Secrets are the credentials for the gateway's account there, for dialects
	// that log in with such.
	Secrets Secrets
	// Allow are the tracker's own methods that callers may call, as patterns in
	// which * stands for any text; none means those that the dialect allows. It is
	// dangerous where it names methods that change accounts or permissions.
	Allow []string
	// Deny are methods that callers may not call whatever Allow says.
	Deny []string
	// States maps further words of the tracker, in any case, before the dialect's
	// own table is asked. A key is a status, a resolution, or both with one space
	// between them.
	States map[string]State
	// Importances maps further words of the tracker for priority and severity, in
	// any case, before the dialect's own table is asked.
	Importances map[string]Importance
	// AllowPrivate lets the tracker be at a loopback, private or link-local
	// address. It is dangerous where others can change what the URL's host name
	// resolves to: they could make the gateway call services of the private
	// network.
	AllowPrivate bool
}

// Minter makes the one-time tokens that trackers are logged in to with.
type Minter interface {
	// Mint returns a token that is good for the handshake of that tracker
	// alone. The bridge calls revoke once, as soon as the log-in call that
	// carried the token has ended, whatever came of it; revoking a token that
	// was consumed is no error.
	Mint(ctx context.Context, tracker string) (token string, revoke func(context.Context) error, err error)
}

// StateStore keeps what must outlive a restart and be shared by several
// gateways. Keys are printable ASCII and at most 200 bytes long.
type StateStore interface {
	// Get returns the value of key, and nil when there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// CompareAndSwap replaces the value of key, if it is prev, by next, in one
	// atomic step, and tells whether it did. A prev of nil means that there is
	// no value, a next of nil deletes. The new value vanishes after ttl.
	CompareAndSwap(ctx context.Context, key string, prev, next []byte, ttl time.Duration) (bool, error)
}

// Observer is told of every call to a tracker and of every log-in, for metrics.
// It must be safe for concurrent use and must not block.
type Observer interface {
	// TrackerCall reports one XML-RPC call to a tracker.
	TrackerCall(tracker string, outcome Outcome, took time.Duration)
	// TrackerLogin reports one log-in, the minting of its token included.
	TrackerLogin(tracker string, outcome Outcome, took time.Duration)
}

// Bridge is the set of configured trackers. It is safe for concurrent use.
type Bridge struct {
	trackers map[string]*tracker
	names    []string
	options  options
	keyed    keyedWrites
	stop     context.CancelFunc
	logins   sync.WaitGroup
}

type options struct {
	minter       Minter
	state        StateStore
	ownState     bool
	sessionKeys  SessionKeys
	logger       *slog.Logger
	observer     Observer
	admission    Admission
	now          func() time.Time
	timeLimit    time.Duration
	maxAnswer    int64
	batchSize    int
	connections  int
	keyRetention time.Duration

	callsPerSecond float64
	breakAfter     int
	breakFor       time.Duration

	resolver  *net.Resolver
	userAgent string
}

// Option changes a default of [New].
type Option func(*options)

// WithLogger sets the logger. Without it nothing is logged.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.logger = l } }

// WithObserver sets who is told of calls and log-ins.
func WithObserver(obs Observer) Option { return func(o *options) { o.observer = obs } }

// WithClock sets the clock that back-off, clock skew and idempotency keys go
// by, in place of [time.Now].
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithTimeLimit replaces [DefaultTimeLimit].
func WithTimeLimit(d time.Duration) Option { return func(o *options) { o.timeLimit = d } }

// WithMaxAnswer replaces [DefaultMaxAnswer].
func WithMaxAnswer(bytes int64) Option { return func(o *options) { o.maxAnswer = bytes } }

// WithBatchSize replaces [DefaultBatchSize].
func WithBatchSize(n int) Option { return func(o *options) { o.batchSize = n } }

// WithConnections replaces [DefaultConnections].
func WithConnections(n int) Option { return func(o *options) { o.connections = n } }

// WithCallsPerSecond bounds how many requests a second are sent to each tracker;
// more wait for their turn. A burst of as many is let through. Zero, the default,
// means no bound.
func WithCallsPerSecond(n float64) Option { return func(o *options) { o.callsPerSecond = n } }

// WithBreaker replaces [DefaultBreakAfter] and [DefaultBreakFor].
func WithBreaker(failures int, pause time.Duration) Option {
	return func(o *options) { o.breakAfter, o.breakFor = failures, pause }
}

// WithKeyRetention replaces [DefaultKeyRetention].
func WithKeyRetention(d time.Duration) Option { return func(o *options) { o.keyRetention = d } }

// WithResolver sets who resolves the host names of trackers, in place of
// [net.DefaultResolver].
func WithResolver(r *net.Resolver) Option { return func(o *options) { o.resolver = r } }

// WithUserAgent sets the User-Agent that trackers see, "trackgate" without it.
func WithUserAgent(s string) Option { return func(o *options) { o.userAgent = s } }

// WithOwnState says that no other process uses the state store, as is so for a
// store in one locked file. A write that a process before this one had begun
// under an idempotency key is then known to be over, and a repetition need not
// wait until it must be.
func WithOwnState() Option { return func(o *options) { o.ownState = true } }

// New makes a bridge to the trackers. Dialects holds the constructors by the
// names that [Config.Dialect] uses; for [Auto] they are tried in that order. The minter and the state store may be nil
// where no dialect needs a token and no caller gives an idempotency key; a call
// that needs them then fails. No tracker is called before the first caller asks.
func New(trackers []Config, dialects []Named, minter Minter, state StateStore, opts ...Option) (*Bridge, error) {
	o := options{
		minter:       minter,
		state:        state,
		logger:       slog.New(slog.DiscardHandler),
		observer:     unobserved{},
		admission:    admitAll{},
		now:          time.Now,
		timeLimit:    DefaultTimeLimit,
		maxAnswer:    DefaultMaxAnswer,
		batchSize:    DefaultBatchSize,
		connections:  DefaultConnections,
		keyRetention: DefaultKeyRetention,
		breakAfter:   DefaultBreakAfter,
		breakFor:     DefaultBreakFor,
		userAgent:    "trackgate",
	}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bridge{trackers: make(map[string]*tracker, len(trackers)), options: o, stop: stop}
	b.keyed.init()
	for _, c := range trackers {
		if b.trackers[c.Name] != nil {
			b.Close()
			return nil, fmt.Errorf("bridge: two trackers are named %q: give one another name", c.Name)
		}
		t, err := newTracker(ctx, b, c, dialects)
		if err != nil {
			b.Close()
			return nil, err
		}
		b.trackers[c.Name] = t
		b.names = append(b.names, c.Name)
	}
	return b, nil
}

// check refuses what no call could be made with.
func (o *options) check() error {
	if o.timeLimit <= 0 || o.maxAnswer <= 0 || o.batchSize <= 0 || o.connections <= 0 || o.keyRetention <= 0 {
		return fmt.Errorf("bridge: time limit, largest answer, batch size, connections and key retention must be above zero")
	}
	if !validPace(o.callsPerSecond) || o.breakAfter <= 0 || o.breakAfter > math.MaxInt32 || o.breakFor <= 0 {
		return fmt.Errorf("bridge: calls per second must be from 0 to %d, and what leaves a dead tracker alone above zero", MaxCallsPerSecond)
	}
	return nil
}

// Close ends the log-ins that are under way, waits for them, and closes the
// connections that are idle. Calls that are under way end by their contexts.
func (b *Bridge) Close() {
	b.stop()
	for _, t := range b.trackers {
		t.finding.close()
		for _, s := range t.candidates {
			s.session.close()
		}
	}
	b.logins.Wait()
	for _, t := range b.trackers {
		t.http.CloseIdleConnections()
	}
}

// Status is what [Bridge.List] says about a tracker.
type Status struct {
	Name         string
	URL          string
	Dialect      string // what it speaks, and [Auto] while that is not known
	Capabilities []string
	Session      SessionState
	// NextTry is when the next log-in can be made, where Session is
	// [SessionBackoff], or the next request is sent to a tracker that is left
	// alone, where it is [SessionDown]. Zero: at once.
	NextTry time.Time
}

// List describes all trackers, in the order of the configuration, without
// calling any.
func (b *Bridge) List() []Status {
	list := make([]Status, 0, len(b.names))
	for _, name := range b.names {
		t := b.trackers[name]
		status := Status{Name: t.config.Name, URL: t.config.URL, Dialect: t.config.Dialect, Capabilities: []string{}, Session: SessionNone}
		if s := t.active.Load(); s != nil {
			status.Dialect, status.Capabilities = s.dialect.Name(), Capabilities(s.dialect)
			status.Session, status.NextTry = s.session.state()
		}
		if held := t.polite.held(); held.After(status.NextTry) {
			status.Session, status.NextTry = SessionDown, held
		}
		list = append(list, status)
	}
	return list
}

// tracker finds a configured tracker by its name.
func (b *Bridge) tracker(name string) (*tracker, error) {
	if t := b.trackers[name]; t != nil {
		return t, nil
	}
	return nil, apierror.New(apierror.ResourceNotFound).
		WithDetail(fmt.Sprintf("No tracker is named %s; trackers.list names them all.", quoted(name)))
}

// bounded gives one call of a caller its time limit and its budget.
func (b *Bridge) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(withBudget(ctx, b.options.maxAnswer), b.options.timeLimit)
}

type unobserved struct{}

var _ Observer = unobserved{}

func (unobserved) TrackerCall(string, Outcome, time.Duration)  {}
func (unobserved) TrackerLogin(string, Outcome, time.Duration) {}
