package integration

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestTracPeerMisbehavesAtLogIn(t *testing.T) {
	peer, authority, visitor := startLoggedInPeer(t)

	peer.Misbehave(misbehaviour{On: "login", Kind: "refuse", Times: 1})
	if status := visitor.logIn(t, "goodRefused"); status != http.StatusUnauthorized {
		t.Errorf("a refused log-in answered %d", status)
	}
	if asked := authority.Requests(); len(asked) != 0 {
		t.Errorf("a refused log-in asked %v", asked)
	}

	peer.Misbehave(misbehaviour{On: "login", Kind: "no_cookie", Times: 1})
	visitor.cookie = ""
	if status := visitor.logIn(t, "goodNoCookie"); status != http.StatusOK || visitor.cookie != "" {
		t.Errorf("a log-in without cookie answered %d and the cookie %q", status, visitor.cookie)
	}

	peer.Misbehave(misbehaviour{On: "login", Kind: "html200", Times: 1})
	if status := visitor.logIn(t, "check"); status != http.StatusOK || visitor.cookie != "" {
		t.Errorf("an installation that answers 200 to everything answered %d and the cookie %q", status, visitor.cookie)
	}
}

func TestTracPeerCallsBackInOtherWays(t *testing.T) {
	other := startTokenAuthority(t)
	tests := []struct {
		name, kind string
		with       map[string]any
		token      string
		status     int
		callbacks  []int // their statuses
		check      func(authorityRequest) bool
	}{
		{"twice", "twice", nil, "goodTwice", 200, []int{200, 410}, nil},
		{"under /tokens/", "tokens", nil, "goodTokens", 200, []int{200}, func(r authorityRequest) bool {
			return r.Path == "/tokens/goodTokens/+bugtracker-handshake"
		}},
		{"with a form", "form", nil, "goodForm", 200, []int{200}, func(r authorityRequest) bool {
			return r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" && r.Body == "from=trac"
		}},
		{"with a body of no type", "no_type", nil, "goodNoType", 200, []int{200}, func(r authorityRequest) bool {
			return r.Header.Get("Content-Type") == "" && r.Body == "from=trac"
		}},
		{"with GET", "get", nil, "goodGet", 401, []int{405}, func(r authorityRequest) bool {
			return r.Method == http.MethodGet
		}},
		{"not at all", "skip", nil, "badToken", 200, nil, nil},
		{"late", "late", map[string]any{"seconds": 0}, "goodLate", 200, []int{200}, nil},
		{"under another root", "other_root", map[string]any{"root": other.URL + "/for/kde"}, "goodOther", 401, []int{404}, nil},
	}
	peer, authority, visitor := startLoggedInPeer(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(peer.Stats().Callbacks)
			peer.Misbehave(misbehaviour{On: "callback", Kind: test.kind, Times: 1, With: test.with})
			if status := visitor.logIn(t, test.token); status != test.status {
				t.Errorf("the log-in answered %d, want %d", status, test.status)
			}
			callbacks := peer.Stats().Callbacks[before:]
			if len(callbacks) != len(test.callbacks) {
				t.Fatalf("%d callbacks, want %d: %v", len(callbacks), len(test.callbacks), callbacks)
			}
			for i, callback := range callbacks {
				if callback.Status != test.callbacks[i] {
					t.Errorf("callback %d was answered %d, want %d", i+1, callback.Status, test.callbacks[i])
				}
			}
			for _, request := range authority.Requests() {
				if test.check != nil && !test.check(request) {
					t.Errorf("callback %v", request)
				}
			}
		})
	}
	if asked := other.Requests(); len(asked) != 1 || asked[0].Path != "/for/kde/token/goodOther/+bugtracker-handshake" {
		t.Errorf("the other root was asked %v", asked)
	}
}

func TestTracPeerCallsBackAfterTheGatewayGaveUp(t *testing.T) {
	peer, authority, visitor := startLoggedInPeer(t)
	peer.Misbehave(misbehaviour{On: "callback", Kind: "late", Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peer.URL+"/launchpad-auth/goodLate", nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		response, err := visitor.client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		failed <- err
	}()
	peer.Await("held", 1)
	if asked := authority.Requests(); len(asked) != 0 {
		t.Errorf("the callback was not late: %v", asked)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the log-in ended with %v", err)
	}
	peer.Await("callbacks", 2) // The first one was that of the log-in before.
}

func TestTracPeerKeepsTheGatewayWaitingInTheCallback(t *testing.T) {
	peer, authority, visitor := startLoggedInPeer(t)
	peer.Misbehave(misbehaviour{On: "callback", Kind: "stall", Times: 1})
	status := make(chan int)
	go func() {
		response, err := visitor.client.Get(peer.URL + "/launchpad-auth/goodStalled")
		if err != nil {
			status <- 0
			return
		}
		response.Body.Close()
		status <- response.StatusCode
	}()
	peer.Await("held", 1)
	peer.Reset()
	if got := <-status; got != http.StatusUnauthorized {
		t.Errorf("the log-in answered %d", got)
	}
	if asked := authority.Requests(); len(asked) != 0 {
		t.Errorf("half a request reached the authority as %v", asked)
	}
}

func TestTracPeerCanHandItsTokenToAnotherTracker(t *testing.T) {
	authority := startTokenAuthority(t)
	honest := startTracPeer(t, tracPeerOptions{CallbackRoot: authority.URL, Base: "/trac/gnome"})
	thief := startTracPeer(t, tracPeerOptions{CallbackRoot: authority.URL})
	thief.Misbehave(misbehaviour{On: "callback", Kind: "hand_on", With: map[string]any{"tracker": honest.URL}})
	visitor := newTracVisitor(thief)
	if status := visitor.logIn(t, "goodStolen"); status != http.StatusOK {
		t.Errorf("the thief answered %d", status)
	}
	handed := thief.Stats().HandedOn
	if len(handed) != 1 || handed[0].Status != http.StatusOK || !strings.Contains(strings.Join(handed[0].Cookies, " "), "trac_auth") {
		t.Errorf("the token was handed on with the outcome %v", handed)
	}
	if accepted := honest.Stats().Accepted; accepted != 1 {
		t.Errorf("the honest tracker accepted %d log-ins, want that of the thief", accepted)
	}
}
