package bridge

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

// How a watch bears with trouble.
const (
	// MaxWatchBackoff is the longest rest after polls that failed, unless the interval
	// is longer, or the tracker asked for more.
	MaxWatchBackoff = 10 * time.Minute
	// firstLogBackoff and lastLogBackoff bound the rest when the log does not answer.
	firstLogBackoff = time.Second
	lastLogBackoff  = time.Minute
	// yieldAfter is how many polls in a row fail before the lease is given back:
	// another gateway may reach the tracker.
	yieldAfter = 3
	// lookForModified is how often a tracker that cannot tell what was modified is
	// looked at again.
	lookForModified = 10 * time.Minute
	// minLease is how long a lease lasts at least, and releaseLimit how long giving
	// one back may take.
	minLease     = time.Minute
	releaseLimit = 5 * time.Second
	// maxStart bounds the time by which watches begin apart.
	maxStart = 5 * time.Second
)

// watch is one watch at work. It is used by one goroutine.
type watch struct {
	WatchConfig
	bridge   *Bridge
	log      ChangeLog
	observer WatchObserver
	logger   *slog.Logger
	ttl      time.Duration

	failures    int  // polls in a row that the tracker let fail
	logFailures int  // times in a row that the log did not answer
	unable      bool // the tracker was found not to tell what was modified
	clockless   bool // and not to tell its time
	gone        map[string]bool
	postponed   map[string]int
}

func newWatch(w *Watcher, c WatchConfig) *watch {
	return &watch{
		WatchConfig: c, bridge: w.bridge, log: w.log, observer: w.observer,
		logger: w.bridge.options.logger.With("watch", c.Name, "tracker", c.Tracker),
		// The lease is renewed before each call that is made under it, when a quarter
		// of its time is over, and outlasts one that takes as long as it may.
		ttl:  max(minLease, 2*w.bridge.options.timeLimit+10*time.Second),
		gone: map[string]bool{}, postponed: map[string]int{},
	}
}

// run watches until ctx ends.
func (w *watch) run(ctx context.Context) {
	wait := time.Duration(rand.Float64() * float64(min(maxStart, w.Interval/10)))
	for pause(ctx, wait) == nil && ctx.Err() == nil {
		wait = w.hold(ctx)
	}
}

// hold takes the lease, watches for as long as it can be held and used, and returns
// after what time to try again.
func (w *watch) hold(ctx context.Context) time.Duration {
	begun := time.Now()
	lease, err := w.log.Lease(ctx, w.leaseName(), w.ttl)
	switch {
	case errors.Is(err, ErrLeased):
		w.logAnswers()
		return jittered(w.ttl / 4)
	case err != nil && ctx.Err() != nil:
		return 0
	case err != nil:
		return w.logFails(err)
	}
	t := &tenure{watch: w, lease: lease, renewed: begun}
	defer t.end(ctx)
	w.observer.WatchHeld(w.Name, w.Tracker, true)
	defer w.observer.WatchHeld(w.Name, w.Tracker, false)
	if t.at, err = parsePosition(lease.Position()); err != nil {
		w.logger.Error("the position of a watch cannot be read: it begins anew, and changes may be missing", "error", err)
	}
	for {
		polled := t.poll(ctx)
		if ctx.Err() != nil {
			return 0
		}
		wait, err := w.again(polled)
		if err == nil {
			if w.failures >= yieldAfter {
				return wait
			}
			err = t.rest(ctx, wait)
		}
		switch {
		case ctx.Err() != nil:
			return 0
		case errors.Is(err, ErrLeaseLost):
			w.logger.Info("another gateway has taken over a watch")
			return jittered(w.ttl / 4)
		case err != nil:
			return w.logFails(err)
		}
	}
}

