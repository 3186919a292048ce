package integration

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// slow gives one policy a burst and a rate at which nothing comes back during a
// test, and turns the others off.
func slow(policy string, burst int) []string {
	var args []string
	for _, name := range []string{"mint", "handshake", "handshake_failures"} {
		if name == policy {
			args = append(args, "--set", "limits."+name+".rate=1/h", "--set", fmt.Sprintf("limits.%s.burst=%d", name, burst))
		} else {
			args = append(args, "--set", "limits."+name+".rate=off")
		}
	}
	return args
}

// wantThrottled checks the headers of a throttled answer.
func wantThrottled(tb testing.TB, header http.Header, policy string) {
	tb.Helper()
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 3630 { // an hour and the jitter
		tb.Errorf("Retry-After is %q", header.Get("Retry-After"))
	}
	if limit := strings.Join(header.Values("RateLimit"), ", "); !strings.Contains(limit, `"`+policy+`";r=0;t=`) {
		tb.Errorf("RateLimit is %q", limit)
	}
	if limit := strings.Join(header.Values("RateLimit-Policy"), ", "); !strings.Contains(limit, `"`+policy+`";q=`) {
		tb.Errorf("RateLimit-Policy is %q", limit)
	}
}

// onBothLimiters runs a test with limits counted in the process and in Redis.
func onBothLimiters(t *testing.T, test func(t *testing.T, args []string)) {
	t.Parallel()
	t.Run("in the process", func(t *testing.T) {
		t.Parallel()
		test(t, nil)
	})
	t.Run("in Redis", func(t *testing.T) {
		t.Parallel()
		test(t, []string{"--set", "store.url=" + startRedis(t, redisOptions{}).URL})
	})
}

func TestMintingIsThrottledWithAFaultUnderStatus200(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		g := startGateway(t, with(args, slow("mint", 4)...)...)
		for range 4 {
			mint(t, g)
		}
		answer := call(t, g, "bugs.newBugTrackerToken")
		answer.wantFault(t, 429, "TOO_MANY_REQUESTS", "Too many requests.")
		if answer.Headers["retry-after"] == "" {
			t.Errorf("the fault has no Retry-After but %v", answer.Headers)
		}
		raw := postXML(t, g, "/bugs", rpcDocument("newBugTrackerToken"))
		raw.wantRawFault(t, 429, "TOO_MANY_REQUESTS: ")
		wantThrottled(t, raw.Header, "mint")
		// What is not minting goes on.
		call(t, g, "system.listMethods").result(t, new([]string))
		call(t, g, "trackers.list").result(t, new([]any))
		text := scrape(t, g)
		if allowed, refused := metric(t, text, `trackgate_throttle_decisions_total{outcome="allowed",policy="mint"}`),
			metric(t, text, `trackgate_throttle_decisions_total{outcome="refused",policy="mint"}`); allowed != 4 || refused != 2 {
			t.Errorf("%v allowed and %v refused were counted, want 4 and 2", allowed, refused)
		}
	})
}

func TestEachCallOfAMulticallIsThrottledByItself(t *testing.T) {
	t.Parallel()
	g := startGateway(t, slow("mint", 3)...)
	calls := make([]any, 5)
	for i := range calls {
		calls[i] = map[string]any{"methodName": "bugs.newBugTrackerToken", "params": []any{}}
	}
	answer := call(t, g, "system.multicall", calls)
	var results []any
	answer.result(t, &results)
	minted, refused := 0, 0
	for _, item := range results {
		switch item := item.(type) {
		case []any:
			minted++
		case map[string]any:
			if item["faultCode"] == 429.0 && strings.HasPrefix(fmt.Sprint(item["faultString"]), "TOO_MANY_REQUESTS: ") {
				refused++
			}
		}
	}
	if minted != 3 || refused != 2 {
		t.Errorf("%d minted and %d refused, want 3 and 2, in %v", minted, refused, results)
	}
	if answer.Headers["retry-after"] == "" {
		t.Errorf("no Retry-After among %v", answer.Headers)
	}
}

