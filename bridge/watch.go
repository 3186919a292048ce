package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults and bounds of watching.
const (
	// DefaultWatchInterval is how long a watch rests between two polls.
	DefaultWatchInterval = time.Minute
	// MinWatchInterval is the shortest rest.
	MinWatchInterval = 5 * time.Second
	// MaxWatchInterval is the longest.
	MaxWatchInterval = 24 * time.Hour
	// DefaultWatchOverlap is how far each question reaches back before the end of
	// the one before it.
	DefaultWatchOverlap = 2 * time.Minute
	// MinWatchOverlap covers what trackers cut off their times.
	MinWatchOverlap = 5 * time.Second
	// MaxWatchOverlap is the furthest that a question reaches back.
	MaxWatchOverlap = 24 * time.Hour
)

// WatchConfig is one watch: what is looked for, where, and how often.
type WatchConfig struct {
	// Tracker is the name of the tracker.
	Tracker string
	// Name tells the watches of a tracker apart, with the rules of [Config.Name];
	// empty: "all". A watch with a new name begins anew.
	Name string
	// Interval is the rest between two polls, on which up to a tenth is put or taken
	// off by chance; zero: [DefaultWatchInterval].
	Interval time.Duration
	// Overlap is how far a poll reaches back before the last one, for changes that
	// the tracker showed late; zero: [DefaultWatchOverlap]. What is found again is
	// recognised, at the price of being read again.
	Overlap time.Duration
	// Bugs are the ids of the bugs that are watched, [MaxIDs] at most; none: all of
	// the tracker.
	Bugs []string
}

// leaseName is the name under which lease and position are kept. No name of a tracker has a
// slash in it.
func (c *WatchConfig) leaseName() string { return c.Tracker + "/" + c.Name }

// Kinds of a [Change].
const (
	// KindBugModified says that a bug is not what it was.
	KindBugModified = "bug.modified"
	// KindBugCreated says that a bug was made and has not been modified since, by the
	// tracker's own times. A bug that was modified before it was found is told of as
	// [KindBugModified] alone.
	KindBugCreated = "bug.created"
)

// Change is one change that a watch found.
type Change struct {
	// Key recognises the change when it is found again, by whatever watch of the
	// tracker: the bug and when it was modified or, where the tracker does not tell
	// when, what the bug has become. It is at most 256 bytes long.
	Key string
	// Time is when the change was found, by the gateway's clock, in UTC.
	Time time.Time
	// Kind is KindBugModified or KindBugCreated.
	Kind string
	// Tracker and Bug say which bug it is.
	Tracker, Bug string
	// Data is what trackers.getBugs tells of the bug at level "metadata", ready for
	// JSON: times are strings of RFC 3339 in UTC, and texts are cut at [MaxChangeText].
	Data map[string]any
}

// ChangeLog is where watches put what they find, and where they keep how far they
// came. It is safe for concurrent use, and shared by all gateways.
type ChangeLog interface {
	// Lease takes the lease of that name, "TRACKER/WATCH", for ttl, or fails with [ErrLeased] while
	// another holds. From then on no change is made any more through a lease of that
	// name that was taken earlier, be it by the same process, not even by a call that
	// is still under way.
	Lease(ctx context.Context, name string, ttl time.Duration) (WatchLease, error)
}

// WatchLease is the right to be the one that watches. It is used by one goroutine.
type WatchLease interface {
	// Position returns what was stored by the last Advance of any holder before the
	// lease was taken, nil when nothing ever was.
	Position() []byte
	// Advance stores the changes, in their order and without those whose key is known
	// for the tracker, and the position, all in one atomic step. It fails with
	// [ErrLeaseLost], and nothing is stored, when the lease is another's. After any
	// other error it may have happened or not.
	Advance(ctx context.Context, position []byte, changes ...Change) error
	// Renew makes the lease last for ttl from now, or fails with [ErrLeaseLost].
	Renew(ctx context.Context) error
	// Release ends the lease. One that is another's by now is no error.
	Release(ctx context.Context) error
}

// The errors of a [ChangeLog], to be tested with errors.Is.
var (
	ErrLeased    = errors.New("bridge: another gateway watches")
	ErrLeaseLost = errors.New("bridge: another gateway has taken over the watch")
)

// WatchObserver is told of what watches do, for metrics. It must be safe for
// concurrent use and must not block.
type WatchObserver interface {
	// WatchPolled reports the end of a poll, and how many changes it put into the log.
	// [OutcomeInternal] is, among others, that of a log that does not answer.
	WatchPolled(watch, tracker string, outcome Outcome, changes int, took time.Duration)
	// WatchHeld reports that this gateway has become the one that watches, or is it no
	// more.
	WatchHeld(watch, tracker string, held bool)
}

