package integration

import (
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
)

// TestDialectsAreFoundOut has every tracker entered with dialect = "auto", but for the generic
// one, which cannot be found out.
func TestDialectsAreFoundOut(t *testing.T) {
	t.Parallel()
	s := startDialects(t, dialectOptions{dialect: "auto"})
	var entered []listedTracker
	call(t, s.gatewayProcess, "trackers.list").result(t, &entered)
	for _, tracker := range entered {
		if tracker.Name != generic.Name && tracker.Dialect != "auto" || tracker.Session != "none" {
			t.Errorf("before anybody asked the list says %+v", tracker)
		}
	}
	for i := range spokenDialects {
		d := &spokenDialects[i]
		t.Run(d.name, func(t *testing.T) {
			var probe struct{ Dialect, Reason string }
			call(t, s.gatewayProcess, "trackers.probe", d.name).result(t, &probe)
			if probe.Dialect != d.name || !strings.Contains(probe.Reason, d.reason) {
				t.Errorf("the probe says %+v, want %s because of %q", probe, d.name, d.reason)
			}
		})
	}
	wantListed(t, s.gatewayProcess)

	// It is remembered: nobody is asked again after a restart.
	asked := func() int {
		return s.peers[roundup.Name].Stats().Requests["GET /demo/launchpad-auth/check"] + s.peers[trac.NativeName].Stats().Requests["POST /native/xmlrpc.cgi"]
	}
	before := asked()
	s.Stop()
	s.start(t, s.Data)
	for _, name := range []string{roundup.Name, trac.NativeName} {
		call(t, s.gatewayProcess, "trackers.getBugs", name, []int{1}, "ids").result(t, new(any))
	}
	if after := asked(); before == 0 || after != before {
		t.Errorf("the trackers were asked %d times whether they are others, and %d times after a restart", before, after-before)
	}
}

// listedTracker is what trackers.list says about a tracker.
type listedTracker struct {
	Name, Dialect, Session string
	Capabilities           []string
}

// wantListed checks that the list shows what each tracker speaks and can do.
func wantListed(t *testing.T, g *gatewayProcess) {
	t.Helper()
	var trackers []listedTracker
	call(t, g, "trackers.list").result(t, &trackers)
	if len(trackers) != len(spokenDialects) {
		t.Fatalf("the list has %d trackers, want %d", len(trackers), len(spokenDialects))
	}
	for i, tracker := range trackers {
		d := &spokenDialects[i]
		if tracker.Name != d.name || tracker.Dialect != d.name || strings.Join(tracker.Capabilities, " ") != d.capabilities {
			t.Errorf("the list says %+v, want %s with %s", tracker, d.name, d.capabilities)
		}
	}
}
