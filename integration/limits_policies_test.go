package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestLimitOfLiveTokensHoldsUntilTheyAreUsed(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		g := startGateway(t, with(args, "--set", "token.max_live=3")...)
		tokens := []string{mint(t, g), mint(t, g), mint(t, g)}
		call(t, g, "bugs.newBugTrackerToken").wantFault(t, 403, "TOO_MANY_TOKENS", "Too many non-consumed tokens exist.", "3")
		present(t, g, tokens[0]).wantText(t, http.StatusOK, validatedBody)
		present(t, g, tokens[0]).wantText(t, http.StatusGone, invalidBody)
		g.await(t, func() bool { return minted(t, g) })
		call(t, g, "bugs.newBugTrackerToken").wantFault(t, 403, "TOO_MANY_TOKENS")
		// What an operator revokes is live no longer.
		if done := runGateway(t, tokens[1]+"\n", nil, "token", "revoke", "--data", g.Data); done.status != 0 {
			t.Fatal(done)
		}
		g.await(t, func() bool { return minted(t, g) })
	})
}

// minted tells whether a token can be minted.
func minted(t *testing.T, g *gatewayProcess) bool {
	t.Helper()
	answer := postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"))
	return answer.Status == http.StatusOK && !strings.Contains(answer.Body, "<fault>")
}

func TestLimitOfLiveTokensIsSharedByTheGatewaysOfARedis(t *testing.T) {
	t.Parallel()
	args := []string{"--set", "store.url=" + startRedis(t, redisOptions{}).URL, "--set", "token.max_live=4"}
	a, b := startGateway(t, args...), startGateway(t, args...)
	tokens := []string{mint(t, a), mint(t, b), mint(t, a), mint(t, b)}
	for _, g := range []*gatewayProcess{a, b} {
		g.await(t, func() bool { return !minted(t, g) })
	}
	for _, token := range tokens { // half of which the other minted
		present(t, b, token).wantText(t, http.StatusOK, validatedBody)
	}
	a.await(t, func() bool { return minted(t, a) })
}

func TestLimitOfTrackerCallsHoldsForMethodsAndTheProxy(t *testing.T) {
	t.Parallel()
	s := startScene(t, "--set", "limits.tracker_calls.rate=1/h", "--set", "limits.tracker_calls.burst=3", "--set", "limits.tracker_calls.per=address+tracker")
	g := s.gatewayProcess
	call(t, g, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	calls := make([]any, 3)
	for i := range calls {
		calls[i] = map[string]any{"methodName": "trackers.getBugs", "params": []any{"gnome", []int{1}}}
	}
	var results []any
	call(t, g, "system.multicall", calls).result(t, &results)
	made, refused := 0, 0
	for _, item := range results {
		switch item := item.(type) {
		case []any:
			made++
		case map[string]any:
			if item["faultCode"] == 429.0 {
				refused++
			}
		}
	}
	if made != 2 || refused != 1 {
		t.Errorf("%d calls of a multicall were made and %d refused, want 2 and 1: %v", made, refused, results)
	}
	for path, document := range map[string]string{
		"/RPC2":           rpcDocument("trackers.getBugs", "gnome", "<array><data><value><int>1</int></value></data></array>"),
		"/trackers":       rpcDocument("call", "gnome", "bugzilla.search"),
		"/trackers/gnome": rpcDocument("bugzilla.search"),
	} {
		answer := postXML(t, g, path, document)
		answer.wantRawFault(t, 429, "TOO_MANY_REQUESTS: ", "tracker_calls")
		wantThrottled(t, answer.Header, "tracker_calls")
	}
	call(t, g, "trackers.list").result(t, new([]any))
	call(t, g, "trackers.getBugs", "nobody", []int{1}).wantFault(t, 404, "RESOURCE_NOT_FOUND")
	mint(t, g)
}

func TestLimitOfLogInsHoldsForATracker(t *testing.T) {
	t.Parallel()
	s := startScene(t, "--set", "limits.login.rate=1/h", "--set", "limits.login.burst=1")
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	s.peer.Expire("purged")
	answer := call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1})
	answer.wantFault(t, 429, "TOO_MANY_REQUESTS", `"login"`)
	if answer.Headers["retry-after"] == "" {
		t.Errorf("no Retry-After among %v", answer.Headers)
	}
	if logins := len(s.peer.Stats().Callbacks); logins != 1 {
		t.Errorf("%d log-ins", logins)
	}
}

