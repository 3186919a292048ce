package bridge

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trackgate/trackgate/apierror"
)

func TestWatchesThatCannotWorkAreRefusedAtOnce(t *testing.T) {
	s := newWatchScene(t)
	b, dumb := s.bridge("watched"), s.bridge("unwatchable")
	defer b.Close()
	defer dumb.Close()
	for name, tc := range map[string]struct {
		bridge  *Bridge
		watches []WatchConfig
		says    string
	}{
		"a stranger":        {b, []WatchConfig{{Tracker: "x"}}, `"x", which is not configured`},
		"two of a name":     {b, []WatchConfig{{Tracker: "t"}, {Tracker: "t"}}, `two watches of tracker t are named "all"`},
		"a bad name":        {b, []WatchConfig{{Tracker: "t", Name: "a b"}}, `"a b"`},
		"a short interval":  {b, []WatchConfig{{Tracker: "t", Interval: time.Second}}, "interval of 1s is not from 5s to 24h"},
		"a long interval":   {b, []WatchConfig{{Tracker: "t", Interval: 25 * time.Hour}}, "interval"},
		"a short overlap":   {b, []WatchConfig{{Tracker: "t", Overlap: time.Second}}, "overlap of 1s is not from 5s to 24h"},
		"a minus overlap":   {b, []WatchConfig{{Tracker: "t", Overlap: -time.Second}}, "overlap"},
		"too many bugs":     {b, []WatchConfig{{Tracker: "t", Bugs: make([]string, MaxIDs+1)}}, "5001 bugs are more than 5000"},
		"a bug without id":  {b, []WatchConfig{{Tracker: "t", Bugs: []string{""}}}, "no id of a bug"},
		"no modified-since": {dumb, []WatchConfig{{Tracker: "t"}}, "tracker t speaks unwatchable, which cannot tell what was modified"},
	} {
		if _, err := tc.bridge.NewWatcher(tc.watches, s.log); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, tc.says)
		}
	}
}

func TestAWatchBeginsAtThePresentAndTellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.site.touch("1", "2")
		time.Sleep(10 * time.Second)
		defer s.start()()
		time.Sleep(10 * time.Minute)
		s.wants("")
		s.site.touch("10", "9", "2")
		time.Sleep(10 * time.Second)
		s.site.touch("3")
		time.Sleep(10 * time.Minute)
		s.wants("2 9 10 3")
		s.site.touch("2")
		time.Sleep(10 * time.Minute)
		s.wants("2 9 10 3 2")
		s.onceInOrder()
		if s.log.repeated != 0 {
			t.Errorf("%d changes were told again", s.log.repeated)
		}
		kinds := map[string]string{}
		for _, c := range s.log.changes {
			kinds[c.Bug] += c.Kind + " "
		}
		if kinds["9"] != "bug.created " || kinds["2"] != "bug.modified bug.modified " {
			t.Errorf("kinds %v", kinds)
		}
	})
}

func TestAChangeHasTheMetadataOfTheBug(t *testing.T) {
	bug := Bug{
		ID: "7", Title: "Größe", Status: "closed", State: StateFixReleased, Created: time.Unix(1710061200, 0), Modified: time.Unix(1710841020, 5e8),
		Description: "long", CommentIDs: []string{"7-1"}, Comments: []Comment{{ID: "7-1"}},
	}
	s := sight(bug)
	c := s.change("t", time.Unix(1710841030, 0))
	want := `{"created":"2024-03-10T09:00:00Z","id":"7","modified":"2024-03-19T09:37:00.5Z","state":"fix-released","status":"closed","title":"Größe"}`
	if got := asJSON(t, c.Data); got != want {
		t.Errorf("data\n%s\nwant\n%s", got, want)
	}
	if c.Key != "7@2024-03-19T09:37:00.5Z" || c.Kind != KindBugModified || c.Tracker != "t" || c.Bug != "7" {
		t.Errorf("change %+v", c)
	}
}

