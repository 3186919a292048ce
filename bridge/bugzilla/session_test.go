package bugzilla_test

import (
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/bugzilla"
)

const (
	staleText  = "The cookies or token provide were not valid or have expired. You may login again to get new cookies or a new token."
	lockedText = "Your IP (127.0.0.1) has been locked out of this account until 2026-11-21 20:15 UTC, as you have exceeded the maximum number of login attempts."
)

func comment(b *bridge.Bridge, t *testing.T) (string, error) {
	return b.AddComment(t.Context(), "bz", bridge.NewComment{Bug: "10", Text: "hello"})
}

func TestATokenOfALoginGoesWithTheParametersAndNotAsCookies(t *testing.T) {
	r, b := native(t, account)
	r.answer("Bug.add_comment", "bugzilla/078-bug.add_comment-ok")
	if id, err := comment(b, t); err != nil || id != "117" {
		t.Fatalf("%q, %v", id, err)
	}
	sent := r.calls("Bug.add_comment")[0]
	if sent.params["Bugzilla_token"] != "2-FAKETOKE00" || sent.header.Get("Cookie") != "" {
		t.Errorf("token %v, cookies %q: stale cookies beat a good token, so there must be none", sent.params["Bugzilla_token"], sent.header.Get("Cookie"))
	}
}

func TestATokenWithoutADashIsNoSession(t *testing.T) {
	r := newReplayer(t).value("User.login", map[string]any{"id": 2, "token": "nodash"})
	_, err := comment(openAs(t, bugzilla.NativeName, r.url(), account), t)
	if !apierror.Is(err, apierror.TrackerBadAnswer) || strings.Contains(err.Error(), "nodash") {
		t.Errorf("%v, want TRACKER_BAD_ANSWER without the token: Bugzilla ignores it and would take us for anybody", err)
	}
}

func TestAVersionBeforeTokensIsLoggedInToByItsTwoCookies(t *testing.T) {
	s := newStandIn(t)
	s.on("User.login", func(map[string]any, *http.Request) any {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "Bugzilla_login_request_cookie=none; path=/")
			w.Header().Add("Set-Cookie", "Bugzilla_login=2; path=/")
			w.Header().Add("Set-Cookie", "Bugzilla_logincookie=secret99; path=/")
			_, _ = w.Write([]byte("<methodResponse><params><param><value><struct><member><name>id</name><value><int>2</int></value></member></struct></value></param></params></methodResponse>"))
		})
	})
	var cookies atomic.Value
	s.on("Bug.add_comment", func(_ map[string]any, r *http.Request) any {
		cookies.Store(r.Header.Get("Cookie"))
		return map[string]any{"id": 7}
	})
	if id, err := comment(openAs(t, bugzilla.NativeName, s.URL, account), t); err != nil || id != "7" {
		t.Fatalf("%q, %v", id, err)
	}
	if got := cookies.Load(); got != "Bugzilla_login=2; Bugzilla_logincookie=secret99" {
		t.Errorf("cookies %q: both login cookies, and no other", got)
	}
}

func TestTheLoginRequestCookieMeansNothing(t *testing.T) {
	s := newStandIn(t)
	s.on("Launchpad.login", func(map[string]any, *http.Request) any {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "Bugzilla_login_request_cookie=FAKEREQ000; path=/")
			w.Header().Add("Set-Cookie", "Bugzilla_logincookie=secret99; path=/")
			_, _ = w.Write([]byte("<methodResponse><params><param><value><struct/></value></param></params></methodResponse>"))
		})
	})
	_, err := comment(openAs(t, bugzilla.LaunchpadName, s.URL, bridge.Secrets{}), t)
	if !apierror.Is(err, apierror.TrackerBadAnswer) || !strings.Contains(err.Error(), "two cookies") {
		t.Errorf("%v, want TRACKER_BAD_ANSWER: one login cookie alone makes an anonymous call", err)
	}
}

func TestAnAPIKeyGoesWithTheParametersAndNotInAHeader(t *testing.T) {
	const key = "FAKEAPIKEY000000000000000000000000000001"
	r, b := native(t, bridge.Secrets{APIKey: key, User: "u", Password: "p"})
	r.answer("Bug.add_comment", "bugzilla/079-bug.add_comment-api-key-ok")
	if id, err := comment(b, t); err != nil || id != "118" {
		t.Fatalf("%q, %v", id, err)
	}
	sent := r.calls("Bug.add_comment")[0]
	if sent.params["Bugzilla_api_key"] != key || sent.header.Get("X-BUGZILLA-API-KEY") != "" || sent.header.Get("Authorization") != "" {
		t.Errorf("params %v, header %v", sent.params, sent.header)
	}
	if len(r.calls("User.login")) != 0 {
		t.Error("it logged in beside the key")
	}
}

