package redisstore_test

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// server is a redis-server of the test's own.
type server struct {
	tb   testing.TB
	dir  string
	args []string
	addr string
	log  safeBuffer
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
}

// startServer starts a redis-server that keeps its data in a directory of the
// test, every answer on disk. Further arguments are redis-server's.
func startServer(tb testing.TB, args ...string) *server {
	tb.Helper()
	s := &server{tb: tb, dir: tb.TempDir(), args: args}
	for range 10 { // another program may take the port that was free
		s.addr = freeAddress(tb)
		if s.start() {
			tb.Cleanup(s.kill)
			return s
		}
	}
	tb.Fatalf("redis-server does not start:\n%s", s.log.String())
	return nil
}

// start starts the process and tells whether it came to answer.
func (s *server) start() bool {
	s.tb.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	args := append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always",
	}, s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatalf("redis-server must be installed for this test: %v", err)
	}
	process, gone := s.cmd, make(chan struct{})
	s.gone = gone
	go func() {
		defer close(gone)
		_ = process.Wait()
	}()
	return s.answers()
}

// answers asks until the server is ready, or its process has gone.
func (s *server) answers() bool {
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	for {
		err := client.Ping(context.Background()).Err()
		if err == nil || redis.IsAuthError(err) || redis.HasErrorPrefix(err, "NOAUTH") {
			return true
		}
		select {
		case <-s.gone:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kill ends the process as a crash would, and waits until it has gone.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.gone
}

func (s *server) url() string { return "redis://" + s.addr + "/0" }

func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

// safeBuffer is a buffer that a process may still write while a test reads.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{}) // go-redis reports every refused connection on standard error
	m.Run()
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
