package bridge

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

func TestWhatHappenedDuringAnOutageIsCaughtUpInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		stop := s.start()
		time.Sleep(5 * time.Minute)
		s.site.touch("a")
		time.Sleep(5 * time.Minute)
		s.site.set(func() { s.site.away = errAway })
		for i := range 500 {
			time.Sleep(17 * time.Minute)
			s.site.touch(fmt.Sprint(i%450), fmt.Sprint(1000+i))
		}
		stop() // and so is the gateway, for longer than the log recognises keys
		time.Sleep(10 * time.Hour)
		s.site.set(func() { s.site.away = nil })
		defer s.start()()
		time.Sleep(5 * time.Minute)
		if n := len(s.log.told()); n != 1+450+500 {
			t.Errorf("%d changes, want 951", n)
		}
		if s.log.repeated != 0 || s.log.largest != WatchBatch {
			t.Errorf("%d told again, batches of %d", s.log.repeated, s.log.largest)
		}
		s.onceInOrder()
	})
}

func TestAnOutageLongerThanTheLogsMemoryRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		s.site.touch("1")
		for s.log.bugs() == "" {
			time.Sleep(time.Second)
		}
		s.site.set(func() { s.site.away = errAway })
		time.Sleep(5 * 24 * time.Hour)
		s.site.set(func() { s.site.away = nil })
		time.Sleep(time.Hour)
		s.wants("1")
	})
}

func TestADeathInTheMiddleOfCatchingUpRepeatsAndLosesNothing(t *testing.T) {
	lost := errors.New("the answer was lost")
	for name, after := range map[string]bool{"before it was stored": false, "after it was stored": true} {
		synctest.Test(t, func(t *testing.T) {
			s := newWatchScene(t)
			stop := s.start()
			time.Sleep(5 * time.Minute)
			stop()
			for i := range 700 { // more of one time than are stored at once
				if i%175 == 0 {
					time.Sleep(20 * time.Minute)
				}
				s.site.touch(fmt.Sprint(i))
			}
			time.Sleep(10 * time.Second)
			s.log.advances = 0
			fail := func(operation string) error {
				s.log.mu.Lock()
				defer s.log.mu.Unlock()
				if operation == "advance" && s.log.advances%3 == 2 {
					s.log.advances++
					return lost
				}
				return nil
			}
			if after {
				s.log.fail(nil, fail)
			} else {
				s.log.fail(fail, nil)
			}
			stop = s.start()
			time.Sleep(10 * time.Minute)
			stop()
			if n := len(s.log.told()); n != 700 {
				t.Errorf("%s: %d changes, want 700", name, n)
			}
			if s.log.repeated != 0 {
				t.Errorf("%s: %d told again", name, s.log.repeated)
			}
			s.onceInOrder()
		})
	}
}

func TestABugThatCannotBeReadIsInNobodysWay(t *testing.T) {
	unreadable := apierror.New(apierror.TrackerBadAnswer).WithDetail("Not this one.")
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		stop := s.start()
		time.Sleep(5 * time.Minute)
		var all []string
		for i := range 150 {
			all = append(all, fmt.Sprint(100+i))
		}
		s.site.set(func() {
			s.site.broken["123"], s.site.broken["200"], s.site.broken["201"] = unreadable, unreadable, unreadable
			s.site.panics["130"] = true
			s.site.gone["140"] = true
		})
		s.site.touch(all...)
		time.Sleep(90 * time.Second)
		if n := len(s.log.told()); n != 145 {
			t.Errorf("%d changes, want those of the 145 that can be read", n)
		}
		if o := stored(t, s.log, "t/all").Owed; len(o) != 4 {
			t.Errorf("owed %v", o)
		}
		stop() // what is owed outlives a restart
		s.site.set(func() { clear(s.site.panics); delete(s.site.broken, "200") })
		defer s.start()()
		time.Sleep(2 * time.Minute)
		if got := s.log.bugs(); !strings.HasSuffix(got, " 249 130 200") {
			t.Errorf("the two that can be read by now are not there: %s", got[len(got)-30:])
		}
		time.Sleep(time.Hour)
		s.site.set(func() { s.site.reads = 0 })
		time.Sleep(time.Hour)
		if s.site.reads != 0 {
			t.Errorf("%d questions about bugs that were given up", s.site.reads)
		}
		if n := s.lines.count("its change is lost"); n != 2 {
			t.Errorf("%d lines about changes that are lost, want 2", n)
		}
		if o := stored(t, s.log, "t/all").Owed; len(o) != 0 {
			t.Errorf("owed %v", o)
		}
		s.site.set(func() { clear(s.site.broken) })
		s.site.touch("123")
		time.Sleep(5 * time.Minute)
		if !strings.HasSuffix(s.log.bugs(), " 123") {
			t.Error("a bug that was given up is not told of when it changes again")
		}
	})
}

func TestWhatIsOwedStaysSoUntilItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		b := s.bridge("watched")
		defer b.Close()
		p, err := NewPoller(t.Context(), b, s.config, s.log)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		p.tenure.at = position{Time: now, Asked: now}
		r := &reading{tenure: p.tenure, paid: []owed{{ID: "7"}}, owed: []owed{{ID: "8"}}}
		for i := range WatchBatch + 1 { // all of them late
			r.bugs = append(r.bugs, readBug{bug: Bug{ID: fmt.Sprint(1000 + i), Modified: now.Add(-time.Hour)}})
		}
		r.bugs = append(r.bugs, readBug{bug: Bug{ID: "7", Modified: now.Add(-time.Minute)}})
		s.log.fail(func(operation string) error {
			if operation == "advance" && s.log.advances == 1 {
				return errors.New("away")
			}
			return nil
		}, nil)
		q, stores := &question{base: now, at: now.Add(time.Minute), asked: now.Add(time.Minute)}, 0
		if err := p.tenure.store(t.Context(), q, r, p.tenure.sift(r, q), &stores); err == nil || stores != WatchBatch {
			t.Fatalf("%d stored, %v", stores, err)
		}
		if o := stored(t, s.log, "t/all").Owed; len(o) != 2 || o[0].ID != "7" || o[1].ID != "8" {
			t.Errorf("owed %v", o)
		}
	})
}

func TestMoreUnreadableBugsThanCanBeOwedAreLostWithALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		ids := []string{"1"}
		for i := range maxOwed + 3 {
			id := fmt.Sprint(1000 + i)
			s.site.set(func() { s.site.broken[id] = apierror.New(apierror.TrackerFault) })
			ids = append(ids, id)
		}
		s.site.touch(ids...)
		time.Sleep(5 * time.Second) // settled
		for s.log.bugs() == "" {
			time.Sleep(time.Second)
		}
		if n := s.lines.count("too many bugs"); n != 3 {
			t.Errorf("%d lines, want 3", n)
		}
		if n := len(stored(t, s.log, "t/all").Owed); n != maxOwed {
			t.Errorf("%d are owed, want %d", n, maxOwed)
		}
	})
}

func TestATrackerOfWhichNoBugCanBeReadLosesNoneToThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		var ids []string
		for i := range 300 {
			id := fmt.Sprint(i)
			s.site.set(func() { s.site.broken[id] = apierror.New(apierror.TrackerFault) })
			ids = append(ids, id)
		}
		s.site.touch(ids...)
		time.Sleep(2 * time.Hour)
		s.wants("")
		if n := s.lines.count("cannot be read\""); n != 1 {
			t.Errorf("%d lines about a tracker that cannot be read, want 1", n)
		}
		s.site.set(func() {
			if s.site.reads > 40*maxFutile {
				t.Errorf("%d questions in two hours", s.site.reads)
			}
			clear(s.site.broken)
		})
		time.Sleep(15 * time.Minute)
		if n := len(s.log.told()); n != 300 {
			t.Errorf("%d changes, want 300", n)
		}
		s.onceInOrder()
	})
}

