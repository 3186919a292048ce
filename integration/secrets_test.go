package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// What passes between gateway and trackers that must not be seen elsewhere.
var (
	secretToken  = regexp.MustCompile(`/(?:tokens?|launchpad-auth)/([A-Za-z0-9]{20,})`)
	secretCookie = regexp.MustCompile(`trac_auth=([A-Za-z0-9]{8,})`)
)

// echoCookie is the session of the tracker that echoes.
const echoCookie = "c00c1ec00c1ec00c1ec00c1e"

// startEchoingTracker is a tracker that puts what it is given into its answers:
// refusals that quote the token, redirects and cookies made of it, faults that
// quote the cookie.
func startEchoingTracker(t *testing.T) string {
	t.Helper()
	logins := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/xmlrpc") {
			cookie := r.Header.Get("Cookie")
			fmt.Fprintf(w, `<?xml version="1.0"?><methodResponse><fault><value><struct><member><name>faultCode</name><value><int>7</int></value></member>`+
				`<member><name>faultString</name><value><string>Not for %s, %s</string></value></member></struct></value></fault></methodResponse>`, cookie, echoCookie)
			return
		}
		logins++
		token := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		w.Header().Set("X-Token", token)
		switch logins {
		case 1:
			http.Error(w, "Who is "+token+"?", http.StatusInternalServerError)
		case 2:
			http.Redirect(w, r, "http://elsewhere.example/"+token, http.StatusFound)
		case 3:
			http.Redirect(w, r, "http://user:"+token+"@127.0.0.1:1/%zz", http.StatusFound)
		case 4:
			http.Error(w, "Not "+token, http.StatusUnauthorized)
		default:
			http.SetCookie(w, &http.Cookie{Name: "trac_auth", Value: echoCookie})
			_, _ = io.WriteString(w, token)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestNoTokenAndNoCookieIsEverSeen lets everything happen that can happen to
// tokens, at a gateway that logs all it can, and then looks for each of them in
// all that the gateway said to anyone who need not know it.
func TestNoTokenAndNoCookieIsEverSeen(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	callbacks, tracker := startRelay(t), startRelay(t) // both keep what goes through
	peer := startTracPeer(t, tracPeerOptions{CallbackRoot: callbacks.URL + "/for/gnome"})
	tracker.To(tracHost(t, peer.URL))
	gnome := trackerEntry{"gnome", tracker.URL + "/lp", "allow_private = true\ncallback = \"own\"\n"}
	echoing := trackerEntry{"echo", startEchoingTracker(t), "allow_private = true\n"}
	g := startGateway(t, "--set", "log.level=debug", "--set", "store.url="+redis.URL, "--set", "bridge.call_timeout=2s",
		"--set", "limits.handshake_failures.rate=off", "--set", "limits.handshake.rate=1/h", "--set", "limits.handshake.burst=40",
		"--set", "public.url="+callbacks.URL, "--config", writeConfig(t, "", gnome, echoing))
	callbacks.To(g.Public)

	var said strings.Builder // all but what hands a token to whom it belongs
	hear := func(answers ...any) {
		for _, answer := range answers {
			fmt.Fprintln(&said, answer)
		}
	}
	secrets := map[string]bool{echoCookie: true}
	newToken := func(tracker ...string) string {
		token := mint(t, g, tracker...)
		secrets[token] = true
		return token
	}

	// At the callback.
	good, bound := newToken(), newToken("gnome")
	public := "http://" + g.Public
	hear(present(t, g, good), present(t, g, good), present(t, g, good, "--header", "Accept: application/json"), present(t, g, bound))
	for _, path := range []string{
		callback("", good) + "/more", "/token/" + good, "/token/" + good + "/+index", callback("/for/nobody", good), callback("", good+"x"), callback("", good+"%2F.."),
		callback("", "%"+good), "/" + good, callback("", good) + "?token=" + good,
	} {
		for _, method := range []string{"GET", "POST"} {
			hear(curl(t, "--request", method, "--header", "Referer: "+public+callback("", good), public+path))
		}
	}
	hear(curl(t, "--header", "X-Padding: "+strings.Repeat(good, 1000), public+callback("", good)))
	hear(curl(t, "--header", "Origin: http://"+good+".example", "http://"+g.Private+"/token/"+good), curl(t, "http://"+g.Admin+callback("", good)))
	hear(call(t, g, "trackers.list", good), call(t, g, "bugs.newBugTrackerToken", good), postXML(t, g, "/RPC2", "<"+good))

	// At the trackers.
	read := func(name string) { hear(call(t, g, "trackers.getBugs", name, []int{1})) }
	read("gnome")
	for _, rule := range []misbehaviour{
		{On: "login", Kind: "slow"}, {On: "login", Kind: "reset"}, {On: "login", Kind: "garbage"}, {On: "login", Kind: "html500"}, {On: "login", Kind: "refuse"},
		{On: "login", Kind: "endless"}, {On: "login", Kind: "redirect", With: map[string]any{"to": "http://127.0.0.1:1/"}},
		{On: "callback", Kind: "skip"}, {On: "callback", Kind: "get"}, {On: "callback", Kind: "twice"}, {On: "callback", Kind: "late"},
		{On: "xmlrpc", Kind: "slow"}, {On: "xmlrpc", Kind: "reset"}, {On: "xmlrpc", Kind: "garbage"}, {On: "xmlrpc", Kind: "refuse"}, {On: "xmlrpc", Kind: "html200"},
	} {
		peer.Expire("purged")
		peer.Misbehave(rule)
		read("gnome")
		peer.Reset()
		hear(call(t, g, "trackers.retry", "gnome"))
	}
	for range 6 {
		hear(call(t, g, "trackers.retry", "echo"))
		read("echo")
	}

	// By operators, and when the limit is met, and when nothing works any more.
	shown := runGateway(t, good+"\n", nil, "token", "show", "--data", g.Data)
	revoked := runGateway(t, bound+"\n", nil, "token", "revoke", "--data", g.Data)
	asArgument := runGateway(t, "", nil, "token", "revoke", "--data", g.Data, good)
	hear(shown, revoked, asArgument)
	last := newToken()
	throttled := false
	g.await(t, func() bool {
		answer := present(t, g, good)
		hear(answer)
		throttled = answer.Status == http.StatusTooManyRequests
		return throttled
	})
	text := scrape(t, g)
	redis.Kill()
	hear(present(t, g, last), call(t, g, "bugs.newBugTrackerToken"), runGateway(t, last+"\n", nil, "token", "show", "--data", g.Data))
	peer.Shutdown()
	read("gnome")
	hear(text, scrape(t, g), curl(t, "http://"+g.Admin+"/readyz"))
	g.Stop()
	hear(g.Output())

	passed := callbacks.Passed() + tracker.Passed()
	for _, pattern := range []*regexp.Regexp{secretToken, secretCookie} {
		found := pattern.FindAllStringSubmatch(passed, -1)
		if len(found) < 3 {
			t.Errorf("only %d secrets passed between gateway and tracker", len(found))
		}
		for _, match := range found {
			secrets[match[1]] = true
		}
	}
	output := said.String()
	for secret := range secrets {
		if at := strings.Index(output, secret); at >= 0 {
			t.Errorf("a secret was seen in …%s…", output[max(0, at-300):min(len(output), at+len(secret)+100)])
		}
	}
	wantMetrics(t, text)
}

// wantMetrics checks that what happened was counted.
func wantMetrics(t *testing.T, text string) {
	t.Helper()
	for _, series := range []string{
		`trackgate_tokens_minted_total`, `trackgate_tokens_consumed_total`, `trackgate_tokens_revoked_total`,
		`trackgate_tokens_refused_total{reason="used"}`, `trackgate_tokens_refused_total{reason="malformed"}`,
		`trackgate_tokens_refused_total{reason="method_not_allowed"}`, `trackgate_tokens_refused_total{reason="not_admitted"}`,
		`trackgate_tokens_refused_total{reason="wrong_tracker"}`, `trackgate_tokens_refused_total{reason="unknown_root"}`,
		`trackgate_throttle_decisions_total{outcome="allowed",policy="handshake"}`, `trackgate_throttle_decisions_total{outcome="refused",policy="handshake"}`,
		`trackgate_throttle_decisions_total{outcome="allowed",policy="mint"}`, `trackgate_throttle_shared`,
		`trackgate_tracker_logins_total{outcome="ok",tracker="gnome"}`, `trackgate_tracker_logins_total{outcome="timeout",tracker="gnome"}`,
		`trackgate_tracker_logins_total{outcome="login_failed",tracker="gnome"}`, `trackgate_tracker_calls_total{outcome="fault",tracker="echo"}`,
		`trackgate_tracker_calls_total{outcome="ok",tracker="gnome"}`, `trackgate_tracker_calls_total{outcome="timeout",tracker="gnome"}`,
		`trackgate_request_seconds_count{listener="public",route="handshake",status="200"}`,
		`trackgate_request_seconds_count{listener="public",route="handshake",status="429"}`,
		`trackgate_request_seconds_count{listener="private",route="/RPC2",status="200"}`,
	} {
		if metric(t, text, series) == 0 {
			t.Errorf("%s is 0", series)
		}
	}
}

// TestATrackerCannotWriteIntoTheLog has a tracker send more than its answer: the
// token that it was given, which net/http would report where the log goes.
func TestATrackerCannotWriteIntoTheLog(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tokens := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		head := make([]byte, 4096)
		n, err := c.Read(head)
		match := secretToken.FindSubmatch(head[:n])
		if err != nil || match == nil {
			close(tokens)
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\nthe token was %s\r\n", match[1])
		tokens <- string(match[1])
		_, _ = io.Copy(io.Discard, c) // until the gateway hangs up
	}()
	g := startGateway(t, "--config", writeConfig(t, "", trackerEntry{"gnome", "http://" + ln.Addr().String(), "allow_private = true\n"}))
	call(t, g, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2005, "TRACKER_LOGIN_FAILED")
	token := <-tokens
	g.Stop()
	if token == "" || strings.Contains(g.Output(), token) {
		t.Errorf("the token %q is in the log:\n%s", token, g.Output())
	}
}

// TestWhatStandsInThePlaceOfATrackersNameIsNotLogged presents a token under a
// root that is no tracker's name but the caller's own choice.
func TestWhatStandsInThePlaceOfATrackersNameIsNotLogged(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "log.level=debug")
	token := mint(t, g)
	curl(t, "--request", "POST", "http://"+g.Public+callback("/for/"+token, token)).wantText(t, http.StatusGone, invalidBody)
	g.Stop()
	if strings.Contains(g.Output(), token) {
		t.Errorf("the token %s is in the log", token)
	}
}

func TestEveryLogLineIsStructuredAndNamesATokenByItsFingerprint(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "log.format=json", "--set", "log.level=debug")
	token := mint(t, g)
	present(t, g, token)
	present(t, g, token)
	curl(t, "http://"+g.Public+callback("", token))
	fingerprint := fingerprintText.FindString(runGateway(t, token, nil, "token", "show", "--data", g.Data).stdout)
	g.Stop()
	lines := 0
	for line := range strings.Lines(g.Output()) {
		if strings.HasPrefix(line, "{") {
			lines++
		}
	}
	if events := strings.Count(g.Output(), `"token":"`+fingerprint+`"`); events < 4 {
		t.Errorf("%d of %d log lines name the token %s, want minted, consumed, refused and refused:\n%s", events, lines, fingerprint, g.Output())
	}
}
