package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// redisKeys lists the keys of a Redis that match a pattern, over a socket.
func redisKeys(tb testing.TB, addr, pattern string) []string {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startUpLimit)); err != nil {
		tb.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "*2\r\n$4\r\nKEYS\r\n$%d\r\n%s\r\n", len(pattern), pattern); err != nil {
		tb.Fatal(err)
	}
	r := bufio.NewReader(c)
	number := func(kind byte) int {
		line, err := r.ReadString('\n')
		if err != nil || line[0] != kind {
			tb.Fatalf("Redis answered %q, %v", line, err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
		if err != nil {
			tb.Fatal(err)
		}
		return n
	}
	keys := make([]string, number('*'))
	for i := range keys {
		text := make([]byte, number('$')+2)
		if _, err := io.ReadFull(r, text); err != nil {
			tb.Fatal(err)
		}
		keys[i] = string(text[:len(text)-2])
	}
	slices.Sort(keys)
	return keys
}

func TestTheThrottleCountsUnderTheKeysOfTheContract(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	g := startGateway(t, "--set", "store.url="+redis.URL, "--set", "public.trusted_proxies=127.0.0.1")
	token := mint(t, g)
	present(t, g, token, "--header", "X-Forwarded-For: 192.0.2.7")
	present(t, g, token, "--header", "X-Forwarded-For: 2001:db8:1:2:3::4")
	keys := redisKeys(t, redis.Addr, "*")
	for _, prefix := range []string{
		"trackgate:mint:127.0.0.1", "trackgate:handshake:192.0.2.7", "trackgate:handshake:2001:db8:1:2::", "trackgate:handshake_failures:2001:db8:1:2::",
	} {
		if !slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, prefix) }) {
			t.Errorf("no key begins with %s among %q", prefix, keys)
		}
	}
	for _, key := range keys {
		if strings.Contains(key, token) {
			t.Errorf("the key %q holds a token", key)
		}
	}
}

func TestWithoutRedisNothingIsMintedOrAcceptedUntilItIsBack(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	g := startGateway(t, "--set", "store.url="+redis.URL, "--set", "limits.handshake.rate=1/h", "--set", "limits.handshake.burst=4")
	token := mint(t, g)
	if text := scrape(t, g); metric(t, text, "trackgate_throttle_shared") != 1 {
		t.Error("trackgate_throttle_shared is not 1 while Redis is there")
	}
	redis.Kill()

	awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusServiceUnavailable)
	if answer := curl(t, "http://"+g.Admin+"/healthz"); answer.Status != http.StatusOK {
		t.Errorf("healthz: %s", answer)
	}
	answer := call(t, g, "bugs.newBugTrackerToken")
	answer.wantFault(t, 503, "STORE_UNAVAILABLE")
	if answer.Headers["retry-after"] == "" {
		t.Errorf("the fault has no Retry-After but %v", answer.Headers)
	}
	// The limit of the process: a burst of four, of which none was spent there.
	for i := range 4 {
		accept := "text/plain"
		if i%2 == 1 {
			accept = "application/json"
		}
		answer := present(t, g, token, "--header", "Accept: "+accept)
		if answer.Status != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
			t.Errorf("callback %d: %s", i+1, answer)
		}
		if i%2 == 1 {
			answer.wantCatalogueJSON(t, http.StatusServiceUnavailable, "STORE_UNAVAILABLE")
		}
	}
	if answer := present(t, g, token); answer.Status != http.StatusTooManyRequests {
		t.Errorf("the throttle opened when Redis went away: %s", answer)
	}
	if text := scrape(t, g); metric(t, text, "trackgate_throttle_shared") != 0 {
		t.Error("trackgate_throttle_shared is not 0 while Redis is away")
	}

	startRedis(t, redis.opts)
	awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusOK)
	g.await(t, func() bool { return metric(t, scrape(t, g), "trackgate_throttle_shared") == 1 })
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
	if g.Stop() != 0 {
		t.Error("the gateway did not end well")
	}
	if !strings.Contains(g.Output(), "level=WARN") {
		t.Errorf("the passage is not in the log:\n%s", g.Output())
	}
}

func TestAGatewayStartsBeforeItsRedis(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	g := startGateway(t, "--set", fmt.Sprintf("store.url=redis://127.0.0.1:%d", port))
	if answer := curl(t, "http://"+g.Admin+"/readyz"); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("readyz: %s", answer)
	}
	call(t, g, "bugs.newBugTrackerToken").wantFault(t, 503, "STORE_UNAVAILABLE")
	startRedis(t, redisOptions{port: port})
	awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusOK)
	present(t, g, mint(t, g)).wantText(t, http.StatusOK, validatedBody)
}
