// Package integration tests the gateway as its users meet it: the built binary
// as a process, driven by programs that this project did not write.
package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startUpLimit bounds how long a process of a test may take to be ready.
const startUpLimit = 60 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(bareEnv) != "" {
		serveBare()
		return
	}
	if os.Getenv(quickTrackerEnv) != "" {
		serveQuickTracker()
		return
	}
	os.Exit(m.Run())
}

// exitWithStdin ends a process of the tests when the tests are gone.
func exitWithStdin() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// startPrinting starts a program that prints its address as its first line, and
// ends it with the test by closing its standard input.
func startPrinting(tb testing.TB, cmd *exec.Cmd) string {
	tb.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	watchdog := time.AfterFunc(startUpLimit, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	if err != nil {
		tb.Fatalf("%s said nothing: %v", cmd.Path, err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return strings.TrimSpace(line)
}

// binary builds the program once for all tests, with the race detector when the
// tests have it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "trackgate-integration-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "trackgate")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../cmd/trackgate")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func buildGateway(tb testing.TB) string {
	tb.Helper()
	path, err := binary()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// gatewayProcess is a running gateway.
type gatewayProcess struct {
	Private, Public, Admin string // host:port
	Data                   string // its data directory
	cmd                    *exec.Cmd
	log                    string // the file with all that it prints
	done                   chan struct{}
	err                    error // of Wait, once done is closed
}

// startGateway starts the built binary on free ports with a data directory of
// its own and more arguments, and waits until all its listeners accept.
func startGateway(tb testing.TB, args ...string) *gatewayProcess {
	tb.Helper()
	return startGatewayIn(tb, tb.TempDir(), args...)
}

func startGatewayIn(tb testing.TB, data string, args ...string) *gatewayProcess {
	tb.Helper()
	return startGatewayWith(tb, data, nil, args...)
}

// startGatewayWith is startGatewayIn with variables of its environment.
func startGatewayWith(tb testing.TB, data string, env []string, args ...string) *gatewayProcess {
	tb.Helper()
	ready := filepath.Join(tb.TempDir(), "ready.json")
	all := []string{
		"serve", "--data", data, "--ready-file", ready,
		"--set", "private.listen=127.0.0.1:0", "--set", "public.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0",
	}
	g := &gatewayProcess{Data: data, log: filepath.Join(tb.TempDir(), "output"), done: make(chan struct{})}
	log, err := os.Create(g.log)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	g.cmd = exec.Command(buildGateway(tb), append(all, args...)...)
	g.cmd.Env = append(cleanEnviron(), env...)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.done)
	}()
	tb.Cleanup(func() {
		g.Stop()
		if tb.Failed() {
			tb.Logf("the gateway's output:\n%s", g.Output())
		}
	})
	var addresses struct{ Private, Public, Admin string }
	g.await(tb, func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &addresses) == nil
	})
	g.Private, g.Public, g.Admin = addresses.Private, addresses.Public, addresses.Admin
	return g
}

// await asks until ready says yes; a process that ends first fails the test.
func (g *gatewayProcess) await(tb testing.TB, ready func() bool) {
	tb.Helper()
	limit := time.NewTimer(startUpLimit)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-g.done:
			tb.Fatalf("the gateway ended (%v):\n%s", g.err, g.Output())
		case <-limit.C:
			tb.Fatalf("the gateway was not ready in %s:\n%s", startUpLimit, g.Output())
		case <-tick.C:
		}
	}
}

// Stop ends the gateway as an operator would, and gives its exit status.
func (g *gatewayProcess) Stop() int {
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	<-g.done
	return g.cmd.ProcessState.ExitCode()
}

// Kill ends the gateway as a power failure would.
func (g *gatewayProcess) Kill() {
	_ = g.cmd.Process.Kill()
	<-g.done
}

// Output is all that the gateway has printed.
func (g *gatewayProcess) Output() string {
	text, err := os.ReadFile(g.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// cleanEnviron is the environment without what would configure a gateway. The
// race detector would keep each process for a second more at its end.
func cleanEnviron() []string {
	env := []string{"GORACE=atexit_sleep_ms=0"}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "TRACKGATE_") {
			env = append(env, entry)
		}
	}
	return env
}

// redisOptions choose how a real redis-server runs for a test.
type redisOptions struct {
	dir  string   // its directory, to start it again on the same data; "" for a new one
	port int      // to start it again where it was; 0 for a free one
	args []string // more of its command line
}

// redisProcess is a running redis-server. By default every write is on disk
// before it is answered.
type redisProcess struct {
	URL  string
	Addr string
	opts redisOptions
	cmd  *exec.Cmd
	done chan struct{}
}

func startRedis(tb testing.TB, opts redisOptions) *redisProcess {
	tb.Helper()
	if opts.dir == "" {
		opts.dir = tb.TempDir()
	}
	if opts.port == 0 {
		opts.port = freePort(tb)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", opts.port)
	r := &redisProcess{URL: "redis://" + addr, Addr: addr, opts: opts, done: make(chan struct{})}
	args := []string{
		"--bind", "127.0.0.1", "--port", fmt.Sprint(opts.port), "--dir", opts.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--loglevel", "warning", "--daemonize", "no",
	}
	r.cmd = exec.Command("redis-server", append(args, opts.args...)...)
	r.cmd.Stdout, r.cmd.Stderr = io.Discard, os.Stderr
	if err := r.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		_ = r.cmd.Wait()
		close(r.done)
	}()
	tb.Cleanup(r.Kill)
	limit := time.Now().Add(startUpLimit)
	for {
		if pong(addr) {
			return r
		}
		select {
		case <-r.done:
			tb.Fatal("redis-server ended at start")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(limit) {
			tb.Fatal("redis-server does not answer")
		}
	}
}

// Kill ends the server at once.
func (r *redisProcess) Kill() {
	_ = r.cmd.Process.Kill()
	<-r.done
}

// pong tells whether a Redis at addr answers PING, which it does once it has
// loaded its data.
func pong(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}

func freePort(tb testing.TB) int {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}