func TestAWrongAPIKeyIsARefusedLogIn(t *testing.T) {
	r := newReplayer(t).answer("Bugzilla.time", "bugzilla/025-bug.get-api-key-wrong")
	b := openAs(t, bugzilla.NativeName, r.url(), bridge.Secrets{APIKey: "FAKEWRONG"})
	for range 3 {
		if _, err := comment(b, t); !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Errorf("%v, want TRACKER_LOGIN_FAILED", err)
		}
	}
	if n := len(r.calls("")); n != 1 {
		t.Errorf("%d calls, want 1: the others wait for the back-off", n)
	}
}

func TestAKeyThatIsRevokedMeanwhileIsARefusedLogIn(t *testing.T) {
	r := newReplayer(t).answer("Bugzilla.time", "bugzilla/004-bugzilla.time-ok", "bugzilla/026-bug.get-api-key-revoked").
		answer("Bug.add_comment", "bugzilla/079-bug.add_comment-api-key-ok", "bugzilla/026-bug.get-api-key-revoked")
	b := openAs(t, bugzilla.NativeName, r.url(), bridge.Secrets{APIKey: "FAKEREVOKED"})
	if _, err := comment(b, t); err != nil {
		t.Fatal(err)
	}
	if _, err := comment(b, t); !apierror.Is(err, apierror.TrackerLoginFailed) {
		t.Errorf("%v, want TRACKER_LOGIN_FAILED", err)
	}
}

func TestWithoutCredentialsItReadsAsAnybody(t *testing.T) {
	r, b := native(t, bridge.Secrets{})
	r.answer("Bug.get", "bugzilla/034-bug.get-anonymous-full").answer("Bug.add_comment", "bugzilla/077-bug.add_comment-login-required")
	got, err := b.GetBugs(t.Context(), "bz", []string{"1"}, bridge.LevelMetadata)
	if err != nil || len(got.Bugs) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := comment(b, t); !apierror.Is(err, apierror.TrackerLoginFailed) || !strings.Contains(err.Error(), "configured") {
		t.Errorf("%v, want TRACKER_LOGIN_FAILED that says what is missing", err)
	}
	if len(r.calls("User.login")) != 0 || len(r.calls("Bug.add_comment")) != 1 {
		t.Error("it logged in, or tried again, with nothing")
	}
}

func TestHalfOfTheCredentialsAreNotTried(t *testing.T) {
	r := newReplayer(t)
	_, err := comment(openAs(t, bugzilla.NativeName, r.url(), bridge.Secrets{User: "rene"}), t)
	if !apierror.Is(err, apierror.TrackerLoginFailed) || len(r.calls("")) != 0 {
		t.Errorf("%v after %d calls", err, len(r.calls("")))
	}
}

func TestARefusedPasswordIsTriedOnceAndStandsInNoError(t *testing.T) {
	for _, place := range []string{"010-user.login-bad-password", "011-user.login-unknown-user", "012-user.login-disabled-account", "178-user.login-locked-out"} {
		r := newReplayer(t).answer("User.login", "bugzilla/"+place)
		_, err := comment(openAs(t, bugzilla.NativeName, r.url(), account), t)
		if !apierror.Is(err, apierror.TrackerLoginFailed) || strings.Contains(err.Error(), account.Password) {
			t.Errorf("%s: %v, want TRACKER_LOGIN_FAILED", place, err)
		}
		if n := len(r.calls("User.login")); n != 1 {
			t.Errorf("%s: %d tries of the password, want 1", place, n)
		}
	}
}

