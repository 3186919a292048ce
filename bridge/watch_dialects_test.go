package bridge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
	"github.com/trackgate/trackgate/bridge/trac"
	"github.com/trackgate/trackgate/xmlrpc"
)

// movable is a clock that a test moves on.
type movable struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (m *movable) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Add(m.ahead)
}

// past returns the offset at which the clock stands after it was moved on.
func (m *movable) pass(d time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
	return m.ahead
}

// watchable is a tracker over the wire, whose bugs a test changes.
type watchable interface {
	// modify makes a bug, or another of it, at a time.
	modify(id int, at time.Time)
	// went follows the clock.
	went(ahead time.Duration)
}

type tracWatched struct{ *tracpeer.Peer }

func (w tracWatched) modify(id int, at time.Time) {
	w.Put(id, tracpeer.Ticket{Summary: fmt.Sprint("bug ", id), Status: "new", Modified: at})
}
func (w tracWatched) went(ahead time.Duration) { w.SetClock(ahead) }

// bugzillaWatched answers as a Bugzilla of version 5.2 does, as far as watching asks.
type bugzillaWatched struct {
	*httptest.Server
	t    *testing.T
	now  func() time.Time
	mu   sync.Mutex
	bugs map[int]time.Time
}

func newBugzillaWatched(t *testing.T, now func() time.Time) *bugzillaWatched {
	w := &bugzillaWatched{t: t, now: now, bugs: map[int]time.Time{}}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *bugzillaWatched) modify(id int, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bugs[id] = at.Truncate(time.Second)
}
func (w *bugzillaWatched) went(time.Duration) {}

func (w *bugzillaWatched) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	call, err := xmlrpc.ParseCall(body)
	if err != nil {
		w.t.Error(err)
		return
	}
	params, _ := call.Params()[0].(map[string]any)
	w.mu.Lock()
	defer w.mu.Unlock()
	stamp := func(at time.Time) xmlrpc.DateTime { return xmlrpc.DateTimeOf(at.UTC()).WithoutZone() }
	listed := func(id int) map[string]any {
		return map[string]any{"id": id, "summary": fmt.Sprint("bug ", id), "status": "NEW", "last_change_time": stamp(w.bugs[id])}
	}
	var value any
	switch call.Method {
	case "Bugzilla.version":
		value = map[string]any{"version": "5.2"}
	case "Bugzilla.time":
		value = map[string]any{"db_time": stamp(w.now())}
	case "Bug.search":
		since := params["last_change_time"].(xmlrpc.DateTime).Time(time.UTC)
		found := []any{}
		for id, at := range w.bugs {
			if !at.Before(since.Truncate(time.Second)) {
				found = append(found, listed(id))
			}
		}
		value = map[string]any{"bugs": found}
	case "Bug.get":
		found := []any{}
		for _, id := range params["ids"].([]any) {
			if n, ok := id.(int); ok && !w.bugs[n].IsZero() {
				found = append(found, listed(n))
			}
		}
		value = map[string]any{"bugs": found, "faults": []any{}}
	}
	doc := xmlrpc.AppendFault(nil, xmlrpc.CodeMethodNotFound, "not here")
	if value != nil {
		if doc, err = xmlrpc.AppendResponse(nil, value); err != nil {
			w.t.Error(err)
		}
	}
	rw.Header().Set("Content-Type", "text/xml")
	_, _ = rw.Write(doc)
}

func TestTrackersAreWatchedOverTheWire(t *testing.T) {
	for name, begin := range map[string]func(*testing.T, *movable) (watchable, string){
		trac.LaunchpadName: func(t *testing.T, _ *movable) (watchable, string) {
			p := tracpeer.New(t)
			return tracWatched{p}, p.URL()
		},
		bugzilla.NativeName: func(t *testing.T, clock *movable) (watchable, string) {
			w := newBugzillaWatched(t, clock.now)
			return w, w.URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &movable{}
			site, url := begin(t, clock)
			known := []bridge.Named{{Name: trac.LaunchpadName, New: trac.NewLaunchpad}, {Name: bugzilla.NativeName, New: bugzilla.NewNative}}
			b, err := bridge.New([]bridge.Config{{Name: "t", URL: url, Dialect: name, AllowPrivate: true}}, known, newTokens(), nil, bridge.WithClock(clock.now))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			log := bridge.NewWatchLog()
			var told []string
			poll := func(p *bridge.Poller) {
				t.Helper()
				site.went(clock.pass(time.Minute))
				if err := p.Poll(t.Context()); err != nil {
					t.Fatal(err)
				}
				told = nil
				for _, c := range log.Told() {
					told = append(told, c.Bug)
				}
			}
			hold := func() *bridge.Poller {
				t.Helper()
				p, err := bridge.NewPoller(t.Context(), b, bridge.WatchConfig{Tracker: "t"}, log)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			site.modify(1, clock.now())
			first := hold()
			poll(first)
			if len(told) != 0 {
				t.Fatalf("at the beginning: %v", told)
			}
			site.modify(12, clock.now().Add(10*time.Second))
			site.modify(3, clock.now().Add(20*time.Second))
			site.modify(2, clock.now().Add(20*time.Second))
			poll(first)
			poll(first)
			if !slices.Equal(told, []string{"12", "2", "3"}) {
				t.Fatalf("after two polls: %v", told)
			}
			first.End(t.Context())
			second := hold() // another gateway, after an outage
			for id := range 250 {
				site.modify(1000+id, clock.now().Add(time.Duration(id%7)*time.Second))
			}
			poll(second)
			poll(second)
			if len(told) != 253 || told[3] != "1000" || told[4] != "1007" || told[252] != "1244" && told[252] != "1249" {
				t.Errorf("%d changes: %s", len(told), strings.Join(told, " "))
			}
			last := log.Told()[0]
			if last.Data["title"] != "bug 12" || last.Data["modified"] == nil || last.Tracker != "t" {
				t.Errorf("change %+v", last)
			}
		})
	}
}
