package bridge

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/xmlrpc"
)

// speaker is a dialect that is found when the tracker says so, and lists the
// statuses that the tracker gives it.
type speaker struct {
	name   string
	remote *Remote
	site   *site
}

// site is a tracker that speaks what its test wants.
type site struct {
	mu      sync.Mutex
	speaks  string
	looks   atomic.Int32
	away    error  // of Detect
	failsAt string // the dialect for which Detect fails; empty: all
	failing error  // of Statuses
	refuses bool   // to log in
}

func (s *site) set(change func(*site)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (d *speaker) Name() string { return d.name }

func (d *speaker) Detect(context.Context) (Detection, error) {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	d.site.looks.Add(1)
	if d.site.away != nil && (d.site.failsAt == "" || d.site.failsAt == d.name) {
		return Detection{}, d.site.away
	}
	return Detection{Found: d.site.speaks == d.name, Reason: "Asked for " + d.name + "."}, nil
}

func (d *speaker) Login(context.Context, *Credentials) (*Session, error) {
	d.site.mu.Lock()
	defer d.site.mu.Unlock()
	if d.site.refuses {
		return nil, &RefusedError{Reason: "No."}
	}
	return &Session{}, nil
}
func (d *speaker) Expired(error) bool                   { return false }
func (d *speaker) About(context.Context) (About, error) { return About{}, nil }

func (d *speaker) Statuses(ctx context.Context) ([]string, error) {
	d.site.mu.Lock()
	failing := d.site.failing
	d.site.mu.Unlock()
	return []string{d.name}, d.remote.do(ctx, Read, nil, func(context.Context, *Session) error { return failing })
}

// keeper is a StateStore in memory.
type keeper struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (k *keeper) Get(_ context.Context, key string) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.values[key], nil
}

func (k *keeper) CompareAndSwap(_ context.Context, key string, prev, next []byte, _ time.Duration) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if string(k.values[key]) != string(prev) {
		return false, nil
	}
	k.values[key] = next
	return true, nil
}

func newAuto(t *testing.T, s *site, state StateStore, opts ...Option) *Bridge {
	t.Helper()
	named := func(name string) Named {
		return Named{Name: name, New: func(r *Remote) (Dialect, error) { return &speaker{name: name, remote: r, site: s}, nil }}
	}
	hidden := named("hidden")
	hidden.Undetectable = true
	b, err := New([]Config{{Name: "t", URL: "http://tracker.test", Dialect: Auto}}, []Named{named("one"), named("two"), hidden}, nil, state, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func speaks(t *testing.T, b *Bridge, want string) {
	t.Helper()
	words, err := b.Statuses(t.Context(), "t")
	if err != nil || len(words) != 1 || words[0] != want {
		t.Fatalf("the tracker speaks %v, %v, want %s", words, err, want)
	}
}

func TestAutoFindsOutOnceWhatATrackerSpeaks(t *testing.T) {
	s := &site{speaks: "two"}
	b := newAuto(t, s, nil)
	if list := b.List(); list[0].Dialect != Auto || len(list[0].Capabilities) != 0 {
		t.Errorf("before anyone asked: %+v", list[0])
	}
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() { speaks(t, b, "two") })
	}
	callers.Wait()
	speaks(t, b, "two")
	if n := s.looks.Load(); n != 2 { // for one dialect and for the other
		t.Errorf("the tracker was asked %d times", n)
	}
	if list := b.List(); list[0].Dialect != "two" || strings.Join(list[0].Capabilities, " ") != "status-list" {
		t.Errorf("afterwards: %+v", list[0])
	}
	p, err := b.Probe(t.Context(), "t")
	if err != nil || p.Dialect != "two" || p.Reason != "Asked for one. Asked for two." {
		t.Errorf("probed: %+v, %v", p, err)
	}
}

func TestAutoRemembersAcrossARestartWhatATrackerSpeaks(t *testing.T) {
	s, state := &site{speaks: "two"}, &keeper{values: map[string][]byte{}}
	speaks(t, newAuto(t, s, state), "two")
	asked := s.looks.Load()
	again := newAuto(t, s, state)
	speaks(t, again, "two")
	if s.looks.Load() != asked {
		t.Error("the tracker was asked again")
	}
	for name, stored := range map[string]string{
		"another URL":       `{"url":"http://other.test","dialect":"one"}`,
		"an unknown name":   `{"url":"http://tracker.test","dialect":"three"}`,
		"what is no JSON":   `{`,
		"a hidden one":      `{"url":"http://tracker.test","dialect":"hidden"}`,
		"nothing to be had": ``,
	} {
		state.values["bridge:dialect:t"] = []byte(stored)
		speaks(t, newAuto(t, s, state), "two")
		if s.looks.Load() == asked {
			t.Errorf("%s: the tracker was not asked", name)
		}
		asked = s.looks.Load()
	}
}

