package bridge

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAHolderThatSleptTooLongWritesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		other := &watchScene{t: t, site: s.site, log: s.log, lines: s.lines, config: s.config}
		defer s.start()()
		time.Sleep(5 * time.Minute)
		// The first gateway is stopped within a poll for longer than its lease lasts.
		var stopped atomic.Bool
		s.site.touch("1")
		s.site.set(func() {
			s.site.on = func() {
				if !stopped.Swap(true) {
					time.Sleep(10 * time.Minute)
				}
			}
		})
		time.Sleep(2 * time.Minute)
		defer other.start()()
		time.Sleep(4 * time.Minute)
		s.wants("1")
		time.Sleep(10 * time.Minute)
		if n := s.lines.count("has taken over"); n != 1 {
			t.Errorf("%d lines about the lease, want 1", n)
		}
		s.site.touch("1", "2")
		time.Sleep(5 * time.Minute)
		s.wants("1 1 2")
		if s.log.repeated != 0 {
			t.Errorf("%d told again", s.log.repeated)
		}
	})
}

func TestALeaseIsKeptOverLongRestsAndLongPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.config.Interval = 10 * time.Minute
		defer s.start()()
		defer s.start()()
		time.Sleep(5 * time.Hour)
		s.site.set(func() { s.site.slow = 20 * time.Second })
		for i := range 1000 {
			s.site.touch(fmt.Sprint(i))
		}
		time.Sleep(30 * time.Minute)
		if n := len(s.log.told()); n != 1000 || s.log.fence != 1 {
			t.Errorf("%d changes, want 1000; %d leases were taken, want one", n, s.log.fence)
		}
		if n := s.site.questions(); n > 36 {
			t.Errorf("%d questions in five and a half hours", n)
		}
	})
}

func TestReplicasTellEachChangeOnceAndInOrderWhateverGoesWrong(t *testing.T) {
	for round := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			chance := rand.New(rand.NewPCG(round, 7))
			var mu sync.Mutex
			roll := func(n int) bool {
				mu.Lock()
				defer mu.Unlock()
				return chance.IntN(n) == 0
			}
			delay := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(chance.Int64N(int64(3 * time.Second)))
			}
			s := newWatchScene(t)
			s.config.Interval = 10 * time.Second
			lost := errors.New("lost")
			maybe := func(operation string) error {
				if operation != "release" && roll(12) {
					return lost
				}
				time.Sleep(delay())
				return nil
			}
			stops := make([]func(), 3)
			for i := range stops {
				stops[i] = s.start()
			}
			time.Sleep(time.Minute)
			s.log.fail(maybe, maybe)
			want := 0
			for i := range 400 {
				if roll(20) { // one gateway dies or is stopped, and comes back
					n := i % len(stops)
					stops[n]()
					stops[n] = s.start()
				}
				if roll(40) {
					s.site.set(func() { s.site.away = errAway })
					time.Sleep(3 * time.Minute)
					s.site.set(func() { s.site.away = nil })
				}
				for n := range 1 + i%7 {
					s.site.touch(fmt.Sprint(i*10 + n))
					want++
				}
				time.Sleep(time.Duration(i%13) * time.Second)
			}
			s.log.fail(nil, nil)
			time.Sleep(15 * time.Minute)
			for _, stop := range stops {
				stop()
			}
			if n := len(s.log.told()); n != want {
				t.Errorf("round %d: %d changes, want %d", round, n, want)
			}
			s.onceInOrder()
		})
	}
}