func TestNoChangeIsLargerThanALogTakes(t *testing.T) {
	text := strings.Repeat("<", 100<<10)
	bug := Bug{
		ID: strings.Repeat("x", MaxIDLength), Title: text, Status: text, Resolution: text, Priority: text, Severity: text, Assignee: text,
		Product: text, Component: text, DuplicateOf: text, Link: text, URL: strings.Repeat("ä", 100<<10), Description: text,
		State: StateNew, Importance: ImportanceLow, Created: time.Unix(1, 1),
	}
	for _, modified := range []time.Time{{}, time.Unix(1e9, 1)} {
		bug.Modified = modified
		s := sight(bug)
		if len(s.key) > 256 {
			t.Errorf("a key of %d bytes", len(s.key))
		}
		if data := asJSON(t, s.data); WatchBatch*(len(data)+(1<<10)) > 8<<20 || !strings.Contains(data, `"truncated":true`) || strings.Contains(data, `\ufffd`) {
			t.Errorf("data of %d bytes", len(data))
		}
	}
}

func TestNamedBugsAloneAreWatchedAndOneThatIsNotThereIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.config.Bugs = []string{"007", "8", "7", "99"}
		s.site.touch("7", "8")
		time.Sleep(10 * time.Second)
		defer s.start()()
		time.Sleep(time.Minute)
		s.site.touch("7", "9")
		time.Sleep(10 * time.Minute)
		s.site.touch("8")
		time.Sleep(10 * time.Minute)
		s.wants("7 8")
		if n := s.lines.count("is not there"); n != 1 {
			t.Errorf("%d lines about the bug that is not there, want 1", n)
		}
	})
}

func TestAChangeWithinTheSecondOfAnotherIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		defer s.start()()
		time.Sleep(10 * time.Second)
		title := ""
		on := func() {
			if s.site.questions() != 1 { // the poll after the first
				return
			}
			// One change just before the question, one just after the bug was read.
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
			s.site.touch("1")
			time.AfterFunc(500*time.Millisecond, func() {
				s.site.touch("1")
				s.site.set(func() { title = s.site.bugs["1"].Title })
			})
		}
		s.site.set(func() { s.site.on = on })
		time.Sleep(10 * time.Minute)
		s.wants("1")
		if got := s.log.changes[0].Data["title"]; got != title {
			t.Errorf("the log tells of %q and not of %q", got, title)
		}
	})
}

func TestABugThatIsModifiedAllTheTimeIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.site.on = func() { s.site.touch("1") }
		defer s.start()()
		time.Sleep(10 * time.Minute)
		if n := len(s.log.told()); n < 2 || n > 4 {
			t.Errorf("%d changes in ten polls of a bug that is put off three times of four", n)
		}
		s.onceInOrder()
	})
}

func TestABugWithoutTimesIsToldOfWhenItIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.config.Bugs = []string{"1"}
		defer s.start()()
		time.Sleep(time.Minute)
		dialect := func(status string) {
			s.site.set(func() { s.site.bugs["1"] = Bug{ID: "1", Status: status, Modified: time.Time{}} })
		}
		dialect("new")
		s.site.set(func() { s.site.timeless = true })
		time.Sleep(5 * time.Minute)
		dialect("closed")
		time.Sleep(5 * time.Minute)
		s.wants("1 1")
		if s.log.repeated != 0 {
			t.Errorf("%d changes were told again", s.log.repeated)
		}
	})
}

func TestATrackerWithoutAClockIsWatchedByTheTimesOfItsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.site.mute = true
		defer s.start()()
		time.Sleep(5 * time.Minute)
		s.site.touch("1", "2")
		time.Sleep(5 * time.Minute)
		s.site.touch("3")
		at := time.Now().Truncate(time.Second)
		time.Sleep(time.Hour)
		s.wants("1 2 3")
		if n := s.lines.count("does not tell its time"); n != 1 {
			t.Errorf("%d lines about the clock, want 1", n)
		}
		if p := stored(t, s.log, "t/all"); !p.Time.Equal(at) || s.log.repeated != 0 {
			t.Errorf("position %v, want %v; %d told again", p.Time, at, s.log.repeated)
		}
	})
}

