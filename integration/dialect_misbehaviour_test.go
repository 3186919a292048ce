package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/bridge/roundup"
	"github.com/trackgate/trackgate/bridge/trac"
)

// dialectTrouble is a way in which the answers of a tracker misbehave.
type dialectTrouble struct {
	name string
	kind string
	with map[string]any
	// The faults of reads and of writes; 0: a result. A write whose answer is lost may have been
	// executed.
	read, write int
}

func init() { codeNames[2007] = "NOT_SUPPORTED" }

// dialectTroubles are the misbehaviours of answers; bait is the other host of the redirect.
func dialectTroubles(bait string) []dialectTrouble {
	return []dialectTrouble{
		{"slow", "slow", map[string]any{"seconds": 0.1}, 0, 0},
		{"an answer that never comes", "slow", nil, 2002, 2006},
		{"a stall after the header", "stall", nil, 2002, 2006},
		{"a stall in the body", "stall", map[string]any{"after": 5}, 2002, 2006},
		{"a length too long", "wrong_length", map[string]any{"delta": 9}, 2003, 2006},
		{"a length too short", "wrong_length", map[string]any{"delta": -9}, 2003, 2006},
		{"half a document", "half", nil, 2003, 2006},
		{"a gzip bomb", "gzip_bomb", map[string]any{"size": 64 << 20}, 2003, 2006},
		{"a redirect to another host", "redirect", map[string]any{"to": bait, "status": 307}, 2003, 2003},
		{"500 with HTML", "html500", nil, 2003, 2006},
	}
}

// expected is the code of the fault with which a call ends while the reads, or the writes, of a
// tracker misbehave; 0: a result.
func (c *dialectCall) expected(d *spokenDialect, trouble *dialectTrouble, writes bool) int {
	switch {
	case !d.can(c.capability):
		return 2007
	case c.name == "list" || c.writes != writes:
		return 0
	case c.writes:
		return trouble.write
	}
	return trouble.read
}

// TestDialectsEndEveryMisbehaviourWithAResultOrAFault calls every method of every dialect while
// the tracker misbehaves: all methods that read at the same time, and then those that write
// while only writes misbehave and reads do not feel it.
func TestDialectsEndEveryMisbehaviourWithAResultOrAFault(t *testing.T) {
	t.Parallel()
	var baited atomic.Int64
	bait := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { baited.Add(1) }))
	defer bait.Close()
	s := startDialects(t, dialectOptions{lines: "connections = 32\n", args: []string{"--set", "bridge.call_timeout=4s",
		"--set", "bridge.max_answer=1048576", "--set", "bridge.break_after=1000000", "--set", "bridge.batch_size=5"}})
	for i := range spokenDialects { // sessions, and what dialects learn once
		s.callAll(t, &spokenDialects[i], nil, nil)
	}
	before := goroutines(t, s.gatewayProcess)
	if len(before) == 0 {
		t.Fatal("the gateway shows no goroutines")
	}
	// The group ends when all that run in parallel in it have ended.
	t.Run("all", func(t *testing.T) {
		for i := range spokenDialects {
			d := &spokenDialects[i]
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				for _, trouble := range dialectTroubles(bait.URL) {
					t.Run(trouble.name, func(t *testing.T) { s.misbehave(t, d, &trouble) })
				}
				t.Run("a session that expires", func(t *testing.T) { s.expire(t, d) })
				t.Run("a clock off by hours", func(t *testing.T) { s.shiftClock(t, d) })
				t.Run("a lock-out", func(t *testing.T) { s.lockOut(t, d) })
			})
		}
	})
	if n := baited.Load(); n != 0 {
		t.Errorf("%d requests followed the redirect to another host", n)
	}
	s.wantNothingLeft(t, before)
}

// misbehave has the reads misbehave, and then the writes, and looks whether all is well again.
func (s *dialectScene) misbehave(t *testing.T, d *spokenDialect, trouble *dialectTrouble) {
	peer := s.peers[d.name]
	for _, writes := range []bool{false, true} {
		place := d.calls
		if writes {
			place = "write"
		}
		before := len(peer.Stats().Comments)
		peer.Misbehave(misbehaviour{On: place, Kind: trouble.kind, With: trouble.with})
		s.callAll(t, d, trouble, &writes)
		peer.Reset()
		// addComment, and three calls of the own method, which writes a comment in two dialects.
		if written := len(peer.Stats().Comments) - before; written > 4 {
			t.Errorf("%d comments were written by four calls", written)
		}
		end(t, "retry", beginCall(t, s.gatewayProcess, "/RPC2", "trackers.retry", d.name)).result(t, new(bool))
	}
}

