package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// contenders is how many POSTs race for one token.
const contenders = 1000

// raceLimit bounds a race, so that a gateway that hangs fails the test.
const raceLimit = 2 * time.Minute

// race opens connections to the public sides in turn, sends a POST for the same
// token on all of them at once, and counts the statuses of the answers.
func race(tb testing.TB, token string, gateways ...*gatewayProcess) map[int]int {
	tb.Helper()
	conns := make([]net.Conn, contenders)
	for i := range conns {
		c, err := net.Dial("tcp", gateways[i%len(gateways)].Public)
		if err != nil {
			tb.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(raceLimit)); err != nil {
			tb.Fatal(err)
		}
		// All but the last byte is there before the race begins.
		request := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gate\r\nContent-Length: 0\r\n\r", callback("", token))
		if _, err := io.WriteString(c, request); err != nil {
			tb.Fatal(err)
		}
		conns[i] = c
	}
	start := make(chan struct{})
	answers := make(chan int, contenders)
	failures := make(chan error, contenders)
	var wg sync.WaitGroup
	for _, c := range conns {
		wg.Go(func() {
			<-start
			status, err := lastByte(c)
			if err != nil {
				failures <- err
				return
			}
			answers <- status
		})
	}
	close(start)
	wg.Wait()
	close(answers)
	close(failures)
	for err := range failures {
		tb.Errorf("a contender got no answer: %v", err)
	}
	statuses := map[int]int{}
	for status := range answers {
		statuses[status]++
	}
	return statuses
}

func lastByte(c net.Conn) (int, error) {
	if _, err := io.WriteString(c, "\n"); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	want := map[int]string{http.StatusOK: validatedBody, http.StatusGone: invalidBody}[response.StatusCode]
	if string(body) != want {
		return 0, fmt.Errorf("status %d with %q", response.StatusCode, body)
	}
	return response.StatusCode, nil
}

func wantOneWinner(tb testing.TB, token string, gateways ...*gatewayProcess) {
	tb.Helper()
	statuses := race(tb, token, gateways...)
	if statuses[http.StatusOK] != 1 || statuses[http.StatusGone] != contenders-1 {
		tb.Errorf("of %d concurrent POSTs the answers were %v, want one 200 and the rest 410", contenders, statuses)
	}
	for _, g := range gateways {
		present(tb, g, token).wantText(tb, http.StatusGone, invalidBody)
	}
}

// The races do not run beside other tests: each needs a thousand connections.

func TestOfAThousandConcurrentCallbacksOneIsAnswered200OnBolt(t *testing.T) {
	g := startGateway(t, with(unlimited, "--set", "log.level=error")...)
	wantOneWinner(t, mint(t, g), g)
	wantOneWinner(t, mint(t, g), g)
	text := scrape(t, g)
	if consumed := metric(t, text, "trackgate_tokens_consumed_total"); consumed != 2 {
		t.Errorf("%v tokens were counted as consumed, want 2", consumed)
	}
}

func TestOfAThousandConcurrentCallbacksOneIsAnswered200OnRedis(t *testing.T) {
	redis := startRedis(t, redisOptions{})
	g := startGateway(t, with(unlimited, "--set", "log.level=error", "--set", "store.url="+redis.URL)...)
	wantOneWinner(t, mint(t, g), g)
	wantOneWinner(t, mint(t, g), g)
}

func TestOfAThousandConcurrentCallbacksAtTwoGatewaysOneIsAnswered200(t *testing.T) {
	redis := startRedis(t, redisOptions{})
	args := with(unlimited, "--set", "log.level=error", "--set", "store.url="+redis.URL)
	first, second := startGateway(t, args...), startGateway(t, args...)
	wantOneWinner(t, mint(t, first), first, second)
	wantOneWinner(t, mint(t, second), first, second)
}

func TestATokenMintedByOneGatewayIsAcceptedByTheOther(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	first := startGateway(t, "--set", "store.url="+redis.URL)
	second := startGateway(t, "--set", "store.url="+redis.URL)
	token := mint(t, first)
	present(t, second, token).wantText(t, http.StatusOK, validatedBody)
	present(t, first, token).wantText(t, http.StatusGone, invalidBody)
}

// TestARedisThatCouldForgetIsWarnedAbout starts servers with the settings that
// the README's table calls laxer.
func TestARedisThatCouldForgetIsWarnedAbout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		want string // in a warning; "" for no warning
	}{
		{"appendonly no", []string{"--appendonly", "no"}, "appendonly"},
		{"appendfsync everysec", []string{"--appendfsync", "everysec"}, "appendfsync"},
		{"a policy that evicts", []string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "maxmemory-policy"},
		{"the strictest settings", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			redis := startRedis(t, redisOptions{args: test.args})
			g := startGateway(t, "--set", "store.url="+redis.URL)
			if test.want == "" {
				// What stops the gateway waits for what it does at start.
				mint(t, g)
				g.Stop()
				if strings.Contains(g.Output(), "level=WARN") {
					t.Errorf("a warning about a Redis that is set up well:\n%s", g.Output())
				}
				return
			}
			g.await(t, func() bool {
				for line := range strings.Lines(g.Output()) {
					if strings.Contains(line, "level=WARN") && strings.Contains(line, test.want) {
						return true
					}
				}
				return false
			})
		})
	}
}