func TestAClockThatIsSetBackOrForwardLosesNothing(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, -10 * time.Second, time.Hour, -90 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newWatchScene(t)
			defer s.start()()
			time.Sleep(5 * time.Minute)
			s.site.touch("1")
			time.Sleep(5 * time.Minute)
			s.site.set(func() { s.site.offset = step })
			s.site.touch("2")
			time.Sleep(20 * time.Second)
			s.site.touch("3")
			time.Sleep(5 * time.Minute)
			s.site.set(func() { s.site.offset = 0 })
			s.site.touch("4")
			time.Sleep(5 * time.Minute)
			s.wants("1 2 3 4")
		})
	}
}

func TestAWrongClockOfTheGatewayDoesNotMakeAllOfHistoryNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		for i := range 10 {
			s.site.touch(fmt.Sprint(i))
		}
		time.Sleep(60 * 24 * time.Hour)
		wrong := -20 * 365 * 24 * time.Hour
		var mu sync.Mutex
		s.opts = []Option{WithClock(func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(wrong)
		})}
		defer s.start()()
		time.Sleep(5 * time.Minute)
		mu.Lock()
		wrong = 0
		mu.Unlock()
		time.Sleep(5 * time.Minute)
		s.wants("")
		s.site.touch("3")
		time.Sleep(5 * time.Minute)
		s.wants("3")
	})
}

// polls keeps what a WatchObserver is told.
type polls struct {
	mu       sync.Mutex
	outcomes map[Outcome]int
	changes  int
	held     []bool
}

func (p *polls) WatchPolled(watch, tracker string, o Outcome, changes int, _ time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if watch == "mine" && tracker == "t" {
		p.outcomes[o]++
		p.changes += changes
	}
}

func (p *polls) WatchHeld(_, _ string, held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, held)
}

func TestTheObserverIsToldOfPollsAndOfTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		s.config.Name = "mine"
		told := &polls{outcomes: map[Outcome]int{}}
		s.wopts = []WatchOption{WithWatchObserver(told)}
		stop := s.start()
		time.Sleep(5 * time.Minute)
		s.site.touch("1", "2")
		time.Sleep(5 * time.Minute)
		s.site.set(func() { s.site.away = errAway })
		time.Sleep(90 * time.Second)
		stop()
		if told.outcomes[OutcomeOK] < 9 || told.outcomes[OutcomeOK] > 11 || told.outcomes[OutcomeUnavailable] == 0 || told.changes != 2 {
			t.Errorf("outcomes %v, %d changes", told.outcomes, told.changes)
		}
		if fmt.Sprint(told.held) != "[true false]" {
			t.Errorf("held %v", told.held)
		}
	})
}

// gate is an Admission that refuses when it is shut.
type gate struct {
	mu    sync.Mutex
	shut  bool
	calls int
}

func (g *gate) Call(_ context.Context, tracker string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	if g.shut && tracker == "t" {
		return apierror.New(apierror.TooManyRequests).WithRetryAfter(20 * time.Minute)
	}
	return nil
}

func (g *gate) Login(context.Context, string) error { return nil }

func TestAWatchIsThrottledAsCallersAreAndComesBackWhenItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWatchScene(t)
		g := &gate{}
		s.opts = []Option{WithAdmission(g)}
		defer s.start()()
		time.Sleep(5 * time.Minute)
		g.mu.Lock()
		g.shut = true
		before := g.calls
		g.mu.Unlock()
		time.Sleep(19 * time.Minute)
		g.mu.Lock()
		if g.calls != before+1 {
			t.Errorf("%d calls while the door was shut, want 1", g.calls-before)
		}
		g.shut = false
		g.mu.Unlock()
		s.site.touch("1")
		time.Sleep(5 * time.Minute)
		s.wants("1")
	})
}

func FuzzAPositionIsReadOrRefused(f *testing.F) {
	p := position{Time: time.Unix(5, 0), Asked: time.Unix(6, 0), Begun: time.Unix(1, 0), Seen: []string{"a"}, Owed: []owed{{ID: "7", Tries: 2, Found: time.Unix(3, 0)}}}
	text, err := p.encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(text), "", "{}", `{"v":2}`, `{"v":1,"time":1e30}`, "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePosition(text)
		if err != nil {
			return
		}
		again, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 0 {
			if _, err := parsePosition(again); err != nil {
				t.Errorf("%s: %v", again, err)
			}
		}
	})
}
