package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How the clock of Redis is compared with the gateway's. Limits go by the clock
// of Redis, tokens by the gateways': where they differ, gateways disagree about
// which tokens have expired.
const (
	clockEvery   = 30 * time.Second
	clockLate    = 2 * time.Second // while there is no answer yet
	clockTimeout = time.Second
	maxSkew      = time.Second // above which it is reported
)

// clockWatch compares the clocks again and again.
type clockWatch struct {
	ask    func(context.Context) (time.Duration, error)
	gauge  prometheus.Gauge
	logger *slog.Logger
	skew   atomic.Pointer[time.Duration] // nil while it is not known
	stop   context.CancelFunc
	done   chan struct{}
}

// watchClock begins to compare. ask gives how far the other clock is ahead, as
// far as that is certain.
func watchClock(ask func(context.Context) (time.Duration, error), gauge prometheus.Gauge, logger *slog.Logger) *clockWatch {
	ctx, stop := context.WithCancel(context.Background())
	w := &clockWatch{ask: ask, gauge: gauge, logger: logger, stop: stop, done: make(chan struct{})}
	go w.run(ctx)
	return w
}

func (w *clockWatch) run(ctx context.Context) {
	defer close(w.done)
	apart := false
	for {
		limited, cancel := context.WithTimeout(ctx, clockTimeout)
		skew, err := w.ask(limited)
		cancel()
		if err == nil {
			w.skew.Store(&skew)
			w.gauge.Set(skew.Seconds())
			if now := skew.Abs() > maxSkew; now != apart {
				apart = now
				w.tell(apart, skew)
			}
		}
		next := clockEvery
		if w.skew.Load() == nil {
			next = clockLate
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
	}
}

// tell logs each change once.
func (w *clockWatch) tell(apart bool, skew time.Duration) {
	if !apart {
		w.logger.Info("the clocks of Redis and of this gateway agree again", "skew", skew)
		return
	}
	w.logger.Warn("the clocks of Redis and of this gateway differ by more than a second: set both by NTP, or tokens expire too early or too late",
		"redis_is_ahead_by", skew)
}

// seconds is how far the clock of Redis is ahead, and false while that is not
// known.
func (w *clockWatch) seconds() (float64, bool) {
	if w == nil || w.skew.Load() == nil {
		return 0, false
	}
	return w.skew.Load().Seconds(), true
}

func (w *clockWatch) close() {
	w.stop()
	<-w.done
}
