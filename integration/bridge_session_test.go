package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	loginRequest = "GET /lp/launchpad-auth/{token}"
	callRequest  = "POST /lp/xmlrpc"
)

func TestAnExpiredSessionIsMadeAnewAndTheCallRepeatedOnce(t *testing.T) {
	for _, kind := range []string{"expired", "purged"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := startScene(t)
			call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
			before := s.peer.Stats()
			s.peer.Expire(kind)
			var id string
			call(t, s.gatewayProcess, "trackers.addComment", "gnome", 2, "Once.", "").result(t, &id)
			after := s.peer.Stats()
			if logins := after.Requests[loginRequest] - before.Requests[loginRequest]; logins != 1 {
				t.Errorf("%d log-ins, want 1", logins)
			}
			if calls := after.Requests[callRequest] - before.Requests[callRequest]; calls != 2 {
				t.Errorf("%d calls, want the refused one and its repetition", calls)
			}
			if len(after.Comments) != 1 {
				t.Errorf("the comment was written %d times", len(after.Comments))
			}
			for _, callback := range after.Callbacks {
				if callback.Status != http.StatusOK || !strings.HasPrefix(callback.URL, s.relay.URL+"/for/gnome/token/") {
					t.Errorf("a callback %+v", callback)
				}
			}
		})
	}
}

func TestFiftyCallersWithoutASessionMakeOneLogIn(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	for round, prepare := range []func(){
		func() {}, // no session yet
		func() { s.peer.Expire("expired") },
	} {
		prepare()
		// The first callback waits until the test lets it go, and with it all callers.
		s.peer.Misbehave(misbehaviour{On: "callback", Kind: "late", Times: 1})
		var ended []<-chan rpcAnswer
		for range 50 {
			ended = append(ended, beginCall(t, s.gatewayProcess, "/RPC2", "trackers.getBugs", "gnome", []int{1}))
		}
		s.peer.Await("held", 1)
		s.peer.Reset()
		for _, e := range ended {
			(<-e).result(t, new(any))
		}
		if logins := s.peer.Stats().Requests[loginRequest]; logins != round+1 {
			t.Errorf("round %d: %d log-ins so far, want %d", round+1, logins, round+1)
		}
	}
	if n := metric(t, scrape(t, s.gatewayProcess), `trackgate_tracker_logins_total{outcome="ok",tracker="gnome"}`); n != 2 {
		t.Errorf("%v log-ins were counted, want 2", n)
	}
}

func TestARefusedLogInIsNotRepeatedUntilSomebodyAsksForIt(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	s.peer.Misbehave(misbehaviour{On: "login", Kind: "refuse"})
	for range 3 {
		call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2005, "TRACKER_LOGIN_FAILED", "trackers.retry")
	}
	if logins := s.peer.Stats().Requests[loginRequest]; logins != 1 {
		t.Errorf("%d log-ins during the back-off, want 1", logins)
	}
	var trackers []struct {
		Session string
		NextTry *moment `json:"next_try"`
	}
	call(t, s.gatewayProcess, "trackers.list").result(t, &trackers)
	if len(trackers) != 1 || trackers[0].Session != "backoff" || trackers[0].NextTry == nil {
		t.Errorf("during the back-off the tracker is %+v", trackers)
	}
	call(t, s.gatewayProcess, "trackers.retry", "gnome").wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	if logins := s.peer.Stats().Requests[loginRequest]; logins != 2 {
		t.Errorf("%d log-ins after a retry, want 2", logins)
	}
	s.peer.Reset()
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	var done bool
	call(t, s.gatewayProcess, "trackers.retry", "gnome").result(t, &done)
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	if stats := s.peer.Stats(); !done || stats.Accepted != 1 {
		t.Errorf("after the retry %d log-ins were accepted", stats.Accepted)
	}
}

func TestATrackerThatCallsBackOnlyWithGETIsNotLoggedInTo(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	s.peer.Misbehave(misbehaviour{On: "callback", Kind: "get"})
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	callbacks := s.peer.Stats().Callbacks
	if len(callbacks) == 0 || callbacks[0].Status != http.StatusMethodNotAllowed {
		t.Errorf("the callbacks were answered %+v", callbacks)
	}
}

func TestATokenDiesWithTheLogInThatCarriesIt(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	// The tracker believes every token and asks nobody, so that none is consumed.
	s.peer.Misbehave(misbehaviour{On: "callback", Kind: "skip"})
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	text := scrape(t, s.gatewayProcess)
	if minted, revoked := metric(t, text, "trackgate_tokens_minted_total"), metric(t, text, "trackgate_tokens_revoked_total"); minted != 1 || revoked != 1 {
		t.Errorf("%v tokens minted and %v revoked, want 1 and 1", minted, revoked)
	}
}

// TestATrackerCannotLogInElsewhereWithTheTokenItWasGiven has a dishonest tracker
// hand its token on to another one of ours, while its own log-in call is open.
func TestATrackerCannotLogInElsewhereWithTheTokenItWasGiven(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	honest := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/kde"})
	dishonest := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/gnome"})
	g := startGateway(t, "--config", writeConfig(t, "", entryFor("gnome", dishonest), entryFor("kde", honest)), "--set", "public.url="+relay.URL)
	relay.To(g.Public)

	dishonest.Misbehave(
		misbehaviour{On: "callback", Kind: "hand_on", Times: 1, With: map[string]any{"tracker": honest.URL}},
		misbehaviour{On: "callback", Kind: "other_root", Times: 1, With: map[string]any{"root": relay.URL}},
		misbehaviour{On: "callback", Kind: "other_root", Times: 1, With: map[string]any{"root": relay.URL + "/for/kde"}},
	)
	call(t, g, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	handed := dishonest.Stats().HandedOn
	if len(handed) != 1 || handed[0].Status != http.StatusUnauthorized || slices.Contains(handed[0].Cookies, "trac_auth") {
		t.Errorf("the honest tracker let the dishonest one in: %+v", handed)
	}
	for range 2 {
		dishonest.Expire("purged")
		call(t, g, "trackers.retry", "gnome")
		call(t, g, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	}
	for _, peer := range []*tracPeer{honest, dishonest} {
		for _, callback := range peer.Stats().Callbacks {
			if callback.Status != http.StatusGone {
				t.Errorf("a callback under another root was answered %+v", callback)
			}
		}
	}
	call(t, g, "trackers.getBugs", "kde", []int{1}).result(t, new(any))
}

func TestATrackerOnThisMachineIsNotCalledUnlessItsEntryAllowsIt(t *testing.T) {
	t.Parallel()
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: "http://127.0.0.1:1"})
	byName := strings.Replace(peer.URL, "127.0.0.1", "localhost", 1)
	g := startGateway(t, "--config", writeConfig(t, "",
		trackerEntry{"address", peer.URL, "callback = \"own\"\n"},
		trackerEntry{"name", byName, "callback = \"own\"\n"},
		trackerEntry{"mapped", strings.Replace(peer.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), "callback = \"own\"\n"},
		trackerEntry{"metadata", "http://169.254.169.254/latest", "callback = \"own\"\n"}))
	for _, name := range []string{"address", "name", "mapped", "metadata"} {
		call(t, g, "trackers.probe", name).wantFault(t, 2001, "TRACKER_UNAVAILABLE", "allow_private")
		call(t, g, "trackers.getBugs", name, []int{1}).wantFault(t, 2001, "TRACKER_UNAVAILABLE")
	}
	if requests := peer.Stats().Requests; len(requests) != 0 {
		t.Errorf("the tracker was reached: %v", requests)
	}
}
