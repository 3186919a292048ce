package bugzilla_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestAClockThatWasSetBackIsKnownAfterAProbe(t *testing.T) {
	for dialect, method := range map[string]string{bugzilla.NativeName: "Bugzilla.time", bugzilla.LaunchpadName: "Launchpad.time"} {
		s := newStandIn(t)
		clock := time.Date(2026, 11, 21, 19, 42, 57, 0, time.UTC)
		s.on(method, func(map[string]any, *http.Request) any {
			at := xmlrpc.DateTimeOf(clock).WithoutZone()
			return map[string]any{"db_time": at, "utc_time": at}
		})
		s.on("Bug.get", manyBugs)
		s.on("Launchpad.get_bugs", manyBugs)
		s.on("Launchpad.login", func(_ map[string]any, _ *http.Request) any {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "Bugzilla_login", Value: "3"})
				http.SetCookie(w, &http.Cookie{Name: "Bugzilla_logincookie", Value: "a-cookie-of-the-session"})
				w.Header().Set("Content-Type", "text/xml")
				doc, _ := xmlrpc.AppendResponse(nil, map[string]any{"id": 3})
				_, _ = w.Write(doc)
			})
		})
		b := openAs(t, dialect, s.URL, bridge.Secrets{})
		read := func() time.Time {
			got, err := b.GetBugs(t.Context(), "bz", []string{"1"}, bridge.LevelIDs)
			if err != nil {
				t.Fatal(err)
			}
			return got.Time
		}
		if at := read(); at.Before(clock.Add(-time.Minute)) || at.After(clock.Add(time.Minute)) {
			t.Errorf("%s: %v", dialect, at)
		}
		clock = clock.Add(-3 * time.Hour)
		if _, err := b.Probe(t.Context(), "bz"); err != nil {
			t.Fatal(err)
		}
		if at := read(); at.After(clock.Add(time.Minute)) {
			t.Errorf("%s: after the clock was set back: %v", dialect, at)
		}
	}
}
