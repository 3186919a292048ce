package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// watched is a tracker that tells what was modified, in memory, with whole seconds as
// trackers have them.
type watched struct {
	mu       sync.Mutex
	bugs     map[string]Bug
	offset   time.Duration // of its clock
	mute     bool          // it does not tell its time
	away     error         // of every question
	broken   map[string]error
	gone     map[string]bool // listed, and not there
	panics   map[string]bool
	asked    []time.Time // since, of each question
	reads    int
	on       func() // at the beginning of every question, outside the lock
	able     bool
	slow     time.Duration // how long it takes to read bugs
	timeless bool          // its bugs have no times, and all are listed
}

func newWatched() *watched {
	return &watched{bugs: map[string]Bug{}, broken: map[string]error{}, gone: map[string]bool{}, panics: map[string]bool{}, able: true}
}

func (w *watched) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *watched) clock() time.Time { return time.Now().Add(w.offset).UTC().Truncate(time.Second) }

// touch modifies bugs now.
func (w *watched) touch(ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		bug := w.bugs[id]
		if bug.ID == "" {
			bug = Bug{ID: id, Created: w.clock(), Status: "new"}
		}
		bug.Modified = w.clock()
		bug.Title = fmt.Sprintf("%s at %v", id, time.Now().UnixNano())
		w.bugs[id] = bug
	}
}

func (w *watched) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

// watchedDialect makes a watched tracker a dialect.
type watchedDialect struct{ *watched }

var (
	_ Dialect        = watchedDialect{}
	_ ModifiedReader = watchedDialect{}
)

func (d watchedDialect) Name() string { return "watched" }
func (d watchedDialect) Detect(context.Context) (Detection, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Detection{Found: d.able}, nil
}
func (d watchedDialect) Login(context.Context, *Credentials) (*Session, error) {
	return &Session{}, nil
}
func (d watchedDialect) Expired(error) bool                   { return false }
func (d watchedDialect) About(context.Context) (About, error) { return About{}, nil }
func (d watchedDialect) BugKey(id string) string              { key, _ := Digits(id); return key }

func (d watchedDialect) ModifiedBugs(ctx context.Context, keys []string, since time.Time) (ModifiedBatch, error) {
	d.mu.Lock()
	on := d.on
	d.mu.Unlock()
	if on != nil {
		on()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, since)
	if d.away != nil || ctx.Err() != nil {
		return ModifiedBatch{}, errors.Join(d.away, ctx.Err())
	}
	batch := ModifiedBatch{Time: d.clock()}
	if d.mute {
		batch.Time = time.Time{}
	}
	for id, bug := range d.bugs { // in no order at all
		if (d.timeless || !bug.Modified.Before(since.Truncate(time.Second))) && (keys == nil || slices.Contains(keys, id)) {
			batch.IDs = append(batch.IDs, id)
		}
	}
	for _, key := range keys {
		if _, there := d.bugs[key]; !there {
			batch.Missing = append(batch.Missing, key)
		}
	}
	return batch, nil
}