// WatchOption changes a default of [Bridge.NewWatcher].
type WatchOption func(*Watcher)

// WithWatchObserver sets who is told of polls.
func WithWatchObserver(o WatchObserver) WatchOption { return func(w *Watcher) { w.observer = o } }

// Watcher asks trackers that cannot push, again and again, what was modified, and
// puts it into a [ChangeLog].
//
// Each change is stored once. Of all gateways with the same log one polls at a time;
// how far it came is stored in the same step as what it found, so that the next one
// goes on from there. Changes are stored in the order of their times, and of ids
// where those are equal, as far as the tracker tells of them in time: one that it
// shows only later comes later. Of several changes of a bug between two polls the last
// is found.
//
// A watch begins at the tracker's present, not with its past. After a time in which
// nothing could be asked it goes on where it stopped.
type Watcher struct {
	bridge   *Bridge
	watches  []WatchConfig
	log      ChangeLog
	observer WatchObserver
	running  atomic.Bool
}

// NewWatcher makes a watcher, which asks nothing before Run. A tracker about which it
// is known that it cannot tell what was modified is an error.
func (b *Bridge) NewWatcher(watches []WatchConfig, log ChangeLog, opts ...WatchOption) (*Watcher, error) {
	w := &Watcher{bridge: b, log: log, observer: unwatched{}}
	for _, opt := range opts {
		opt(w)
	}
	names := make(map[string]bool, len(watches))
	for _, c := range watches {
		c, err := b.checkWatch(c)
		if err != nil {
			return nil, err
		}
		if names[c.leaseName()] {
			return nil, fmt.Errorf("bridge: two watches of tracker %s are named %q: give one another name", c.Tracker, c.Name)
		}
		names[c.leaseName()] = true
		w.watches = append(w.watches, c)
	}
	return w, nil
}

// checkWatch fills in defaults and refuses what could never work.
func (b *Bridge) checkWatch(c WatchConfig) (WatchConfig, error) {
	t := b.trackers[c.Tracker]
	if t == nil {
		return c, fmt.Errorf("bridge: a watch names the tracker %s, which is not configured", quoted(c.Tracker))
	}
	if c.Name == "" {
		c.Name = "all"
	}
	if checkName(c.Name) != nil {
		return c, fmt.Errorf("bridge: watch name %q: the rules for names of trackers hold", c.Name)
	}
	if c.Interval == 0 {
		c.Interval = DefaultWatchInterval
	}
	if c.Overlap == 0 {
		c.Overlap = DefaultWatchOverlap
	}
	if c.Interval < MinWatchInterval || c.Interval > MaxWatchInterval {
		return c, fmt.Errorf("bridge: watch %s: an interval of %v is not from %v to %v", c.Name, c.Interval, MinWatchInterval, MaxWatchInterval)
	}
	if c.Overlap < MinWatchOverlap || c.Overlap > MaxWatchOverlap {
		return c, fmt.Errorf("bridge: watch %s: an overlap of %v is not from %v to %v", c.Name, c.Overlap, MinWatchOverlap, MaxWatchOverlap)
	}
	if len(c.Bugs) > MaxIDs {
		return c, fmt.Errorf("bridge: watch %s: %d bugs are more than %d: make several watches of it, or watch all", c.Name, len(c.Bugs), MaxIDs)
	}
	for _, id := range c.Bugs {
		if id == "" || len(id) > MaxIDLength {
			return c, fmt.Errorf("bridge: watch %s: %s is no id of a bug: use 1 to %d bytes", c.Name, quoted(id), MaxIDLength)
		}
	}
	c.Bugs = slices.Clone(c.Bugs)
	for _, s := range t.candidates {
		if _, tells := s.dialect.(ModifiedReader); tells {
			return c, nil
		}
	}
	return c, fmt.Errorf("bridge: watch %s: tracker %s speaks %s, which cannot tell what was modified", c.Name, c.Tracker, t.config.Dialect)
}

// Run watches until ctx ends, and then gives back its leases so that others can go on
// at once. It is called once, and must have returned before the bridge is closed.
func (w *Watcher) Run(ctx context.Context) error {
	if w.running.Swap(true) {
		return errors.New("bridge: the watcher runs already")
	}
	var all sync.WaitGroup
	for _, c := range w.watches {
		one := newWatch(w, c)
		all.Go(func() { one.run(ctx) })
	}
	all.Wait()
	return nil
}

type unwatched struct{}

var _ WatchObserver = unwatched{}

func (unwatched) WatchPolled(string, string, Outcome, int, time.Duration) {}
func (unwatched) WatchHeld(string, string, bool)                          {}
