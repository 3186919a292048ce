package integration

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/trac"
)

// TestDialectsLogInOnceForAHundredCallers has a hundred callers meet no session, and then one
// that has expired. Where the tracker calls back, the first callback waits until the test has
// seen that the gateway serves others, with its own log-in open.
func TestDialectsLogInOnceForAHundredCallers(t *testing.T) {
	t.Parallel()
	s := startDialects(t, dialectOptions{})
	for i := range spokenDialects {
		d := &spokenDialects[i]
		if d.logins == nil {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			peer := s.peers[d.name]
			callsBack := d.credentials == ""
			for round := 1; round <= 2; round++ {
				if round == 2 {
					if d.name == trac.CSVName { // it answers visitors as well
						break
					}
					peer.Expire("expired")
				}
				before := len(peer.Stats().Callbacks)
				if callsBack {
					peer.Misbehave(misbehaviour{On: "callback", Kind: "late", Times: 1})
				}
				var ended []<-chan rpcAnswer
				for range 100 {
					ended = append(ended, beginCall(t, s.gatewayProcess, "/RPC2", "trackers.getBugs", d.name, []int{1}))
				}
				if callsBack {
					peer.Await("held", 1)
					mint(t, s.gatewayProcess)
					call(t, s.gatewayProcess, "trackers.list").result(t, new(any))
					peer.Reset()
				}
				for _, e := range ended {
					end(t, "getBugs", e).result(t, new(any))
				}
				stats := peer.Stats()
				if logins := d.logins(stats); logins != round {
					t.Errorf("round %d: %d log-ins so far, want %d", round, logins, round)
				}
				for _, callback := range stats.Callbacks[before:] {
					if callback.Status != http.StatusOK || !strings.HasPrefix(callback.URL, s.relay.URL+"/for/"+d.name+"/token/") {
						t.Errorf("a callback %+v", callback)
					}
				}
			}
		})
	}
}

// TestDialectsOfBugzillaCannotHandATokenOn has a dishonest Bugzilla log in to an honest one, and
// to an honest Trac, with the token that it was given for itself.
func TestDialectsOfBugzillaCannotHandATokenOn(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	start := func(name string) *bugzillaPeer {
		return startBugzillaPeer(t, bugzillaPeerOptions{Launchpad: true, CallbackRoot: relay.URL + "/for/" + name})
	}
	dishonest, honest := start("dishonest"), start("honest")
	tracker := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/trac"})
	d := dialectNamed(bugzilla.LaunchpadName)
	g := startGateway(t, with(unlimited, "--set", "public.url="+relay.URL, "--config", writeFile(t, "trackgate.toml",
		d.entry(t, "dishonest", d.name, dishonest.tracPeer, "")+d.entry(t, "honest", d.name, honest.tracPeer, "")+
			dialectNamed(trac.LaunchpadName).entry(t, "trac", trac.LaunchpadName, tracker, "")))...)
	relay.To(g.Public)
	for _, elsewhere := range []string{honest.Endpoint(), tracker.URL} {
		dishonest.Misbehave(misbehaviour{On: "callback", Kind: "hand_on", Times: 1, With: map[string]any{"tracker": elsewhere}})
		call(t, g, "trackers.getBugs", "dishonest", []int{1}).result(t, new(any))
		dishonest.Expire("expired")
	}
	handed := dishonest.Stats().HandedOn
	if len(handed) != 2 {
		t.Fatalf("the token was handed on %d times, want 2", len(handed))
	}
	for _, attempt := range handed {
		if slices.Contains(attempt.Cookies, "Bugzilla_logincookie") || slices.Contains(attempt.Cookies, "trac_auth") || strings.Contains(attempt.Body, "<params>") {
			t.Errorf("an honest tracker let the dishonest one in: %+v", attempt)
		}
	}
	for _, root := range []string{relay.URL, relay.URL + "/for/honest"} {
		dishonest.Misbehave(misbehaviour{On: "callback", Kind: "other_root", Times: 1, With: map[string]any{"root": root}})
		dishonest.Expire("expired")
		call(t, g, "trackers.retry", "dishonest").wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	}
	for _, peer := range []*tracPeer{honest.tracPeer, dishonest.tracPeer, tracker} {
		for _, callback := range peer.Stats().Callbacks {
			if callback.Status != http.StatusGone {
				t.Errorf("a callback with the token of another tracker, or under its root, was answered %+v", callback)
			}
		}
	}
	call(t, g, "trackers.getBugs", "honest", []int{1}).result(t, new(any))
}

// newSessionKey is the text of a key file.
func newSessionKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails
	return base64.StdEncoding.EncodeToString(key) + "\n"
}

func TestDialectsKeepTheirSessionsOverARestartWithAKey(t *testing.T) {
	for name, test := range map[string]struct {
		keys   []string // of the first and the second start; "" is none
		logins int
	}{
		"the same key":                       {[]string{"a", "a"}, 1},
		"no key":                             {[]string{"", ""}, 2},
		"another key":                        {[]string{"a", "b"}, 2},
		"a new key above the old one":        {[]string{"a", "ba"}, 1},
		"no key any more":                    {[]string{"a", ""}, 2},
		"a key for the first time":           {[]string{"", "a"}, 2},
		"the old key after a new one came":   {[]string{"a", "ba", "b"}, 1},
		"the old key without the new one in": {[]string{"a", "b", "a"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := map[rune]string{'a': newSessionKey(), 'b': newSessionKey()}
			s := startDialects(t, dialectOptions{})
			args := s.args
			s.Stop()
			for i, names := range test.keys {
				s.args = args
				if names != "" {
					var text string
					for _, n := range names {
						text += keys[n]
					}
					s.args = with(args, "--set", "sessions.key_file="+writeFile(t, "session.keys", text))
				}
				s.start(t, s.Data)
				for j := range spokenDialects {
					d := &spokenDialects[j]
					if d.logins == nil {
						continue
					}
					call(t, s.gatewayProcess, "trackers.getBugs", d.name, []int{1}).result(t, new(any))
					if last := i == len(test.keys)-1; last && d.logins(s.peers[d.name].Stats()) != test.logins {
						t.Errorf("%s: %d log-ins, want %d", d.name, d.logins(s.peers[d.name].Stats()), test.logins)
					}
				}
				s.Stop()
			}
		})
	}
}
