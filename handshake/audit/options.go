package audit

import (
	"log/slog"
	"time"
)

// Limits of a [Trail], where options do not change them.
const (
	// DefaultQueue is how many entries wait to be written at most; more are counted.
	DefaultQueue = 8192
	// DefaultCallerLimit is how many refusals of one caller are listed in a minute;
	// more are counted.
	DefaultCallerLimit = 10
	// DefaultMaxCallers is how many callers are told apart in a minute; the refusals
	// of more are counted.
	DefaultMaxCallers = 10_000
)

type settings struct {
	keys        Keys
	gateway     string
	now         func() time.Time
	log         *slog.Logger
	required    bool
	maxAge      time.Duration
	maxSize     int64
	started     string
	queue       int
	callerLimit int
	maxCallers  int
}

// Option changes a [Trail] that [Open] makes.
type Option func(*settings)

// WithKeys sets the keys: the first signs. Without keys the MACs are plain hashes.
func WithKeys(keys Keys) Option { return func(s *settings) { s.keys = keys } }

// WithGateway sets the name of the gateway, which the first entry of its chain has.
func WithGateway(id string) Option { return func(s *settings) { s.gateway = id } }

// WithClock sets the clock of the entries, time.Now by default.
func WithClock(now func() time.Time) Option { return func(s *settings) { s.now = now } }

// WithLogger sets where failures are told; by default nowhere.
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// WithRequired sets whether [Trail.Record] fails when the store does, which is the
// default. Otherwise what could not be recorded is written later, as [Trail.Note]
// would, and a warning tells of it.
func WithRequired(required bool) Option { return func(s *settings) { s.required = required } }

// WithMaxAge sets how long entries are kept; 0, the default, is for ever.
func WithMaxAge(d time.Duration) Option { return func(s *settings) { s.maxAge = d } }

// WithMaxSize sets how many bytes of blocks are kept, about; 0, the default, is any
// number.
func WithMaxSize(bytes int64) Option { return func(s *settings) { s.maxSize = bytes } }

// WithStarted sets the detail of the first entry: the configuration's digest.
func WithStarted(detail string) Option { return func(s *settings) { s.started = detail } }

// WithQueue sets how many entries wait at most, [DefaultQueue] by default.
func WithQueue(entries int) Option { return func(s *settings) { s.queue = entries } }

// WithCallers sets how many refusals of one caller are listed in a minute, and how
// many callers are told apart, [DefaultCallerLimit] and [DefaultMaxCallers] by
// default.
func WithCallers(perCaller, callers int) Option {
	return func(s *settings) { s.callerLimit, s.maxCallers = perCaller, callers }
}