func TestAutoLooksAgainWhenAnswersAreNoLongerOfTheDialect(t *testing.T) {
	for name, failing := range map[string]error{
		"no such method": &xmlrpc.Fault{Code: xmlrpc.CodeMethodNotFound, String: "no such method"},
		"no such page":   &xmlrpc.HTTPError{StatusCode: 404},
		"a page":         &xmlrpc.AnswerError{StatusCode: 200, ContentType: "text/html", Err: errors.New("no XML")},
	} {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		s := &site{speaks: "one"}
		b := newAuto(t, s, nil, WithClock(func() time.Time { return now }))
		speaks(t, b, "one")
		s.set(func(s *site) { s.speaks, s.failing = "two", failing })
		asked := s.looks.Load()
		for range 3 { // within the minute nobody asks
			if _, err := b.Statuses(t.Context(), "t"); err == nil {
				t.Fatalf("%s: no error", name)
			}
		}
		if s.looks.Load() != asked {
			t.Errorf("%s: the tracker was asked again at once", name)
		}
		now = now.Add(LookAgainAfter)
		s.set(func(s *site) { s.failing = nil })
		speaks(t, b, "two")

		// One that is ill, rather than another, keeps its dialect.
		s.set(func(s *site) { s.speaks, s.failing = "none", failing })
		_, _ = b.Statuses(t.Context(), "t")
		now = now.Add(LookAgainAfter)
		if _, err := b.Statuses(t.Context(), "t"); err == nil || b.List()[0].Dialect != "two" {
			t.Errorf("%s: %v, %+v", name, err, b.List()[0])
		}
	}
}

func TestAutoLooksAgainWhenTheLogInIsRefused(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &site{speaks: "one", refuses: true}
	b := newAuto(t, s, nil, WithClock(func() time.Time { return now }))
	if _, err := b.Statuses(t.Context(), "t"); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Fatalf("the log-in is refused: %v", err)
	}
	s.set(func(s *site) { s.speaks, s.refuses = "two", false })
	now = now.Add(LookAgainAfter)
	speaks(t, b, "two")
}

func TestAutoDoesNotLookAgainForACallersTypo(t *testing.T) {
	s := &site{speaks: "one"}
	b := newAuto(t, s, nil)
	speaks(t, b, "one")
	found := b.trackers["t"].active.Load()
	remote := *found.remote
	remote.dialect = passing{remote.dialect}
	for _, err := range []error{&xmlrpc.Fault{Code: xmlrpc.CodeMethodNotFound}, &xmlrpc.HTTPError{StatusCode: 404}} {
		if remote.judge(err); found.session.strange.Load() {
			t.Errorf("%v is taken for another dialect", err)
		}
	}
	if remote.judge(&xmlrpc.AnswerError{StatusCode: 200, Err: errors.New("no XML")}); !found.session.strange.Load() {
		t.Error("a page is not")
	}
}

func TestAutoSaysWhyNothingWasFound(t *testing.T) {
	s := &site{speaks: "klingon"}
	b := newAuto(t, s, nil)
	_, err := b.Statuses(t.Context(), "t")
	if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "Asked for one. Asked for two.") {
		t.Errorf("nothing found: %v", err)
	}
	if p, err := b.Probe(t.Context(), "t"); err != nil || p.Dialect != "" || p.Reason == "" {
		t.Errorf("probed: %+v, %v", p, err)
	}
	s.set(func(s *site) { s.away = apierror.New(apierror.TrackerUnavailable) })
	if _, err := b.Statuses(t.Context(), "t"); !apierror.Is(err, apierror.TrackerUnavailable) {
		t.Errorf("it cannot be asked: %v", err)
	}
	// An answer that one dialect cannot make sense of says nothing about the next.
	s.set(func(s *site) { s.away = apierror.New(apierror.TrackerBadAnswer) })
	if _, err := b.Statuses(t.Context(), "t"); !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "two") {
		t.Errorf("no sense: %v", err)
	}
}

func TestAutoGoesOnWhereATrackerFailsAtWhatItDoesNotKnow(t *testing.T) {
	s := &site{speaks: "two", failsAt: "one"}
	for _, failure := range []apierror.Name{apierror.TrackerTimeout, apierror.TrackerBadAnswer, apierror.TrackerFault} {
		s.set(func(s *site) { s.away = apierror.New(failure) })
		speaks(t, newAuto(t, s, nil), "two")
	}
	s.set(func(s *site) { s.away, s.speaks = apierror.New(apierror.TrackerTimeout), "klingon" })
	if _, err := newAuto(t, s, nil).Statuses(t.Context(), "t"); !apierror.Is(err, apierror.TrackerTimeout) {
		t.Errorf("nothing was found, and one was not asked: %v", err)
	}
}

func TestClosingWaitsForTheLookAndLetsNoOtherBegin(t *testing.T) {
	s := &site{speaks: "two"}
	b := newAuto(t, s, nil)
	b.Close()
	if _, err := b.Statuses(t.Context(), "t"); !apierror.Is(err, apierror.TrackerUnavailable) || s.looks.Load() != 0 {
		t.Errorf("after the end: %v, asked %d times", err, s.looks.Load())
	}
}
