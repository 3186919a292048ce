package integration

import (
	"fmt"
	"net/http"
	"testing"
)

// impatient makes the limits of calls to trackers so small that a test meets them.
var impatient = []string{"--set", "bridge.call_timeout=2s", "--set", "bridge.max_answer=1048576"}

// trackerTrouble is what a caller is told of a misbehaving tracker.
type trackerTrouble struct {
	name string
	kind string
	with map[string]any
	// The fault of a read and of a write; a write whose answer is lost may have
	// been executed.
	readCode, writeCode int
	words               []string // in both faults
}

var codeNames = map[int]string{
	404: "RESOURCE_NOT_FOUND", 2001: "TRACKER_UNAVAILABLE", 2002: "TRACKER_TIMEOUT", 2003: "TRACKER_BAD_ANSWER",
	2004: "TRACKER_FAULT", 2005: "TRACKER_LOGIN_FAILED", 2006: "OUTCOME_UNKNOWN",
}

var callTroubles = []trackerTrouble{
	{"an answer that never comes", "slow", nil, 2002, 2006, nil},
	{"an answer that stops", "stall", map[string]any{"after": 30}, 2002, 2006, nil},
	{"HTML under status 200", "html200", nil, 2003, 2006, nil},
	{"HTML under status 500", "html500", nil, 2003, 2006, []string{"500"}},
	{"an overloaded proxy", "status", map[string]any{"status": 503}, 2003, 2006, []string{"503"}},
	{"a page that is not there", "status", map[string]any{"status": 404}, 2003, 2003, []string{"404"}},
	{"an answer without end", "endless", nil, 2003, 2006, []string{"larger"}},
	{"a compressed bomb", "gzip_bomb", nil, 2003, 2006, []string{"larger"}},
	{"half an answer", "half", nil, 2003, 2006, nil},
	{"an answer that ends early", "wrong_length", map[string]any{"delta": 7}, 2003, 2006, nil},
	{"an answer longer than it says", "wrong_length", map[string]any{"delta": -7}, 2003, 2006, nil},
	{"a redirect", "redirect", nil, 2003, 2003, nil},
	{"a fault", "fault", map[string]any{"code": 42, "text": "Out of order"}, 2004, 2004, []string{"42", "Out of order"}},
	{"a fault whose code is a word", "fault", map[string]any{"code": "Client", "text": "Out of order"}, 2004, 2004, []string{"Client", "Out of order"}},
	{"the fault of a ticket that does not exist", "fault", map[string]any{"code": 1001, "text": "Ticket does not exist"}, 404, 404, nil},
	{"a document of another sort", "document", map[string]any{"body": "<html/>"}, 2003, 2006, nil},
	{"an answer of another shape", "document", map[string]any{
		"body": "<?xml version='1.0'?><methodResponse><params><param><value>yes</value></param></params></methodResponse>"}, 2003, 2006, nil},
	{"bytes that are no HTTP", "garbage", nil, 2003, 2006, nil},
	{"bytes that are no XML", "garbage_body", nil, 2003, 2006, nil},
	{"a reset connection", "reset", nil, 2001, 2006, nil},
	{"a reset connection after the work was done", "reset_after", nil, 2001, 2006, nil},
	{"a refusal of a new session", "refuse", nil, 2005, 2005, nil},
}

