package integration

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	crashRounds  = 3
	crashWorkers = 16
	// Between so many operations, at random, the power fails.
	crashEarliest, crashLatest = 40, 400
)

// fate is what a token's callbacks were answered.
type fate int

const (
	untouched fate = iota // handed out and never presented
	unclear               // presented, and no answer came that says what happened
	accepted              // answered 200
)

// tokenLedger keeps what every token was answered, across all crashes.
type tokenLedger struct {
	mu         sync.Mutex
	fates      map[string]fate
	operations int
	crashAt    int
	crash      func() // called once, by whoever makes the last operation before the crash
}

func newTokenLedger() *tokenLedger { return &tokenLedger{fates: map[string]fate{}} }

func (l *tokenLedger) arm(crash func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.operations, l.crashAt, l.crash = 0, crashEarliest+rand.IntN(crashLatest-crashEarliest), crash
}

// set notes a fate, counts it as an operation, and tells whether to go on.
func (l *tokenLedger) set(token string, f fate) bool {
	l.mu.Lock()
	l.fates[token] = f
	l.operations++
	crash := l.crash
	if l.operations < l.crashAt {
		crash = nil
	} else {
		l.crash = nil
	}
	over := l.operations >= l.crashAt
	l.mu.Unlock()
	if crash != nil {
		crash()
	}
	return !over
}

// note notes a fate and is no operation.
func (l *tokenLedger) note(token string, f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates[token] = f
}

// loader makes the calls of a load, without a process for each.
type loader struct{ client *http.Client }

func newLoader() *loader {
	return &loader{&http.Client{Timeout: raceLimit, Transport: &http.Transport{MaxIdleConnsPerHost: crashWorkers}}}
}

// mint returns "" when no token was handed out.
func (l *loader) mint(g *gatewayProcess) string {
	response, err := l.client.Post("http://"+g.Private+"/bugs", "text/xml", strings.NewReader(rpcDocument("newBugTrackerToken")))
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	value := mintedValue.FindStringSubmatch(squeezed(string(body)))
	if value == nil {
		return ""
	}
	return value[1]
}

// present returns the status, 0 when there was no whole answer.
func (l *loader) present(g *gatewayProcess, token string) int {
	response, err := l.client.Post("http://"+g.Public+callback("", token), "", nil)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return 0
	}
	return response.StatusCode
}

// runUntilCrash mints and presents tokens, of which every third is kept, until
// the ledger says that the crash has come.
func runUntilCrash(l *tokenLedger, g *gatewayProcess) {
	load := newLoader()
	defer load.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for worker := range crashWorkers {
		wg.Go(func() {
			for n := worker; ; n++ {
				token := load.mint(g)
				if token == "" {
					return // the power has failed
				}
				if !l.set(token, untouched) {
					return
				}
				if n%3 == 0 {
					continue
				}
				l.note(token, unclear)
				f := unclear
				switch status := load.present(g, token); status {
				case http.StatusOK:
					f = accepted
				case http.StatusGone:
					// Nobody else has this token: a refusal is checked as a lost one.
					f = untouched
				}
				if !l.set(token, f) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// check presents every token: one that was answered 200 must be refused, one
// that was handed out and not presented must be good, once.
func (l *tokenLedger) check(tb testing.TB, g *gatewayProcess) {
	tb.Helper()
	load := newLoader()
	defer load.client.CloseIdleConnections()
	counts := map[fate]int{}
	for token, f := range l.fates {
		status := load.present(g, token)
		counts[f]++
		switch {
		case f == accepted && status != http.StatusGone:
			tb.Errorf("a token that was answered 200 is answered %d after the crash", status)
		case f == untouched && status != http.StatusOK:
			tb.Errorf("a token that was handed out is answered %d after the crash", status)
		case f == unclear && status != http.StatusOK && status != http.StatusGone:
			tb.Errorf("a token whose callback was cut off is answered %d after the crash", status)
		}
		l.fates[token] = accepted // it was, now or before: never again
	}
	if counts[untouched] == 0 || counts[accepted] == 0 {
		tb.Errorf("the load before the crash was not what it should be: %v", counts)
	}
	tb.Logf("%d tokens were kept, %d used, %d cut off", counts[untouched], counts[accepted], counts[unclear])
}

func TestNoTokenIsLostOrAcceptedTwiceWhenTheGatewayIsKilledOnBolt(t *testing.T) {
	t.Parallel()
	data, args := t.TempDir(), with(unlimited, "--set", "log.level=error")
	ledger := newTokenLedger()
	g := startGatewayIn(t, data, args...)
	for range crashRounds {
		ledger.arm(g.Kill)
		runUntilCrash(ledger, g)
		<-g.done
		g = startGatewayIn(t, data, args...)
		ledger.check(t, g)
	}
}

func TestNoTokenIsLostOrAcceptedTwiceWhenTheGatewayIsKilledOnRedis(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	data, args := t.TempDir(), with(unlimited, "--set", "log.level=error", "--set", "store.url="+redis.URL)
	ledger := newTokenLedger()
	g := startGatewayIn(t, data, args...)
	for range crashRounds {
		ledger.arm(g.Kill)
		runUntilCrash(ledger, g)
		<-g.done
		g = startGatewayIn(t, data, args...)
		ledger.check(t, g)
	}
}

func TestNoTokenIsLostOrAcceptedTwiceWhenTheGatewayIsStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	data, args := t.TempDir(), with(unlimited, "--set", "log.level=error")
	ledger := newTokenLedger()
	g := startGatewayIn(t, data, args...)
	ledger.arm(func() { _ = g.cmd.Process.Signal(syscall.SIGTERM) })
	runUntilCrash(ledger, g)
	<-g.done
	if status := g.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	ledger.check(t, startGatewayIn(t, data, args...))
}

func TestNoTokenIsLostOrAcceptedTwiceWhenRedisIsKilled(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{dir: t.TempDir(), port: freePort(t)})
	g := startGateway(t, with(unlimited, "--set", "log.level=error", "--set", "store.url="+redis.URL)...)
	ledger := newTokenLedger()
	for range crashRounds {
		ledger.arm(redis.Kill)
		runUntilCrash(ledger, g)
		<-redis.done
		redis = startRedis(t, redis.opts)
		awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusOK)
		ledger.check(t, g)
	}
}

// awaitStatus asks until a URL answers with a status.
func awaitStatus(tb testing.TB, g *gatewayProcess, url string, status int) {
	tb.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	g.await(tb, func() bool {
		response, err := client.Get(url)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == status
	})
}

// TestAKilledGatewayLeavesNothingThatKeepsTheNextFromStarting kills one that
// has its operators' socket and its store open.
func TestAKilledGatewayLeavesNothingThatKeepsTheNextFromStarting(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	g := startGatewayIn(t, data)
	token := mint(t, g)
	g.Kill()
	f := runGateway(t, token+"\n", nil, "token", "show", "--data", data)
	if f.status != 0 || !strings.Contains(f.stdout, "live") {
		t.Errorf("token show after a kill: %+v", f)
	}
	g = startGatewayIn(t, data)
	present(t, g, token).wantText(t, http.StatusOK, validatedBody)
	if f := runGateway(t, token+"\n", nil, "token", "show", "--data", data); !strings.Contains(f.stdout, "used") {
		t.Errorf("token show through the next gateway: %+v", f)
	}
}