// again tells from how a poll ended when the next is due. What the log did not take
// it gives back.
func (w *watch) again(err error) (time.Duration, error) {
	trouble := new(logTrouble)
	switch {
	case err == nil:
		if w.failures > 0 || w.unable {
			w.logger.Info("a tracker that is watched can be read again")
		}
		w.failures, w.unable = 0, false
		w.logAnswers()
		return jittered(w.Interval), nil
	case errors.As(err, &trouble):
		return 0, trouble.err
	case apierror.Is(err, apierror.NotSupported):
		if !w.unable {
			w.logger.Warn("a tracker that is to be watched cannot tell what was modified; it is looked at again now and then", "error", err)
		}
		w.failures, w.unable = 0, true
		return jittered(max(w.Interval, lookForModified)), nil
	}
	w.failures++
	backoff := w.Interval
	for n := 1; n < w.failures && backoff < MaxWatchBackoff; n++ {
		backoff = min(2*backoff, MaxWatchBackoff)
	}
	// A tracker's own word, or the breaker's, is kept to. The chance is only on top.
	wait := max(jittered(backoff), later(apierror.From(err).RetryAfter()))
	if w.failures == 1 {
		w.logger.Warn("a tracker that is watched cannot be read", "error", err, "next_try", w.bridge.options.now().Add(wait))
	}
	return wait, nil
}

// logFails takes note that the log did not answer, and tells when to try again.
func (w *watch) logFails(err error) time.Duration {
	if w.logFailures == 0 {
		w.logger.Warn("the log of changes cannot be used, and nothing is watched", "error", err)
	}
	wait := firstLogBackoff
	for n := 0; n < w.logFailures && wait < lastLogBackoff; n++ {
		wait = min(2*wait, lastLogBackoff)
	}
	w.logFailures++
	return jittered(wait)
}

// logAnswers takes note that it did.
func (w *watch) logAnswers() {
	if w.logFailures > 0 {
		w.logger.Info("the log of changes can be used again")
	}
	w.logFailures = 0
}

// tenure is the time for which a watch is this gateway's.
type tenure struct {
	*watch
	lease   WatchLease
	renewed time.Time
	lost    bool
	at      position // as it is stored
}

// logTrouble is the failure of a call to the log.
type logTrouble struct{ err error }

func (e *logTrouble) Error() string { return "bridge: the log of changes: " + e.err.Error() }

func (e *logTrouble) Unwrap() error { return e.err }

// renew prolongs the lease when it is time to.
func (t *tenure) renew(ctx context.Context) error {
	begun := time.Now()
	if begun.Sub(t.renewed) < t.ttl/4 {
		return nil
	}
	if err := t.lease.Renew(ctx); err != nil {
		t.lost = errors.Is(err, ErrLeaseLost)
		return &logTrouble{err}
	}
	t.renewed = begun
	return nil
}

// advance stores changes, and the position to which they lead.
func (t *tenure) advance(ctx context.Context, to position, changes []Change) error {
	if err := t.renew(ctx); err != nil {
		return err
	}
	text, err := to.encode()
	if err != nil {
		return &logTrouble{err}
	}
	if err := t.lease.Advance(ctx, text, changes...); err != nil {
		t.lost = errors.Is(err, ErrLeaseLost)
		return &logTrouble{err}
	}
	t.at = to
	return nil
}

// rest waits, and keeps the lease meanwhile.
func (t *tenure) rest(ctx context.Context, wait time.Duration) error {
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if err := pause(ctx, min(left, t.ttl/4)); err != nil {
			return err
		}
		if left <= t.ttl/4 {
			return nil
		}
		if err := t.renew(ctx); err != nil {
			return errors.Unwrap(err)
		}
	}
}

// end gives the lease back, also when ctx is over.
func (t *tenure) end(ctx context.Context) {
	if t.lost {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseLimit)
	defer cancel()
	if err := t.lease.Release(ctx); err != nil {
		t.logger.Info("a watch was not given back: it is free when its lease is over", "error", err)
	}
}

// jittered changes a time by up to a tenth, so that gateways and watches do not keep
// in step.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// later puts up to a tenth on top of a time that must have passed.
func later(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + 0.1*rand.Float64()))
}
