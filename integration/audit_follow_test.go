package integration

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// following is an audit follow that runs.
type following struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

// Write keeps what it prints.
func (f *following) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.out.Write(p)
}

func (f *following) said(word string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Contains(f.out.String(), word)
}

func follow(tb testing.TB, g *gatewayProcess, args ...string) *following {
	tb.Helper()
	f := &following{cmd: exec.Command(buildGateway(tb), with([]string{"audit", "follow", "--data", g.Data}, args...)...)}
	f.cmd.Env = cleanEnviron()
	f.cmd.Stdout, f.cmd.Stderr = f, f
	if err := f.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = f.cmd.Process.Kill() })
	return f
}

func TestWhoFollowsTheTrailSeesItGrowAndEndsWell(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, store...)
		f := follow(t, g, with(store, "--subsystem", "token", "--json")...)
		for range 3 {
			fingerprint := fingerprintOf(t, mint(t, g))
			g.await(t, func() bool { return f.said(fingerprint) })
		}
		_ = f.cmd.Process.Signal(syscall.SIGINT)
		if err := f.cmd.Wait(); err != nil {
			t.Errorf("audit follow ended with %v: %s", err, f.out.String())
		}
		if f.said("witnessed") {
			t.Errorf("audit follow showed what the filter leaves out:\n%s", f.out.String())
		}
	})
}

// TestAGatewayDoesNotWaitForThoseWhoFollowItsTrail stops one whose operators' socket
// holds a question open: the gateway answers that as well before it ends.
func TestAGatewayDoesNotWaitForThoseWhoFollowItsTrail(t *testing.T) {
	onBothStores(t, func(t *testing.T, store []string) {
		g := startGateway(t, store...)
		f := follow(t, g, store...)
		fingerprint := fingerprintOf(t, mint(t, g))
		g.await(t, func() bool { return f.said(fingerprint) })
		if status := g.Stop(); status != 0 {
			t.Errorf("the gateway ended with %d", status)
		}
		if err := f.cmd.Wait(); err == nil || !f.said("trackgate: ") {
			t.Errorf("audit follow ended with %v: %s", err, f.out.String())
		}
	})
}