// callAll makes all calls at the same time and checks how each ends. While reads misbehave
// nothing is written: most writes begin with a read. Without a trouble all are results.
func (s *dialectScene) callAll(t *testing.T, d *spokenDialect, trouble *dialectTrouble, writes *bool) {
	t.Helper()
	if trouble == nil {
		trouble = &dialectTrouble{}
	}
	ended := map[*dialectCall]<-chan rpcAnswer{}
	for i := range dialectCalls {
		if c := &dialectCalls[i]; writes == nil || *writes || !c.writes {
			ended[c] = c.begin(t, s.gatewayProcess, d)
		}
	}
	for c, e := range ended {
		answer := end(t, c.name, e)
		code := c.expected(d, trouble, writes != nil && *writes)
		if c.name == "probe" && code == 2003 && answer.Fault == nil {
			wantNothingFound(t, answer)
			continue
		}
		wantEnd(t, c.name, answer, code)
	}
}

// wantEnd checks that a call ended with the fault of a code, or with a result for 0.
func wantEnd(t *testing.T, what string, answer rpcAnswer, code int) {
	t.Helper()
	switch {
	case code == 0 && (answer.Fault != nil || answer.Error != ""):
		t.Errorf("%s: %s, want a result", what, answer)
	case code != 0 && (answer.Fault == nil || answer.Fault.Code != code || !strings.HasPrefix(answer.Fault.String, codeNames[code]+": ")):
		t.Errorf("%s: %s, want fault %d %s", what, answer, code, codeNames[code])
	}
}

// wantNothingFound checks what a probe says about a tracker that answers, and with nonsense.
func wantNothingFound(t *testing.T, answer rpcAnswer) {
	t.Helper()
	var probe struct{ Dialect, Reason string }
	answer.result(t, &probe)
	if probe.Dialect != "" || probe.Reason == "" {
		t.Errorf("probe: %+v, want no dialect, and why", probe)
	}
}

// expire ends the session: once before all calls, and once in the middle of one that asks for
// several batches.
func (s *dialectScene) expire(t *testing.T, d *spokenDialect) {
	peer := s.peers[d.name]
	refuseOnce := func(after int) {
		if after > 0 {
			peer.Misbehave(misbehaviour{On: d.calls, Kind: "honest", Times: after})
		}
		rule := misbehaviour{On: d.calls, Kind: "expire", Times: 1}
		switch d.name {
		case trac.NativeName: // which has no sessions that could end
			rule.Kind = "refuse"
		case trac.CSVName: // where tickets are hidden from visitors
			rule.Kind, rule.With = "status", map[string]any{"status": http.StatusForbidden}
		}
		peer.Misbehave(rule)
	}
	before := peer.Stats()
	refuseOnce(0)
	s.callAll(t, d, nil, nil)
	if d.logins != nil {
		if logins := d.logins(peer.Stats()) - d.logins(before); logins != 1 {
			t.Errorf("%d log-ins for one session that was over, want 1", logins)
		}
	}
	if !d.can("read-bugs") {
		return
	}
	refuseOnce(1)
	var got struct{ Bugs []bugValue }
	ids := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // three batches
	end(t, "getBugs", beginCall(t, s.gatewayProcess, "/RPC2", "trackers.getBugs", d.name, ids)).result(t, &got)
	if len(got.Bugs) != len(ids) {
		t.Errorf("%d of %d bugs came when the session ended in the middle", len(got.Bugs), len(ids))
	}
	peer.Reset()
}

// shiftClock puts the tracker's clock hours off, which is no reason for any fault.
func (s *dialectScene) shiftClock(t *testing.T, d *spokenDialect) {
	peer := s.peers[d.name]
	for _, ahead := range []time.Duration{7 * time.Hour, -9 * time.Hour} {
		peer.ShiftClock(ahead)
		s.callAll(t, d, nil, nil)
		var probe struct {
			ClockSkew *float64 `json:"clock_skew"`
		}
		call(t, s.gatewayProcess, "trackers.probe", d.name).result(t, &probe)
		if probe.ClockSkew == nil {
			t.Fatal("the probe tells no clock skew")
		}
		if skew := time.Duration(*probe.ClockSkew * float64(time.Second)); (skew - ahead).Abs() > time.Minute {
			t.Errorf("the clock skew is %s, want %s", skew, ahead)
		}
	}
	peer.ShiftClock(0)
}

// lockOut has the tracker lock the gateway's account, as trackers do after wrong passwords.
func (s *dialectScene) lockOut(t *testing.T, d *spokenDialect) {
	peer := s.peers[d.name]
	unlock := d.lock(t, peer)
	before := peer.Stats()
	// One caller finds out, for all.
	first := "trackers.getBugs"
	params := []any{d.name, []int{1}}
	if !d.can("read-bugs") {
		first, params = "trackers.call", []any{d.name, d.ownRead.method, list(d.ownRead.params)}
	}
	call(t, s.gatewayProcess, first, params...).wantFault(t, 2005, "TRACKER_LOGIN_FAILED", "trackers.retry")
	var trackers []struct {
		Name, Session string
		NextTry       *moment `json:"next_try"`
	}
	call(t, s.gatewayProcess, "trackers.list").result(t, &trackers)
	for _, tracker := range trackers {
		if tracker.Name == d.name && (tracker.Session != "backoff" || tracker.NextTry == nil) {
			t.Errorf("the list says %+v, want when the next log-in is", tracker)
		}
	}
	for i := range dialectCalls {
		c := &dialectCalls[i]
		if c.name == "list" || c.name == "retry" || c.name == "probe" { // a probe tells what it can
			continue
		}
		code := 2005
		if !d.can(c.capability) {
			code = 2007
		}
		wantEnd(t, c.name, end(t, c.name, c.begin(t, s.gatewayProcess, d)), code)
	}
	if d.logins != nil {
		if logins := d.logins(peer.Stats()) - d.logins(before); logins != 1 {
			t.Errorf("%d log-ins at an account that is locked, want 1", logins)
		}
	}
	unlock()
	call(t, s.gatewayProcess, "trackers.retry", d.name).result(t, new(bool))
	s.callAll(t, d, nil, nil)
}

