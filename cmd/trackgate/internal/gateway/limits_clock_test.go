package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// lockedLog is a log that is read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestASkewIsToldOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		answers := []struct {
			skew time.Duration
			err  error
		}{
			{0, errors.New("not yet")}, {0, errors.New("not yet")}, {900 * time.Millisecond, nil}, {3 * time.Second, nil}, {0, errors.New("away")},
			{2 * time.Second, nil}, {-5 * time.Second, nil}, {0, nil}, {-2 * time.Second, nil},
		}
		var asked atomic.Int64
		gauge := gauge("skew", "")
		w := watchClock(func(context.Context) (time.Duration, error) {
			a := answers[min(int(asked.Add(1)), len(answers))-1]
			return a.skew, a.err
		}, gauge, slog.New(slog.NewTextHandler(&log, nil)))
		step := func(wait time.Duration, seconds float64, known bool, differ, agree int) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got, ok := w.seconds(); got != seconds || ok != known {
				t.Errorf("after %d answers: %v, %v; want %v, %v", asked.Load(), got, ok, seconds, known)
			}
			if d, a := strings.Count(log.String(), "differ by more than a second"), strings.Count(log.String(), "agree again"); d != differ || a != agree {
				t.Errorf("after %d answers: told %d times that they differ and %d that they agree, want %d and %d", asked.Load(), d, a, differ, agree)
			}
		}
		step(0, 0, false, 0, 0)
		step(clockLate, 0, false, 0, 0)
		step(clockLate, 0.9, true, 0, 0)
		step(clockEvery, 3, true, 1, 0)
		step(clockEvery, 3, true, 1, 0) // no answer changes nothing
		step(clockEvery, 2, true, 1, 0)
		step(clockEvery, -5, true, 1, 0)
		step(clockEvery, 0, true, 1, 1)
		step(clockEvery, -2, true, 2, 1)
		w.close()
	})
	if _, known := (*clockWatch)(nil).seconds(); known {
		t.Error("a gateway without Redis knows how its clock is off")
	}
}
