package integration

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// auditRounds is how often the power fails.
const auditRounds = 3

// answeredMints mints and presents until nothing answers any more, calls crash after
// so many tokens, and returns the fingerprints of those that were handed out.
func answeredMints(crashAt int, crash func(), gateways ...*gatewayProcess) []string {
	load := newLoader()
	defer load.client.CloseIdleConnections()
	var mu sync.Mutex
	var tokens []string
	var wg sync.WaitGroup
	for worker := range crashWorkers {
		wg.Go(func() {
			for {
				g := gateways[worker%len(gateways)]
				token := load.mint(g)
				if token == "" {
					return
				}
				mu.Lock()
				tokens = append(tokens, token)
				crashes := len(tokens) == crashAt
				mu.Unlock()
				if crashes {
					crash()
				}
				if load.present(g, token) == 0 {
					return
				}
			}
		})
	}
	wg.Wait()
	return tokens
}

// wantMinted checks that the trail has every token that was handed out, once, and the
// intention before every consumption.
func wantMinted(tb testing.TB, entries []trailEntry, tokens []string) {
	tb.Helper()
	minted, intended := map[string]int{}, map[string]bool{}
	for _, e := range entries {
		switch {
		case e.Subsystem != "token":
		case e.Event == "minted" && e.Outcome == "done":
			minted[e.Subject]++
		case e.Event == "consumed" && e.Outcome == "intended":
			intended[e.Subject] = true
		case e.Event == "consumed" && e.Outcome == "done" && !intended[e.Subject]:
			tb.Errorf("the token %s was consumed and the trail has no intention", e.Subject)
		}
	}
	for _, token := range tokens {
		if n := minted[fingerprintOf(tb, token)]; n != 1 {
			tb.Errorf("a token that was handed out was minted %d times by the trail", n)
		}
	}
}

func TestAKilledGatewayLeavesAWholeTrail(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		args := with(with(store, unlimited...), "--set", "audit.key_file="+auditKeyFile(t, "killed"))
		data := t.TempDir()
		var tokens []string
		for range auditRounds {
			g := startGatewayIn(t, data, args...)
			tokens = append(tokens, answeredMints(200, func() { _ = g.cmd.Process.Kill() }, g)...)
			<-g.done
		}
		verifyTrail(t, data, args).wantWhole(t, auditRounds)
		wantMinted(t, exportTrail(t, data, args), tokens)
	})
}

func TestOneOfTwoGatewaysIsKilledAndBothChainsAreWhole(t *testing.T) {
	t.Parallel()
	args := with(unlimited, "--set", "store.url="+startRedis(t, redisOptions{}).URL, "--set", "audit.key_file="+auditKeyFile(t, "two"))
	first := startGateway(t, with(args, "--set", "gateway.id=first")...)
	second := startGateway(t, with(args, "--set", "gateway.id=second")...)
	var died sync.Once
	stop := make(chan struct{})
	var others []string
	var wg sync.WaitGroup
	wg.Go(func() {
		load := newLoader()
		for {
			select {
			case <-stop:
				return
			default:
				others = append(others, load.mint(second))
			}
		}
	})
	tokens := answeredMints(300, func() { died.Do(func() { _ = first.cmd.Process.Kill() }) }, first)
	<-first.done
	checkpoint := saveCheckpoint(t, second.Data, args)
	tokens = append(tokens, mint(t, second))
	close(stop)
	wg.Wait()
	report := verifyTrail(t, second.Data, args, "--from", checkpoint)
	report.wantWhole(t, 2)
	if report.Met != 2 || report.Chains[0].Gateway+report.Chains[1].Gateway != "firstsecond" {
		t.Errorf("the report is %+v", report)
	}
	wantMinted(t, exportTrail(t, second.Data, args), append(tokens, others...))
	// The dead one's trail is read without a gateway as well.
	verifyTrail(t, first.Data, args, "--from", checkpoint).wantWhole(t, 2)
}

func TestARedisThatWasRestartedWithItsDataHasAWholeTrail(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	args := with(unlimited, "--set", "store.url="+redis.URL)
	first, second := startGateway(t, args...), startGateway(t, args...)
	var tokens []string
	for range auditRounds {
		tokens = append(tokens, answeredMints(200, func() { _ = redis.cmd.Process.Signal(syscall.SIGKILL) }, first, second)...)
		<-redis.done
		redis = startRedis(t, redis.opts)
		for _, g := range []*gatewayProcess{first, second} {
			awaitStatus(t, g, "http://"+g.Admin+"/readyz", 200)
		}
		tokens = append(tokens, mint(t, first), mint(t, second))
	}
	verifyTrail(t, first.Data, args).wantWhole(t, 2)
	wantMinted(t, exportTrail(t, first.Data, args), tokens)
}

func TestWhatARedisHasLostIsMissingFromTheTrail(t *testing.T) {
	t.Parallel()
	redis := startRedis(t, redisOptions{})
	args := []string{"--set", "store.url=" + redis.URL, "--set", "audit.key_file=" + auditKeyFile(t, "lost")}
	g := startGateway(t, args...)
	mint(t, g)
	checkpoint := saveCheckpoint(t, g.Data, args)
	redis.Kill()
	if err := os.RemoveAll(filepath.Join(redis.opts.dir, "appendonlydir")); err != nil {
		t.Fatal(err)
	}
	startRedis(t, redis.opts)
	awaitStatus(t, g, "http://"+g.Admin+"/readyz", 200)
	g.await(t, func() bool { return call(t, g, "bugs.newBugTrackerToken").Fault == nil })
	report := verifyTrail(t, g.Data, args, "--from", checkpoint)
	report.wantTold(t, "cut_off_beginning", "", 1)
	lost := exportTrail(t, g.Data, args, "--event", "witnessed", "--outcome", "failed")
	if len(lost) != 1 || lost[0].Reason != "lost" || !strings.Contains(lost[0].Detail, "lost entries 1 to ") || len(lost[0].Heads) != 1 {
		t.Errorf("of the loss the trail tells %+v", lost)
	}
}
