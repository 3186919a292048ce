package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/trackgate/trackgate/apierror"
)

const (
	// LookAgainAfter is how long after a look at what a tracker speaks the next
	// one is made at the earliest, when its answers are not what its dialect
	// expects.
	LookAgainAfter = time.Minute
	// dialectRetention is how long it is remembered in the state store what a
	// tracker speaks. A use does not prolong it: trackers are upgraded.
	dialectRetention = 30 * 24 * time.Hour
)

// finding is what a tracker of the dialect [Auto] is known to speak.
type finding struct {
	looks  singleflight.Group // one look at a time, shared by all callers
	looked atomic.Int64       // our clock at the last look, in nanoseconds; 0: never
	mu     sync.Mutex
	closed bool
}

// begin counts a look among what is running, unless the bridge is closed.
func (f *finding) begin(running *sync.WaitGroup) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	running.Add(1)
	return true
}

// close lets no further look begin.
func (f *finding) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// stopping is the error of what is not begun any more.
func stopping() error {
	return apierror.New(apierror.TrackerUnavailable).WithDetail("The gateway is stopping.")
}

// rememberedDialect is what the state store keeps, in JSON.
type rememberedDialect struct {
	URL     string `json:"url"`
	Dialect string `json:"dialect"`
}

// speaks returns what the tracker speaks. Where that is to be found out it is
// found out once, and again when the tracker's answers are no longer what the
// dialect expects.
func (t *tracker) speaks(ctx context.Context) (*spoken, error) {
	s := t.active.Load()
	if s == nil {
		s = t.recall(ctx)
	}
	if s != nil && !t.doubted(s) {
		return s, nil
	}
	found, reason, err := t.look(ctx, ifNeeded)
	switch {
	case found != nil:
		return found, nil
	case s != nil: // it may be ill rather than another; its own error tells more
		return s, nil
	case err != nil:
		return nil, err
	}
	return nil, apierror.New(apierror.TrackerBadAnswer).
		WithDetail(fmt.Sprintf("Tracker %s speaks no dialect that can be detected. %s", t.config.Name, reason))
}

// doubted tells whether it is time to look again.
func (t *tracker) doubted(s *spoken) bool {
	return t.config.Dialect == Auto && s.session.strange.Load() &&
		t.options.now().Sub(time.Unix(0, t.finding.looked.Load())) >= LookAgainAfter
}

// occasion says when a look is made.
type occasion string

const (
	always   occasion = "always"
	ifNeeded occasion = "if needed"
)

// look asks the tracker what it speaks, and remembers it. The sentences say why
// each dialect was found or not. Nothing found is no error. Callers at the same
// time share one look, which goes on when one of them goes away.
func (t *tracker) look(ctx context.Context, when occasion) (*spoken, string, error) {
	type result struct {
		found  *spoken
		reason string
	}
	done := t.finding.looks.DoChan(string(when), func() (_ any, err error) {
		if !t.finding.begin(t.running) {
			return nil, stopping()
		}
		defer t.running.Done()
		defer caught(t.options.logger, t.config.Name, &err)
		if s := t.active.Load(); when == ifNeeded && s != nil && !t.doubted(s) {
			return result{found: s}, nil // somebody else found it a moment ago
		}
		ctx, cancel := context.WithTimeout(t.base, t.options.timeLimit)
		defer cancel()
		found, reason, err := t.tryAll(ctx)
		t.finding.looked.Store(t.options.now().UnixNano())
		return result{found, reason}, err
	})
	select {
	case shared := <-done:
		r, _ := shared.Val.(result)
		return r.found, r.reason, classify(shared.Err, nil)
	case <-ctx.Done():
		return nil, "", classify(ctx.Err(), nil)
	}
}

func (t *tracker) tryAll(ctx context.Context) (*spoken, string, error) {
	reasons := make([]string, 0, len(t.candidates))
	var failure error // the first; a tracker may fail at what it does not know
	for _, s := range t.candidates {
		detection, err := t.try(ctx, s)
		if err != nil {
			if apierror.Is(err, apierror.TrackerUnavailable) || ctx.Err() != nil {
				return nil, "", err
			}
			if failure == nil && !apierror.Is(err, apierror.TrackerBadAnswer) || len(t.candidates) == 1 {
				failure = err
			}
			detection = Detection{Reason: "It does not answer as " + s.dialect.Name() + " does."}
		}
		reasons = append(reasons, detection.Reason)
		if detection.Found {
			t.speak(ctx, s)
			return s, strings.Join(reasons, " "), nil
		}
	}
	return nil, strings.Join(reasons, " "), failure
}

// try asks for one dialect, in a part of the time.
func (t *tracker) try(ctx context.Context, s *spoken) (Detection, error) {
	if len(t.candidates) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.options.timeLimit/time.Duration(len(t.candidates)))
		defer cancel()
	}
	detection, err := s.dialect.Detect(ctx)
	return detection, classify(err, nil)
}

// speak makes s what the tracker speaks.
func (t *tracker) speak(ctx context.Context, s *spoken) {
	s.session.strange.Store(false)
	if before := t.active.Swap(s); before == s || t.config.Dialect != Auto {
		return
	}
	t.options.logger.Info("found out what tracker speaks", "tracker", t.config.Name, "dialect", s.dialect.Name())
	if t.options.state == nil {
		return
	}
	next, err := json.Marshal(rememberedDialect{URL: t.config.URL, Dialect: s.dialect.Name()})
	var prev []byte
	if err == nil {
		prev, err = t.options.state.Get(ctx, t.dialectKey())
	}
	if err == nil { // who swaps at the same time has found the same
		_, err = t.options.state.CompareAndSwap(ctx, t.dialectKey(), prev, next, dialectRetention)
	}
	if err != nil {
		t.options.logger.Warn("what a tracker speaks was not remembered", "tracker", t.config.Name, "error", err)
	}
}

// recall returns what was found out before a restart, or by another gateway, nil
// when nothing was. That the store does not answer costs a look and no more.
func (t *tracker) recall(ctx context.Context) *spoken {
	if t.options.state == nil || t.config.Dialect != Auto {
		return nil
	}
	stored, err := t.options.state.Get(ctx, t.dialectKey())
	var known rememberedDialect
	if err != nil || stored == nil || json.Unmarshal(stored, &known) != nil || known.URL != t.config.URL {
		return nil
	}
	for _, s := range t.candidates {
		if s.dialect.Name() == known.Dialect {
			t.active.CompareAndSwap(nil, s)
			return t.active.Load()
		}
	}
	return nil
}

func (t *tracker) dialectKey() string { return "bridge:dialect:" + t.config.Name }