func TestLimitPerUserNarrowsThatOfTheAddress(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		config := writeConfig(t, "[limits.mint]\nrate = \"1/h\"\nburst = 5\n\n[[limits.also]]\nname = \"mint_user\"\non = \"mint\"\nper = \"user\"\nrate = \"1/h\"\nburst = 2\n")
		g := startGateway(t, with(args, "--config", config)...)
		as := func(user string) httpAnswer {
			var more []string
			if user != "" {
				more = []string{"--user", user + ":x"}
			}
			return postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"), more...)
		}
		for range 2 {
			as("joe").wantMinted(t, "joe")
		}
		answer := as("joe")
		answer.wantRawFault(t, 429, "TOO_MANY_REQUESTS: ", "mint_user")
		wantThrottled(t, answer.Header, "mint_user")
		as("jane").wantMinted(t, "jane")
		answer = as("")
		answer.wantMinted(t, "nobody in particular")
		if got := answer.Header.Get("RateLimit-Policy"); got != `"mint";q=5;w=18000` {
			t.Errorf("RateLimit-Policy %s", got)
		}
		as("jim").wantMinted(t, "jim")
		answer = as("jack") // whoever names another user has no more of the address for it
		answer.wantRawFault(t, 429, "TOO_MANY_REQUESTS: ", `"mint"`)
	})
}

func TestLimitThatIsNotEnforcedCountsAndLogs(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(slow("handshake", 1), "--set", "limits.handshake.enforce=false")...)
	for range 4 {
		answer := present(t, g, "nonsense")
		answer.wantText(t, http.StatusGone, invalidBody)
		if limit := answer.Header.Get("RateLimit"); limit != "" {
			t.Errorf("RateLimit %q tells of a limit that is not enforced", limit)
		}
	}
	if n := metric(t, scrape(t, g), `trackgate_throttle_decisions_total{outcome="unenforced",policy="handshake"}`); n != 3 {
		t.Errorf("%v refusals were counted, want 3", n)
	}
	g.Stop()
	if n := strings.Count(g.Output(), "a limit that is not enforced would have refused a request"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
}

func TestLimitSparesExemptNetworks(t *testing.T) {
	t.Parallel()
	g := startGateway(t, with(slow("handshake", 1), "--set", "limits.exempt=192.0.2.0/24", "--set", "public.trusted_proxies=127.0.0.1")...)
	for range 3 {
		present(t, g, "nonsense", "--header", "X-Forwarded-For: 192.0.2.7").wantText(t, http.StatusGone, invalidBody)
	}
	present(t, g, "nonsense", "--header", "X-Forwarded-For: 192.0.3.7").wantText(t, http.StatusGone, invalidBody)
	if answer := present(t, g, "nonsense", "--header", "X-Forwarded-For: 192.0.3.7"); answer.Status != http.StatusTooManyRequests {
		t.Errorf("somebody else: %s", answer)
	}
}

func TestLimitsAreShownAndReset(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		counted := "local"
		if len(args) > 0 {
			counted = "redis"
		}
		config := writeConfig(t, "", trackerEntry{name: "gnome", url: "http://127.0.0.1:1/", lines: "allow_private = true\n"})
		g := startGateway(t, with(with(args, slow("mint", 3)...), "--config", config)...)
		for range 3 {
			mint(t, g)
		}
		limits := func(args ...string) finished {
			return runGateway(t, "", nil, append(append([]string{"limits"}, args...), "--data", g.Data)...)
		}
		var info struct {
			Counted    string `json:"counted"`
			LiveTokens int    `json:"live_tokens"`
			Policies   []struct {
				Name   string `json:"name"`
				Bucket *struct {
					Key              string `json:"key"`
					Limit, Remaining int
					ResetSeconds     float64 `json:"reset_seconds"`
				} `json:"bucket"`
			} `json:"policies"`
		}
		shown := limits("show", "127.0.0.1", "--json")
		if err := json.Unmarshal([]byte(shown.stdout), &info); err != nil || shown.status != 0 {
			t.Fatalf("%+v, %v", shown, err)
		}
		if len(info.Policies) != 7 || info.Counted != counted || info.LiveTokens != 3 {
			t.Fatalf("%+v", info)
		}
		if b := info.Policies[0].Bucket; info.Policies[0].Name != "mint" || b == nil || b.Key != "127.0.0.1" || b.Limit != 3 || b.Remaining != 0 || b.ResetSeconds < 10700 || b.ResetSeconds > 10800 {
			t.Errorf("%+v", info.Policies[0])
		}
		if table := limits("show", "127.0.0.1").stdout; !regexp.MustCompile(`(?m)^mint +127\.0\.0\.1 +0 +3 +2h59m\S+ +yes$`).MatchString(table) || !strings.Contains(table, "Counted in: "+counted) {
			t.Errorf("the table is\n%s", table)
		}
		if table := limits("show").stdout; !regexp.MustCompile(`(?m)^mint +mint +address +1/h +3 +1 +yes$`).MatchString(table) || !regexp.MustCompile(`(?m)^login +login +tracker `).MatchString(table) {
			t.Errorf("the table is\n%s", table)
		}
		if done := limits("show", "gnome"); done.status != 0 || !strings.Contains(done.stdout, "tracker=gnome") {
			t.Errorf("%+v", done)
		}
		call(t, g, "bugs.newBugTrackerToken").wantFault(t, 429, "TOO_MANY_REQUESTS")
		if done := limits("reset", "127.0.0.1"); done.status != 0 || !regexp.MustCompile(`(?m)^mint +127\.0\.0\.1 +3 +3 +0s +yes$`).MatchString(done.stdout) {
			t.Errorf("%+v", done)
		}
		mint(t, g)
		limits("show", "nobody").wantOneLine(t, "A key is an address, USER@ADDRESS")
		if done := limits("reset"); done.status != 2 {
			t.Errorf("%+v", done)
		}
		g.Stop()
		limits("show").wantOneLine(t, "no gateway runs on this data directory")
	})
}

