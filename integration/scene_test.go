package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// unlimited turns the throttle off.
var unlimited = []string{
	"--set", "limits.mint.rate=off", "--set", "limits.handshake.rate=off", "--set", "limits.handshake_failures.rate=off",
	"--set", "limits.login.rate=off", "--set", "limits.hooks.rate=off", "--set", "limits.hook_failures.rate=off", "--set", "token.max_live=0",
}

// with joins arguments, without writing into the array of the first.
func with(args []string, more ...string) []string {
	return append(append([]string(nil), args...), more...)
}

// relay forwards TCP connections to wherever the gateway's public side is, so
// that a tracker can be told its callback root before the gateway has a port,
// and keeps it when the gateway starts again on another.
type relay struct {
	URL string

	mu     sync.Mutex
	target string
	passed bytes.Buffer // all that went through, both ways
}

func startRelay(tb testing.TB) *relay {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	r := &relay{URL: "http://" + ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			go r.forward(c)
		}
	}()
	return r
}

// To sets where connections go from now on.
func (r *relay) To(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = addr
}

func (r *relay) forward(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return // the tracker sees its connection end
	}
	defer out.Close()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(io.MultiWriter(c, r), out)
		c.Close()
	}()
	_, _ = io.Copy(io.MultiWriter(out, r), c)
	_ = out.(*net.TCPConn).CloseWrite()
	<-answered
}

// Write keeps what goes through.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed.Write(p)
}

// Passed is all that went through so far.
func (r *relay) Passed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed.String()
}

// trackerEntry is one [[tracker]] of a configuration file.
type trackerEntry struct {
	name, url string
	lines     string // more of the entry
}

// entryFor is the entry of a peer on this machine with a callback root of its own.
func entryFor(name string, peer *tracPeer) trackerEntry {
	return trackerEntry{name: name, url: peer.URL, lines: "allow_private = true\ncallback = \"own\"\n"}
}

// writeConfig writes a configuration file with trackers, and returns its path.
func writeConfig(tb testing.TB, before string, trackers ...trackerEntry) string {
	tb.Helper()
	var b strings.Builder
	b.WriteString(before)
	for _, t := range trackers {
		fmt.Fprintf(&b, "\n[[tracker]]\nname = %q\nurl = %q\ndialect = \"trac-launchpad\"\n%s", t.name, t.url, t.lines)
	}
	path := filepath.Join(tb.TempDir(), "trackgate.toml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// scene is a gateway with one tracker, "gnome", which is a peer on this machine.
type scene struct {
	*gatewayProcess
	peer  *tracPeer
	relay *relay
	args  []string // of the gateway, to start it again
}

func startScene(tb testing.TB, args ...string) *scene {
	tb.Helper()
	s := &scene{relay: startRelay(tb)}
	s.peer = startTracPeer(tb, tracPeerOptions{CallbackRoot: s.relay.URL + "/for/gnome"})
	s.args = with(args, "--config", writeConfig(tb, "", entryFor("gnome", s.peer)), "--set", "public.url="+s.relay.URL)
	s.start(tb, tb.TempDir())
	return s
}

// start starts the gateway of the scene on a data directory.
func (s *scene) start(tb testing.TB, data string) {
	tb.Helper()
	s.gatewayProcess = startGatewayIn(tb, data, s.args...)
	s.relay.To(s.Public)
}

// finished is a command that has ended.
type finished struct {
	status         int
	stdout, stderr string
}

// runGateway runs the built binary until it ends.
func runGateway(tb testing.TB, stdin string, env []string, args ...string) finished {
	tb.Helper()
	cmd := exec.Command(buildGateway(tb), args...)
	cmd.Env = append(cleanEnviron(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	watchdog := time.AfterFunc(startUpLimit, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		tb.Fatal(err)
	}
	return finished{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wantOneLine checks that a command failed with status 1 and one line that has
// all the words.
func (f finished) wantOneLine(tb testing.TB, words ...string) {
	tb.Helper()
	if f.status != 1 || strings.Count(f.stderr, "\n") != 1 {
		tb.Errorf("status %d and output %q, want 1 and one line", f.status, f.stderr)
	}
	for _, word := range words {
		if !strings.Contains(f.stderr, word) {
			tb.Errorf("%q does not say %q", f.stderr, word)
		}
	}
}