func TestATrackerThatIsAwayIsAskedSeldomAndLogsOneLineEachWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		s.site.set(func() { s.site.away = errAway })
		before := s.site.questions()
		time.Sleep(24 * time.Hour)
		asked := s.site.questions() - before
		if most := int(24*time.Hour/(MaxWatchBackoff*9/10)) + 5; asked > most || asked < 100 {
			t.Errorf("%d questions in a day, want at most %d", asked, most)
		}
		s.site.set(func() { s.site.away = nil })
		s.site.touch("1")
		time.Sleep(MaxWatchBackoff + 5*time.Minute)
		s.wants("1")
		if down, up := s.lines.count("a tracker that is watched cannot be read"), s.lines.count("can be read again"); down != 1 || up != 1 {
			t.Errorf("%d lines that it is away and %d that it is back, want one of each", down, up)
		}
	})
}

func TestAGatewayThatCannotReachTheTrackerLetsAnotherTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		other := &watchScene{t: t, site: newWatched(), log: s.log, lines: s.lines, config: s.config}
		s.site.away = errAway
		defer s.start()()
		time.Sleep(10 * time.Second)
		if !s.log.held("t/all") {
			t.Fatal("the first has no lease")
		}
		defer other.start()()
		time.Sleep(15 * time.Minute)
		other.site.touch("1")
		time.Sleep(5 * time.Minute)
		s.wants("1")
	})
}

func TestTheEndOfAWatchIsPromptAndGivesTheLeaseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		stop := s.start()
		time.Sleep(5 * time.Minute)
		if !s.log.held("t/all") {
			t.Fatal("no lease is held")
		}
		begun := time.Now()
		stop()
		if took := time.Since(begun); took != 0 || s.log.held("t/all") {
			t.Errorf("it took %v, lease held: %v", took, s.log.held("t/all"))
		}
	})
}

func TestAWatcherRunsOnce(t *testing.T) {
	s := newWatchScene(t)
	b := s.bridge("watched")
	defer b.Close()
	w, err := b.NewWatcher(nil, s.log)
	if err != nil {
		t.Fatal(err)
	}
	if first, second := w.Run(t.Context()), w.Run(t.Context()); first != nil || second == nil {
		t.Errorf("first %v, second %v", first, second)
	}
}

func TestALogThatIsAwayStopsTheWatchUntilItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		s.log.fail(func(string) error { return errors.New("away") }, nil)
		time.Sleep(2 * time.Minute)
		before := s.site.questions()
		s.site.touch("1")
		time.Sleep(time.Hour)
		if n := s.site.questions() - before; n != 0 {
			t.Errorf("%d questions whose answers nobody can keep", n)
		}
		s.log.fail(nil, nil)
		time.Sleep(5 * time.Minute)
		s.wants("1")
		if down, up := s.lines.count("cannot be used, and nothing is watched"), s.lines.count("can be used again"); down != 1 || up != 1 {
			t.Errorf("%d lines that it is away and %d that it is back, want one of each", down, up)
		}
	})
}

func TestAPositionThatCannotBeReadBeginsTheWatchAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.site.touch("1")
		time.Sleep(time.Minute)
		s.log.positions["t/all"] = []byte(`{"v":99}`)
		defer s.start()()
		time.Sleep(5 * time.Minute)
		s.site.touch("2")
		time.Sleep(5 * time.Minute)
		s.wants("2")
		if s.lines.count("level=ERROR") != 1 {
			t.Error("no error is logged")
		}
	})
}

func TestATrackerOfWhichItIsNotKnownWhatItSpeaksIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.site.able = false
		defer s.start(Auto)()
		time.Sleep(2 * time.Hour)
		if warned, asked := s.lines.count("cannot tell what was modified"), s.site.questions(); warned != 1 || asked != 0 {
			t.Errorf("%d warnings, want 1; %d questions", warned, asked)
		}
		s.site.set(func() { s.site.able = true }) // it was upgraded
		time.Sleep(15 * time.Minute)
		s.site.touch("1")
		time.Sleep(5 * time.Minute)
		s.wants("1")
	})
}
