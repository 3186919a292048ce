package integration

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// hook POSTs a form to a hook, without a process for each. Status 0 means that no whole answer came.
func (l *loader) hook(g *gatewayProcess, name, form string) httpAnswer {
	response, err := l.client.Post("http://"+g.Public+"/hooks/"+name, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		return httpAnswer{Body: err.Error()}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return httpAnswer{Body: err.Error()}
	}
	return httpAnswer{response.StatusCode, response.Header, string(body)}
}

// eventLedger keeps what was sent as an event, and whether it was answered 200, across all crashes.
type eventLedger struct {
	mu       sync.Mutex
	token    string
	sent     int
	answered map[string]bool // by revision
	crashAt  int
	crash    func() // called once, by whoever got the last answer before the crash
}

// next is another event to send.
func (l *eventLedger) next() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	revision := fmt.Sprintf("r%d", l.sent)
	l.answered[revision] = false
	return revision
}

// accepted notes an answer 200.
func (l *eventLedger) accepted(revision string) {
	l.mu.Lock()
	l.answered[revision] = true
	l.crashAt--
	crash := l.crash
	if l.crashAt > 0 {
		crash = nil
	} else {
		l.crash = nil
	}
	l.mu.Unlock()
	if crash != nil {
		crash()
	}
}

func (l *eventLedger) arm(crash func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crashAt, l.crash = crashEarliest+rand.IntN(crashLatest-crashEarliest), crash
}

func (l *eventLedger) send(load *loader, g *gatewayProcess, revision string) bool {
	answer := load.hook(g, "commits", "bug=7&revision="+revision+"&token="+l.token)
	if answer.Status == http.StatusOK {
		l.accepted(revision)
	}
	return answer.Status == http.StatusOK
}

// runUntilCrash sends events until no answer comes any more.
func (l *eventLedger) runUntilCrash(g *gatewayProcess) {
	load := newLoader()
	defer load.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for range crashWorkers {
		wg.Go(func() {
			for l.send(load, g, l.next()) {
			}
		})
	}
	wg.Wait()
}

// check reads the feed: what was answered 200 is in it once, the rest once at most. Then the
// senders try again, and everything is in it once.
func (l *eventLedger) check(tb testing.TB, g *gatewayProcess) {
	tb.Helper()
	load := newLoader()
	defer load.client.CloseIdleConnections()
	count := func() map[string]int {
		counts := map[string]int{}
		for _, e := range readFeed(tb, g, "") {
			counts[fmt.Sprint(e.Data["revision"])]++
		}
		return counts
	}
	counts, unclear := count(), 0
	for revision, answered := range l.answered {
		if n := counts[revision]; n > 1 || answered && n != 1 {
			tb.Errorf("%s is in the feed %d times; that it was answered 200 is %t", revision, n, answered)
		}
		if !answered {
			unclear++
		}
	}
	for revision, answered := range l.answered {
		if (!answered || rand.IntN(4) == 0) && !l.send(load, g, revision) {
			tb.Errorf("%s is not accepted when it is sent again", revision)
		}
	}
	for revision, n := range count() {
		if _, sent := l.answered[revision]; n != 1 || !sent {
			tb.Errorf("%s is in the feed %d times", revision, n)
		}
	}
	tb.Logf("%d events were sent so far, of the last %d no answer came", l.sent, unclear)
}

func newEventLedger(tb testing.TB, data string, args ...string) *eventLedger {
	tb.Helper()
	return &eventLedger{token: createHookToken(tb, data, args...), answered: map[string]bool{}}
}

func TestNoEventIsLostOrStoredTwiceWhenTheGatewayIsKilled(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		data, args := t.TempDir(), with(with(unlimited, store...), "--set", "log.level=error", "--config", writeConfig(t, commitsHook))
		ledger := newEventLedger(t, data, args...)
		g := startGatewayIn(t, data, args...)
		for range crashRounds {
			ledger.arm(g.Kill)
			ledger.runUntilCrash(g)
			<-g.done
			g = startGatewayIn(t, data, args...)
			ledger.check(t, g)
		}
	})
}

func TestNoEventIsLostOrStoredTwiceWhenTheGatewayIsStoppedUnderLoad(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		data, args := t.TempDir(), with(with(unlimited, store...), "--set", "log.level=error", "--config", writeConfig(t, commitsHook))
		ledger := newEventLedger(t, data, args...)
		g := startGatewayIn(t, data, args...)
		ledger.arm(func() { _ = g.cmd.Process.Signal(syscall.SIGTERM) })
		ledger.runUntilCrash(g)
		<-g.done
		if status := g.cmd.ProcessState.ExitCode(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		ledger.check(t, startGatewayIn(t, data, args...))
	})
}

func TestNoEventIsLostOrStoredTwiceWhenRedisIsKilled(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{dir: t.TempDir(), port: freePort(t)})
	data, args := t.TempDir(), with(unlimited, "--set", "log.level=error", "--set", "store.url="+redis.URL, "--config", writeConfig(t, commitsHook))
	ledger := newEventLedger(t, data, args...)
	g := startGatewayIn(t, data, args...)
	for range crashRounds {
		ledger.arm(redis.Kill)
		ledger.runUntilCrash(g)
		<-redis.done
		redis = startRedis(t, redis.opts)
		awaitStatus(t, g, "http://"+g.Admin+"/readyz", http.StatusOK)
		ledger.check(t, g)
	}
}

func TestWhatASenderSendsAgainIsStoredOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		data, args := t.TempDir(), with(store, "--config", writeConfig(t, commitsHook+buildsHook))
		g := startGatewayIn(t, data, args...)
		token := createHookToken(t, data)
		byField := func(revision, bug string) string {
			return callHook(t, g, "commits", "--data", "bug="+bug+"&revision="+revision+"&token="+token).wantAccepted(t)
		}
		byID := func(hook, id string) string {
			return callHook(t, g, hook, "--header", "webhook-id: "+id, "--header", "Authorization: Bearer "+token, "--data", "bug=1&token="+token).wantAccepted(t)
		}
		field, id, other := byField("abc", "1"), byID("builds", "abc"), byID("commits", "abc")
		for name, again := range map[string][2]string{
			"the same revision": {byField("abc", "1"), field}, "the same revision with other fields": {byField("abc", "2"), field},
			"the same id": {byID("builds", "abc"), id}, "the same id at another hook": {byID("commits", "abc"), other},
		} {
			if again[0] != again[1] {
				t.Errorf("%s is at %s, the first at %s", name, again[0], again[1])
			}
		}
		if another := byField("abd", "1"); another == field {
			t.Error("another revision is taken for the same")
		}
		without := []string{byField("", "1"), byField("", "1")} // nothing tells them apart: both are stored
		g.Kill()
		g = startGatewayIn(t, data, args...)
		if byField("abc", "1") != field || byID("builds", "abc") != id {
			t.Error("what was sent before a restart is not known any more")
		}
		if events := readFeed(t, g, ""); len(events) != 6 || without[0] == without[1] {
			t.Errorf("the events are %+v", events)
		}
	})
}