func TestAPasswordIsNeverRefusedTheFifthTimeThatLocksTheAccount(t *testing.T) {
	now := time.Date(2026, 11, 21, 19, 0, 0, 0, time.UTC)
	r := newReplayer(t).answer("User.login", "bugzilla/010-user.login-bad-password")
	b := openAs(t, bugzilla.NativeName, r.url(), account, bridge.WithClock(func() time.Time { return now }))
	for range 10 {
		if err := b.Retry(t.Context(), "bz"); !apierror.Is(err, apierror.TrackerLoginFailed) {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	if n := len(r.calls("User.login")); n != 4 {
		t.Errorf("%d tries within ten minutes, want 4", n)
	}
	err := b.Retry(t.Context(), "bz")
	if !strings.Contains(err.Error(), "before 2026-11-21 19:30:00 UTC") {
		t.Errorf("%v does not tell until when", err)
	}
	now = now.Add(20 * time.Minute)
	_ = b.Retry(t.Context(), "bz")
	if n := len(r.calls("User.login")); n != 5 {
		t.Errorf("%d tries after half an hour, want 5", n)
	}
}

func TestARefusedTokenIsARefusedLogInWhateverTheCode(t *testing.T) {
	for _, place := range []string{"001-launchpad.login-not-configured", "002-launchpad.login-gateway-unreachable",
		"010-launchpad.login-same-token-again-refused", "064-launchpad.login-account-disabled", "006-launchpad.add_comment-before-login"} {
		r := newReplayer(t).answer("Launchpad.login", "bugzilla-launchpad/"+place)
		b := openAs(t, bugzilla.LaunchpadName, r.url(), bridge.Secrets{})
		_, err := comment(b, t)
		if !apierror.Is(err, apierror.TrackerLoginFailed) || b.List()[0].Session != bridge.SessionBackoff {
			t.Errorf("%s: %v, session %s", place, err, b.List()[0].Session)
		}
	}
}

func TestAPluginThatIsNotThereIsNoRefusal(t *testing.T) {
	for _, place := range []string{"bugzilla/115-fault-unknown-namespace", "bugzilla-launchpad/060-launchpad.no-such-method", "bugzilla-launchpad/026-launchpad.login-missing-token"} {
		r := newReplayer(t).answer("Launchpad.login", place)
		b := openAs(t, bugzilla.LaunchpadName, r.url(), bridge.Secrets{})
		if _, err := comment(b, t); !apierror.Is(err, apierror.TrackerBadAnswer) || b.List()[0].Session != bridge.SessionNone {
			t.Errorf("%s: %v, session %s", place, err, b.List()[0].Session)
		}
	}
}

func TestASessionThatEndedIsRenewedAndTheCallRepeatedOnce(t *testing.T) {
	for name, stale := range map[string]string{"a token that is over": "bugzilla/020-bug.get-invalid-token", "no session": "bugzilla/077-bug.add_comment-login-required"} {
		r, b := native(t, account)
		r.answer("User.login", "bugzilla/033-user.login-ok-again").answer("Bug.add_comment", stale, "bugzilla/078-bug.add_comment-ok")
		if id, err := comment(b, t); err != nil || id != "117" {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		var tokens []any
		for _, sent := range r.calls("Bug.add_comment") {
			tokens = append(tokens, sent.params["Bugzilla_token"])
		}
		if want := []any{"2-FAKETOKE00", "2-FAKETOKE02"}; !reflect.DeepEqual(tokens, want) {
			t.Errorf("%s: tokens %v, want %v", name, tokens, want)
		}
	}
	r, b := plugin(t)
	r.answer("Launchpad.login", "bugzilla-launchpad/069-launchpad.login-second-session").
		answer("Launchpad.add_comment", "bugzilla-launchpad/063-launchpad.add_comment-after-logout", "bugzilla-launchpad/030-launchpad.add_comment-ok-cookies")
	if id, err := comment(b, t); err != nil || id != "124" || len(r.calls("Launchpad.login")) != 2 {
		t.Errorf("plugin: %q, %v", id, err)
	}
}

func TestALockOutInTheMiddleIsNoReasonToLogIn(t *testing.T) {
	r, b := native(t, account)
	r.fault("Bug.add_comment", 32000, lockedText)
	if _, err := comment(b, t); !apierror.Is(err, apierror.TrackerFault) {
		t.Errorf("%v, want TRACKER_FAULT", err)
	}
	if n := len(r.calls("User.login")); n != 1 {
		t.Errorf("%d log-ins, want the first alone", n)
	}
}

func TestAHundredCallersWithAnExpiredSessionCauseOneHandshake(t *testing.T) {
	s := newStandIn(t)
	var generation atomic.Int32
	s.on("Launchpad.login", func(map[string]any, *http.Request) any {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Set-Cookie", "Bugzilla_login=3; path=/")
			w.Header().Add("Set-Cookie", "Bugzilla_logincookie=session"+string('0'+generation.Add(1))+"; path=/")
			_, _ = w.Write([]byte("<methodResponse><params><param><value><struct/></value></param></params></methodResponse>"))
		})
	})
	valid := "session1"
	var mu sync.Mutex
	s.on("Launchpad.add_comment", func(_ map[string]any, r *http.Request) any {
		mu.Lock()
		defer mu.Unlock()
		if c, err := r.Cookie("Bugzilla_logincookie"); err != nil || c.Value != valid {
			return fault(32000, staleText)
		}
		return map[string]any{"comment_id": 1}
	})
	b := openAs(t, bugzilla.LaunchpadName, s.URL, bridge.Secrets{})
	if _, err := comment(b, t); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	valid = "session2"
	mu.Unlock()
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if _, err := comment(b, t); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if n := s.count("Launchpad.login"); n != 2 {
		t.Errorf("%d handshakes, want 2: one at first and one for all", n)
	}
}