// lock locks the gateway's account at a peer and ends its session. What it returns unlocks it.
func (d *spokenDialect) lock(t *testing.T, peer *tracPeer) (unlock func()) {
	t.Helper()
	switch d.name {
	case bugzilla.NativeName:
		visitor := newBugzillaVisitor(&bugzillaPeer{peer})
		for range 5 {
			visitor.call(t.Context(), "User.login", map[string]any{"login": "rene@bugs.example", "password": "wrong"})
		}
		peer.Expire("expired")
		return func() { peer.ShiftClock(31 * time.Minute) }
	case trac.NativeName:
		for range 5 {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, peer.URL+"/login", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.SetBasicAuth("alice", "wrong")
			response, err := peer.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		return func() { peer.mustPost("/password", map[string]string{"user": "alice", "password": "wonder"}) }
	case roundup.Name:
		peer.mustPost("/lockout", map[string]int{"failures": 1})
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, peer.URL+"/xmlrpc", strings.NewReader(timeCall))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "text/xml")
		request.Header.Set("X-Requested-With", "test")
		request.SetBasicAuth("gateway", "wrong")
		response, err := peer.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return func() { peer.mustPost("/lockout", map[string]int{"failures": 0}) }
	case generic.Name:
		peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "refuse"})
	case trac.CSVName:
		peer.Misbehave(misbehaviour{On: "other", Kind: "status", With: map[string]any{"status": http.StatusForbidden}},
			misbehaviour{On: "login", Kind: "refuse"})
	default: // there is no account; the tracker does not believe the token
		peer.Misbehave(misbehaviour{On: "callback", Kind: "get"})
		peer.Expire("expired")
	}
	return peer.Reset
}

// goroutines counts the goroutines of a gateway by their stacks, but for those of connections
// that are kept to be used again.
func goroutines(t *testing.T, g *gatewayProcess) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, stack := range strings.Split(curl(t, "http://"+g.Admin+"/debug/pprof/goroutine?debug=2").Body, "\n\n") {
		lines := strings.Split(strings.TrimSpace(stack), "\n")
		if len(lines) < 2 || strings.Contains(stack, "net/http.(*persistConn)") || strings.Contains(stack, "net/http.(*conn).serve") ||
			strings.Contains(stack, "net/http.(*connReader)") {
			continue
		}
		var functions []string
		for i := 1; i < len(lines); i += 2 { // each is followed by its place
			name, _, _ := strings.Cut(lines[i], "(0x")
			name, _, _ = strings.Cut(name, " in goroutine")
			functions = append(functions, strings.TrimSuffix(name, "(...)"))
		}
		counts[strings.Join(functions, " < ")]++
	}
	return counts
}

// wantNothingLeft checks that the gateway has the goroutines that it had before, and holds no
// connection to a tracker but those that it keeps, and none once it has ended.
func (s *dialectScene) wantNothingLeft(t *testing.T, before map[string]int) {
	t.Helper()
	var more []string
	quiet := func() bool {
		more = nil
		for stack, n := range goroutines(t, s.gatewayProcess) {
			if n > before[stack] {
				more = append(more, fmt.Sprintf("%d of %s, before %d", n, stack, before[stack]))
			}
		}
		return len(more) == 0
	}
	if !within(hangLimit, quiet) {
		t.Errorf("goroutines are left:\n%s", strings.Join(more, "\n"))
	}
	held := map[string]int{}
	s.Stop()
	closed := within(hangLimit, func() bool {
		for name, peer := range s.peers {
			if held[name] = peer.Stats().Connections; held[name] == 0 {
				delete(held, name)
			}
		}
		return len(held) == 0
	})
	if !closed {
		t.Errorf("trackers still hold connections: %v", held)
	}
	for name, peer := range s.peers {
		if failures := peer.Stats().Failures; failures != 0 {
			t.Errorf("the peer of %s failed %d times", name, failures)
		}
	}
	if output := s.Output(); strings.Contains(output, "DATA RACE") || strings.Contains(output, "panic") {
		t.Error("the gateway raced or panicked")
	}
}

// within asks until ready says yes, for so long.
func within(limit time.Duration, ready func() bool) bool {
	end := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		if time.Now().After(end) {
			return false
		}
		<-tick.C
	}
	return true
}