func TestRedisThatIsLateAtStartIsSaidAndServesOnceItIsThere(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := startGateway(t, with(slow("handshake", 50), "--set", fmt.Sprintf("store.url=redis://127.0.0.1:%d", port), "--set", "limits.replicas=2")...)
	g.await(t, func() bool { return strings.Contains(g.Output(), "Redis does not answer") })
	// The throttle holds from the first callback on, and finds out that it is alone.
	g.await(t, func() bool {
		present(t, g, "nonsense")
		return metric(t, scrape(t, g), "trackgate_throttle_shared") == 0
	})
	if answer := present(t, g, "nonsense"); !strings.Contains(answer.Header.Get("RateLimit-Policy")+answer.String(), `"handshake";q=25`) {
		t.Errorf("its part of the policy: %s", answer)
	}
	if answer := curl(t, "http://"+g.Admin+"/readyz"); answer.Status != http.StatusServiceUnavailable || !strings.Contains(answer.Body, `"throttle":"local"`) {
		t.Errorf("readyz: %s", answer)
	}
	startRedis(t, redisOptions{port: port})
	g.await(t, func() bool {
		answer := curl(t, "http://"+g.Admin+"/readyz")
		return answer.Status == http.StatusOK && strings.Contains(answer.Body, `"throttle":"redis"`) && strings.Contains(answer.Body, `"redis_clock_skew_seconds":`)
	})
	present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
	g.await(t, func() bool { return strings.Contains(g.Output(), "Redis answers now") })
	for _, line := range []string{"limits are counted in this process", "limits are counted in Redis again"} {
		if n := strings.Count(g.Output(), line); n != 1 {
			t.Errorf("%q is in the log %d times", line, n)
		}
	}
}

// timeAnswer is what Redis answers to TIME.
var timeAnswer = regexp.MustCompile(`\*2\r\n\$10\r\n(\d{10})\r\n\$(\d)\r\n`)

// startClockShift stands before a Redis and puts its clock ahead.
func startClockShift(t *testing.T, target string, seconds int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		out, err := net.Dial("tcp", target)
		if err != nil {
			return // the gateway sees its connection end
		}
		defer out.Close()
		go func() { _, _ = io.Copy(out, c) }()
		buf := make([]byte, 64<<10)
		for {
			n, err := out.Read(buf)
			if err != nil {
				return
			}
			shifted := timeAnswer.ReplaceAllFunc(buf[:n], func(answer []byte) []byte {
				parts := timeAnswer.FindSubmatch(answer)
				at, _ := strconv.ParseInt(string(parts[1]), 10, 64)
				return fmt.Appendf(nil, "*2\r\n$10\r\n%d\r\n$%s\r\n", at+seconds, parts[2])
			})
			if _, err := c.Write(shifted); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			go serve(c)
		}
	}()
	return ln.Addr().String()
}

func TestRedisWhoseClockIsOffIsReported(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	for ahead, told := range map[int64]bool{0: false, 5: true, -5: true} {
		g := startGateway(t, "--set", "store.url=redis://"+startClockShift(t, redis.Addr, ahead))
		var skew float64
		g.await(t, func() bool {
			var state struct {
				Skew *float64 `json:"redis_clock_skew_seconds"`
			}
			answer := curl(t, "http://"+g.Admin+"/readyz")
			if err := json.Unmarshal([]byte(answer.Body), &state); err != nil || state.Skew == nil {
				return false
			}
			skew = *state.Skew
			return true
		})
		if gauge := metric(t, scrape(t, g), "trackgate_redis_clock_skew_seconds"); gauge != skew || skew < float64(ahead)-1 || skew > float64(ahead)+1 {
			t.Errorf("%d s ahead: %v in readyz, %v in metrics", ahead, skew, gauge)
		}
		g.Stop()
		if strings.Contains(g.Output(), "differ by more than a second") != told {
			t.Errorf("%d s ahead: the log says\n%s", ahead, g.Output())
		}
	}
}
