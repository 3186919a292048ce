package bridge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/internal/tracpeer"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestATrackerThatIsDownIsUnavailableAndHoldsUpNoOther(t *testing.T) {
	p, good := tracpeer.New(t), tracpeer.New(t)
	good.Put(1, tracpeer.Ticket{Status: "new"})
	url := p.URL()
	p.Close()
	minter := newTokens()
	b := open(t, []bridge.Config{tracker("t", url), tracker("good", good.URL())}, minter)
	for _, c := range calls {
		if err := c.call(t.Context(), b); !apierror.Is(err, apierror.TrackerUnavailable) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := b.Probe(t.Context(), "t"); !apierror.Is(err, apierror.TrackerUnavailable) {
		t.Errorf("probe: %v", err)
	}
	if _, err := b.GetLink(t.Context(), "good", "1"); err != nil {
		t.Errorf("the other tracker: %v", err)
	}
	list := b.List()
	if list[0].Session != bridge.SessionDown || list[1].Session != bridge.SessionLive || minter.left() != 0 {
		t.Errorf("sessions %s and %s, %d tokens left", list[0].Session, list[1].Session, minter.left())
	}
}

func TestAHundredCallersWithAnExpiredSessionMakeOneHandshake(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	minter := newTokens()
	p.Validate(minter.consume)
	b := open(t, []bridge.Config{tracker("t", p.URL())}, minter)
	if err := b.Retry(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	p.Expire()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			c := calls[i%len(calls)]
			if err := c.call(t.Context(), b); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
	wg.Wait()
	if p.Logins() != 2 {
		t.Errorf("%d log-ins, want 2: the first, and one for all", p.Logins())
	}
	if minter.left() != 0 {
		t.Errorf("%d tokens are left", minter.left())
	}
}

func TestTheCallbackIsServedWhileTheLogInIsOpen(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	minter := newTokens()
	var b *bridge.Bridge
	var during atomic.Value
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		during.Store(string(b.List()[0].Session)) // asks the session while its log-in is open
		if !minter.consume(strings.Split(r.URL.Path, "/")[2]) {
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer gateway.Close()
	client := gateway.Client()
	p.Validate(func(token string) bool {
		resp, err := client.Post(gateway.URL+"/token/"+token+"/+bugtracker-handshake", "", nil)
		if err != nil {
			t.Error(err)
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	b = open(t, []bridge.Config{tracker("t", p.URL())}, minter)
	if _, err := b.GetBugs(t.Context(), "t", []string{"1"}, bridge.LevelMetadata); err != nil {
		t.Fatal(err)
	}
	if during.Load() != string(bridge.SessionNone) {
		t.Errorf("session %v during the log-in", during.Load())
	}
}

func TestARefusedLogInBacksOffUntilRetry(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	p.Validate(func(string) bool { return false })
	minter := newTokens()
	b := open(t, []bridge.Config{tracker("t", p.URL())}, minter)
	for _, c := range calls[:5] {
		err := c.call(t.Context(), b)
		if !apierror.Is(err, apierror.TrackerLoginFailed) || !strings.Contains(apierror.From(err).FaultString(), "before 20") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if s := b.List()[0]; s.Session != bridge.SessionBackoff || s.NextTry.IsZero() || p.Logins() != 1 || minter.left() != 0 {
		t.Errorf("session %s until %v, %d log-ins, %d tokens left", s.Session, s.NextTry, p.Logins(), minter.left())
	}
	if err := b.Retry(t.Context(), "t"); !apierror.Is(err, apierror.TrackerLoginFailed) || p.Logins() != 2 {
		t.Errorf("retry while it still refuses: %v after %d log-ins", err, p.Logins())
	}
	p.Validate(nil)
	if err := b.Retry(t.Context(), "t"); err != nil {
		t.Errorf("retry: %v", err)
	}
	if s := b.List()[0]; s.Session != bridge.SessionLive || !s.NextTry.IsZero() {
		t.Errorf("session %s until %v", s.Session, s.NextTry)
	}
}

func TestATrackerThatRefusesTheSessionsItGivesIsNotAskedAgainAndAgain(t *testing.T) {
	p := tracpeer.New(t)
	p.Before(func(w http.ResponseWriter, _ *http.Request, method string) bool {
		if method != "" {
			w.WriteHeader(http.StatusForbidden)
		}
		return method != ""
	})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	for range 5 {
		if _, err := b.GetLink(t.Context(), "t", "1"); !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Errorf("got %v", err)
		}
	}
	if p.Logins() != 2 {
		t.Errorf("%d log-ins, want 2", p.Logins())
	}
}

func TestACallThatAFilterForbidsIsNotTakenForARefusedSession(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	p.Before(func(w http.ResponseWriter, _ *http.Request, method string) bool {
		if method == "launchpad.add_comment" {
			http.Error(w, "Your text looks like an attack", http.StatusForbidden)
		}
		return method == "launchpad.add_comment"
	})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	_, err := b.AddComment(t.Context(), "t", bridge.NewComment{Bug: "1", Text: "<script>"})
	if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "HTTP 403 Forbidden") {
		t.Errorf("got %v, want TRACKER_BAD_ANSWER with HTTP 403", err)
	}
	if s := b.List()[0].Session; s != bridge.SessionLive {
		t.Errorf("session %s, want live: other calls work", s)
	}
}

func TestACallThatAFilterForbidsEachTimeCostsOneLogInAndNoMore(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	p.Before(func(w http.ResponseWriter, _ *http.Request, method string) bool {
		if method == "launchpad.add_comment" {
			http.Error(w, "Your text looks like an attack", http.StatusForbidden)
		}
		return method == "launchpad.add_comment"
	})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	forbidden := func() {
		t.Helper()
		_, err := b.AddComment(t.Context(), "t", bridge.NewComment{Bug: "1", Text: "<script>"})
		if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "HTTP 403 Forbidden") {
			t.Errorf("got %v, want TRACKER_BAD_ANSWER with HTTP 403", err)
		}
	}
	for range 5 {
		forbidden()
	}
	if p.Logins() != 2 {
		t.Errorf("%d log-ins, want 2: the first, and one in vain", p.Logins())
	}
	p.Expire()
	forbidden() // the session is over as well
	if p.Logins() != 3 {
		t.Errorf("%d log-ins after the session had expired, want 3", p.Logins())
	}
	forbidden()
	p.Expire()
	if _, err := b.GetLink(t.Context(), "t", "1"); err != nil || p.Count("launchpad.get_launchpad_bug") != 1 {
		t.Errorf("another call, with an expired session: %v, executed %d times", err, p.Count("launchpad.get_launchpad_bug"))
	}
	if s := b.List()[0].Session; s != bridge.SessionLive {
		t.Errorf("session %s, want live", s)
	}
}

func TestASessionThatIsOverIsSeenBehindAFaultWithStatus403(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	var refused atomic.Bool
	p.Before(func(w http.ResponseWriter, _ *http.Request, method string) bool {
		if method == "" || refused.Swap(true) {
			return false
		}
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(xmlrpc.AppendFault(nil, 403, "XML_RPC privileges are required"))
		return true
	})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	if _, err := b.GetLink(t.Context(), "t", "1"); err != nil || p.Logins() != 2 {
		t.Errorf("%v after %d log-ins, want an answer after 2", err, p.Logins())
	}
}

func TestAReadIsRepeatedWhenTheKeptConnectionWasClosed(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	var aborted atomic.Bool
	if _, err := b.GetLink(t.Context(), "t", "1"); err != nil {
		t.Fatal(err)
	}
	p.After(func(string) bool { return aborted.Swap(true) }) // breaks once
	if _, err := b.GetLink(t.Context(), "t", "1"); err != nil {
		t.Errorf("a read: %v", err)
	}
	aborted.Store(false)
	if _, err := b.AddComment(t.Context(), "t", bridge.NewComment{Bug: "1", Text: "x"}); !apierror.Is(err, apierror.OutcomeUnknown) {
		t.Errorf("a write: %v, want OUTCOME_UNKNOWN", err)
	}
	if n := len(p.Ticket(1).Comments); n != 1 || p.Count("launchpad.add_comment") != 1 {
		t.Errorf("%d comments after %d calls", n, p.Count("launchpad.add_comment"))
	}
}

func TestAWriteWithAnExpiredSessionIsMadeOnce(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	for i := range 3 {
		if id, err := b.AddComment(t.Context(), "t", bridge.NewComment{Bug: "1", Text: "x"}); err != nil || id != fmt.Sprintf("1-%d", i+1) {
			t.Errorf("%q, %v", id, err)
		}
		p.Expire()
	}
	if n := p.Count("launchpad.add_comment"); n != 3 || p.Logins() != 3 {
		t.Errorf("%d calls, %d log-ins", n, p.Logins())
	}
}

func TestACallerThatGoesAwayEndsItsOwnCallAndNothingElse(t *testing.T) {
	p := tracpeer.New(t)
	p.Put(1, tracpeer.Ticket{Status: "new"})
	b := open(t, []bridge.Config{tracker("t", p.URL())}, newTokens())
	if err := b.Retry(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.Before(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	if _, err := b.GetLink(ctx, "t", "1"); err == nil {
		t.Error("no error")
	}
	if s := b.List()[0].Session; s != bridge.SessionLive {
		t.Errorf("session %s, want live: the tracker has done nothing wrong", s)
	}
}