func TestAThrottledCallbackConsumesNothing(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		data := t.TempDir()
		g := startGatewayIn(t, data, with(args, slow("handshake", 2)...)...)
		present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
		present(t, g, "nonsense").wantText(t, http.StatusGone, invalidBody)
		token := mint(t, g)
		answer := present(t, g, token)
		answer.wantText(t, http.StatusTooManyRequests, "Too many requests. Please try again later.")
		wantThrottled(t, answer.Header, "handshake")
		answer = present(t, g, token, "--header", "Accept: application/json")
		if e := answer.wantCatalogueJSON(t, http.StatusTooManyRequests, "TOO_MANY_REQUESTS"); e.ErrorList[0].Code != "bad-request" {
			t.Errorf("error_list says %q", e.ErrorList[0].Code)
		}
		wantThrottled(t, answer.Header, "handshake")
		curl(t, "http://"+g.Public+callback("", token)).wantText(t, http.StatusMethodNotAllowed, methodBody)
		if status := g.Stop(); status != 0 {
			t.Fatalf("exit status %d", status)
		}
		g = startGatewayIn(t, data, with(args, unlimited...)...)
		present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	})
}

func TestAThrottledCallbackIsLetInWhenItsTimeHasCome(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		g := startGateway(t, with(args, "--set", "limits.handshake.rate=2/s", "--set", "limits.handshake.burst=1")...)
		token := mint(t, g)
		present(t, g, "check")
		answer := present(t, g, token)
		refused := false
		g.await(t, func() bool {
			if answer.Status == http.StatusTooManyRequests {
				refused = true
				answer = present(t, g, token)
				return false
			}
			return true
		})
		answer.wantText(t, http.StatusOK, validatedBody)
		if !refused {
			t.Log("the machine was too slow to be throttled")
		}
	})
}

func TestFailedHandshakesShutTheirCallerOutBeforeItsTokensAreLookedAt(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		data := t.TempDir()
		g := startGatewayIn(t, data, with(args, slow("handshake_failures", 3)...)...)
		for range 3 {
			present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
			present(t, g, "nonsense").wantText(t, http.StatusGone, invalidBody)
		}
		token := mint(t, g)
		answer := present(t, g, token)
		answer.wantText(t, http.StatusTooManyRequests, "Too many requests. Please try again later.")
		wantThrottled(t, answer.Header, "handshake_failures")
		present(t, g, "nonsense").wantText(t, http.StatusTooManyRequests, "Too many requests. Please try again later.")
		g.Stop()
		g = startGatewayIn(t, data, with(args, unlimited...)...)
		present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	})
}

// TestACallerIsThePeerOrWhomATrustedProxyNames gives each caller one callback.
func TestACallerIsThePeerOrWhomATrustedProxyNames(t *testing.T) {
	onBothLimiters(t, func(t *testing.T, args []string) {
		for _, test := range []struct {
			name    string
			trusted string
			steps   []struct {
				forwarded string
				status    int
			}
		}{
			{"no proxy is trusted", "", []struct {
				forwarded string
				status    int
			}{{"192.0.2.1", 410}, {"192.0.2.2", 429}, {"", 429}}},
			{"the peer is a trusted proxy", "127.0.0.0/8,10.0.0.0/8", []struct {
				forwarded string
				status    int
			}{
				{"192.0.2.1", 410}, {"192.0.2.1", 429}, {"192.0.2.2", 410},
				{"192.0.2.9, 192.0.2.1", 429},    // the rightmost is who came to the proxy
				{"192.0.2.1, 198.51.100.1", 410}, // and what stands before it is hearsay
				{"198.51.100.1, 10.1.2.3", 429},  // a trusted one is passed over
				{"2001:db8:1:2::1", 410},         //
				{"2001:db8:1:2:ffff::9", 429},    // the same /64
				{"2001:db8:1:3::1", 410},         // another
				{"::ffff:192.0.2.2", 429},        // an IPv4 address in IPv6 clothes
				{"", 410},                        // the proxy itself
			}},
			{"another proxy is trusted", "10.0.0.0/8", []struct {
				forwarded string
				status    int
			}{{"192.0.2.1", 410}, {"192.0.2.2", 429}}},
		} {
			t.Run(test.name, func(t *testing.T) {
				all := with(args, slow("handshake", 1)...)
				if test.trusted != "" {
					all = append(all, "--set", "public.trusted_proxies="+test.trusted)
				}
				if len(args) > 0 {
					// A Redis of its own: the callers are the same in every case.
					all = append(all, "--set", "store.url="+startRedis(t, redisOptions{}).URL)
				}
				g := startGateway(t, all...)
				for i, step := range test.steps {
					var header []string
					if step.forwarded != "" {
						header = []string{"--header", "X-Forwarded-For: " + step.forwarded}
					}
					if answer := present(t, g, "nonsense", header...); answer.Status != step.status {
						t.Errorf("step %d, from %q: %s, want %d", i+1, step.forwarded, answer, step.status)
					}
				}
			})
		}
	})
}