func (d watchedDialect) ReadBugs(ctx context.Context, keys []string, _ Level) (BugBatch, error) {
	d.mu.Lock()
	slow := d.slow
	d.mu.Unlock()
	time.Sleep(slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	batch := BugBatch{Time: d.clock()}
	if d.mute {
		batch.Time = time.Time{}
	}
	if d.away != nil || ctx.Err() != nil {
		return batch, errors.Join(d.away, ctx.Err())
	}
	for _, key := range keys {
		if err := d.broken[key]; err != nil {
			return BugBatch{}, err
		}
		if d.panics[key] {
			panic("cannot read " + key)
		}
		if bug, there := d.bugs[key]; there && !d.gone[key] {
			batch.Bugs = append(batch.Bugs, bug)
		}
	}
	return batch, nil
}

// unwatchable is a dialect without modified-since.
type unwatchable struct{ *watched }

func (d unwatchable) Name() string { return "unwatchable" }
func (d unwatchable) Detect(context.Context) (Detection, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Detection{Found: !d.able}, nil
}
func (d unwatchable) Login(context.Context, *Credentials) (*Session, error) { return &Session{}, nil }
func (d unwatchable) Expired(error) bool                                    { return false }
func (d unwatchable) About(context.Context) (About, error)                  { return About{}, nil }

// changeLog is a ChangeLog in memory, of which the tests say when it fails.
type changeLog struct {
	mu        sync.Mutex
	changes   []Change
	keys      map[string]time.Time
	keyAge    time.Duration
	repeated  int // changes that were left out
	largest   int // changes of one Advance
	advances  int
	positions map[string][]byte
	leases    map[string]*heldLease
	fence     int
	// before and after decide on the calls' failing, before and after they had their effect.
	before, after func(operation string) error
}

var _ ChangeLog = (*changeLog)(nil)

func newChangeLog() *changeLog {
	return &changeLog{keys: map[string]time.Time{}, keyAge: 3 * 24 * time.Hour, positions: map[string][]byte{}, leases: map[string]*heldLease{}}
}

type heldLease struct {
	log      *changeLog
	name     string
	fence    int
	ttl      time.Duration
	until    time.Time
	position []byte
}

var _ WatchLease = (*heldLease)(nil)

func (l *changeLog) do(ctx context.Context, operation string, effect func() error) error {
	l.mu.Lock()
	before, after := l.before, l.after
	l.mu.Unlock()
	if before != nil {
		if err := before(operation); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.mu.Lock()
	err := effect()
	l.mu.Unlock()
	if err == nil && after != nil {
		err = after(operation)
	}
	return err
}

func (l *changeLog) Lease(ctx context.Context, name string, ttl time.Duration) (lease WatchLease, err error) {
	err = l.do(ctx, "lease", func() error {
		if held := l.leases[name]; held != nil && time.Now().Before(held.until) {
			return ErrLeased
		}
		l.fence++
		h := &heldLease{log: l, name: name, fence: l.fence, ttl: ttl, until: time.Now().Add(ttl), position: l.positions[name]}
		l.leases[name], lease = h, h
		return nil
	})
	return lease, err
}

// holds tells whether nobody has the lease since.
func (h *heldLease) holds() bool { return h.log.leases[h.name] == h }

func (h *heldLease) Position() []byte { return h.position }

func (h *heldLease) Advance(ctx context.Context, position []byte, changes ...Change) error {
	return h.log.do(ctx, "advance", func() error {
		if !h.holds() {
			return ErrLeaseLost
		}
		h.log.advances++
		h.log.positions[h.name] = slices.Clone(position)
		h.log.largest = max(h.log.largest, len(changes))
		for _, c := range changes {
			key := c.Tracker + " " + c.Key
			if at, known := h.log.keys[key]; known && time.Since(at) < h.log.keyAge {
				h.log.repeated++
				continue
			}
			h.log.keys[key] = time.Now()
			h.log.changes = append(h.log.changes, c)
		}
		return nil
	})
}

func (h *heldLease) Renew(ctx context.Context) error {
	return h.log.do(ctx, "renew", func() error {
		if !h.holds() {
			return ErrLeaseLost
		}
		h.until = time.Now().Add(h.ttl)
		return nil
	})
}

func (h *heldLease) Release(ctx context.Context) error {
	return h.log.do(ctx, "release", func() error {
		if h.holds() {
			delete(h.log.leases, h.name)
		}
		return nil
	})
}

func (l *changeLog) fail(before, after func(operation string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after = before, after
}

// told is what the log holds, as bug@second of the tests' clock.
func (l *changeLog) told() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for _, c := range l.changes {
		keys = append(keys, c.Key)
	}
	return keys
}

func (l *changeLog) bugs() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, c := range l.changes {
		ids = append(ids, c.Bug)
	}
	return strings.Join(ids, " ")
}

func (l *changeLog) held(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leases[name] != nil && time.Now().Before(l.leases[name].until)
}

// lines takes what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// watchScene is a watcher of the tracker "t" at work.
type watchScene struct {
	t      *testing.T
	site   *watched
	log    *changeLog
	lines  *lines
	config WatchConfig
	opts   []Option
	wopts  []WatchOption
}

func newWatchScene(t *testing.T) *watchScene {
	return &watchScene{t: t, site: newWatched(), log: newChangeLog(), lines: &lines{}, config: WatchConfig{Tracker: "t"}}
}

func (s *watchScene) bridge(dialect string) *Bridge {
	s.t.Helper()
	named := []Named{
		{Name: "watched", New: func(*Remote) (Dialect, error) { return watchedDialect{s.site}, nil }},
		{Name: "unwatchable", New: func(*Remote) (Dialect, error) { return unwatchable{s.site}, nil }},
	}
	opts := append([]Option{WithLogger(slog.New(slog.NewTextHandler(s.lines, nil)))}, s.opts...)
	b, err := New([]Config{{Name: "t", URL: "http://tracker.test", Dialect: dialect}}, named, nil, nil, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// start runs a watcher. The function that is returned ends it, and waits for that.
func (s *watchScene) start(dialect ...string) (stop func()) {
	s.t.Helper()
	b := s.bridge(append(dialect, "watched")[0])
	w, err := b.NewWatcher([]WatchConfig{s.config}, s.log, s.wopts...)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := w.Run(ctx); err != nil {
			s.t.Error(err)
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-done; b.Close() })
}

// onceInOrder checks that the log holds each change once, by time and id.
func (s *watchScene) onceInOrder() {
	s.t.Helper()
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	seen := map[string]bool{}
	var last sighting
	for i, c := range s.log.changes {
		if seen[c.Key] {
			s.t.Errorf("%s is there twice", c.Key)
		}
		seen[c.Key] = true
		at, err := time.Parse(time.RFC3339Nano, c.Data["modified"].(string))
		if err != nil {
			s.t.Fatal(err)
		}
		next := sighting{bug: Bug{ID: c.Bug, Modified: at}}
		if i > 0 && compareSightings(last, next) >= 0 {
			s.t.Errorf("%s comes after %s@%v", c.Key, last.bug.ID, last.bug.Modified)
		}
		last = next
	}
}

func (s *watchScene) wants(bugs string) {
	s.t.Helper()
	if got := s.log.bugs(); got != bugs {
		s.t.Errorf("the log tells of %q, want %q", got, bugs)
	}
}

var errAway = apierror.New(apierror.TrackerUnavailable).WithDetail("Away.")

func stored(t *testing.T, l *changeLog, name string) position {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := parsePosition(l.positions[name])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