// TestAMisbehavingTrackerIsTheFaultThatSaysSo also calls a second tracker after
// each misbehaviour of the first.
func TestAMisbehavingTrackerIsTheFaultThatSaysSo(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	gnome := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/gnome"})
	kde := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/kde"})
	args := with(impatient, unlimited...)
	g := startGateway(t, with(args, "--config", writeConfig(t, "", entryFor("gnome", gnome), entryFor("kde", kde)), "--set", "public.url="+relay.URL)...)
	relay.To(g.Public)
	for _, trouble := range callTroubles {
		t.Run(trouble.name, func(t *testing.T) {
			for _, write := range []bool{false, true} {
				call(t, g, "trackers.retry", "gnome").result(t, new(bool))
				call(t, g, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
				before := gnome.Stats()
				gnome.Misbehave(misbehaviour{On: "xmlrpc", Kind: trouble.kind, With: trouble.with})
				code := trouble.readCode
				var ended <-chan rpcAnswer
				if write {
					code = trouble.writeCode
					ended = beginCall(t, g, "/RPC2", "trackers.addComment", "gnome", 2, "Hello.", "")
				} else {
					ended = beginCall(t, g, "/RPC2", "trackers.getBugs", "gnome", []int{1})
				}
				call(t, g, "trackers.getBugs", "kde", []int{1}).result(t, new(any))
				(<-ended).wantFault(t, code, codeNames[code], trouble.words...)
				after := gnome.Stats()
				if written := len(after.Comments) - len(before.Comments); written > 1 {
					t.Errorf("the comment was written %d times", written)
				}
				if bytes := after.Written - before.Written; bytes > 64<<20 {
					t.Errorf("the gateway read %d bytes of an answer", bytes)
				}
				gnome.Reset()
			}
			call(t, g, "trackers.retry", "gnome").result(t, new(bool))
			call(t, g, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
		})
	}
	text := scrape(t, g)
	for _, outcome := range []string{"ok", "timeout", "bad_answer", "outcome_unknown", "fault"} {
		if metric(t, text, fmt.Sprintf(`trackgate_tracker_calls_total{outcome=%q,tracker="gnome"}`, outcome)) == 0 {
			t.Errorf("no call to gnome was counted as %s", outcome)
		}
	}
	if metric(t, text, `trackgate_tracker_calls_total{outcome="ok",tracker="kde"}`) == 0 {
		t.Error("no call to kde was counted")
	}
}

func TestATrackerThatMisbehavesAtLogInIsTheFaultThatSaysSo(t *testing.T) {
	t.Parallel()
	s := startScene(t, with(impatient, unlimited...)...)
	for _, trouble := range []trackerTrouble{
		{"an answer that never comes", "slow", nil, 2002, 0, nil},
		{"HTML under status 500", "html500", nil, 2003, 0, []string{"500"}},
		{"an answer without end", "endless", nil, 2003, 0, nil},
		{"a redirect", "redirect", nil, 2003, 0, nil},
		{"bytes that are no HTTP", "garbage", nil, 2003, 0, nil},
		{"a reset connection", "reset", nil, 2001, 0, nil},
		{"a page instead of a session", "html200", nil, 2003, 0, nil},
		{"a log-in without a cookie", "no_cookie", nil, 2003, 0, nil},
		{"a refusal", "refuse", nil, 2005, 0, []string{"trackers.retry"}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			s.peer.Expire("purged")
			s.peer.Misbehave(misbehaviour{On: "login", Kind: trouble.kind, With: trouble.with})
			call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).
				wantFault(t, trouble.readCode, codeNames[trouble.readCode], trouble.words...)
			s.peer.Reset()
			call(t, s.gatewayProcess, "trackers.retry", "gnome").result(t, new(bool))
			call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
		})
	}
}

func TestATrackerThatHoldsFiftyCallsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	relay := startRelay(t)
	gnome := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/gnome"})
	kde := startTracPeer(t, tracPeerOptions{CallbackRoot: relay.URL + "/for/kde"})
	g := startGateway(t, "--config", writeConfig(t, "", entryFor("gnome", gnome), entryFor("kde", kde)), "--set", "public.url="+relay.URL)
	relay.To(g.Public)
	call(t, g, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	gnome.Misbehave(misbehaviour{On: "xmlrpc", Kind: "slow"})
	var ended []<-chan rpcAnswer
	for range 50 {
		ended = append(ended, beginCall(t, g, "/RPC2", "trackers.getBugs", "gnome", []int{1}))
	}
	gnome.Await("held", 1)
	call(t, g, "trackers.getBugs", "kde", []int{1}).result(t, new(any))
	mint(t, g)
	if gnome.Stats().Held == 0 {
		t.Error("nothing was held any more when the other tracker answered")
	}
	gnome.Reset()
	for _, e := range ended {
		(<-e).result(t, new(any))
	}
}

func TestATrackerThatIsDownIsUnavailableUntilItIsBack(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	s.peer.Shutdown()
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2001, "TRACKER_UNAVAILABLE")
	call(t, s.gatewayProcess, "trackers.addComment", "gnome", 1, "Hello.", "").wantFault(t, 2001, "TRACKER_UNAVAILABLE")
	call(t, s.gatewayProcess, "trackers.probe", "gnome").wantFault(t, 2001, "TRACKER_UNAVAILABLE")
	var trackers []struct{ Session string }
	if call(t, s.gatewayProcess, "trackers.list").result(t, &trackers); len(trackers) != 1 || trackers[0].Session != "down" {
		t.Errorf("while it is down the tracker is %+v", trackers)
	}
	if answer := curl(t, "http://"+s.Admin+"/readyz"); answer.Status != http.StatusOK {
		t.Errorf("a tracker that is down makes the gateway unready: %s", answer)
	}
}

func TestARedirectElsewhereIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := startScene(t)
	other := startTracPeer(t, tracPeerOptions{CallbackRoot: s.relay.URL})
	for _, place := range []string{"xmlrpc", "login"} {
		for _, status := range []int{301, 302, 307, 308} {
			s.peer.Expire("purged")
			call(t, s.gatewayProcess, "trackers.retry", "gnome")
			s.peer.Misbehave(misbehaviour{On: place, Kind: "redirect", With: map[string]any{"to": other.URL + "/xmlrpc", "status": status}})
			if place == "login" {
				s.peer.Expire("purged")
			}
			call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2003, "TRACKER_BAD_ANSWER")
			s.peer.Reset()
		}
	}
	if requests := other.Stats().Requests; len(requests) != 0 {
		t.Errorf("the other host was reached: %v", requests)
	}
}
