package ratelimit_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a real redis-server on loopback. It keeps its port over
// restarts.
type redisServer struct {
	tb      testing.TB
	addr    string
	dir     string
	process *exec.Cmd
}

func startRedis(tb testing.TB) *redisServer {
	tb.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &redisServer{tb: tb, addr: free.Addr().String(), dir: tb.TempDir()}
	if err := free.Close(); err != nil {
		tb.Fatal(err)
	}
	s.start("Ready to accept connections")
	tb.Cleanup(func() {
		if s.process != nil {
			s.kill()
		}
	})
	return s
}

// start starts the server and returns once it has logged a line that holds ready.
func (s *redisServer) start(ready string, options ...string) {
	s.tb.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--daemonize", "no"}, options...)
	s.process = exec.Command("redis-server", args...)
	out, err := s.process.StdoutPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		s.tb.Fatalf("redis-server is needed for this test: %v", err)
	}
	var log strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), ready) {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	s.tb.Fatalf("redis-server ended early:\n%s", log.String())
}

func (s *redisServer) kill() {
	s.signal(syscall.SIGKILL)
	_ = s.process.Wait()
	s.process = nil
}

func (s *redisServer) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// client returns a plain client, with short time limits of its own so that it
// can be closed while the server is away.
func (s *redisServer) client() *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: s.addr, DialerRetries: 1, MaxRetries: 1, DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second,
	})
	s.tb.Cleanup(func() { _ = c.Close() })
	return c
}

// pipelines returns a client whose concurrent commands share pipelines.
func (s *redisServer) pipelines() *redis.AutoPipeliner {
	ap, err := s.client().AsyncAutoPipeline()
	if err != nil {
		s.tb.Fatal(err)
	}
	return ap
}

// do runs one command and returns what it answers as a string.
func (s *redisServer) do(args ...any) string {
	s.tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer func() { _ = c.Close() }()
	v, err := c.Do(s.tb.Context(), args...).Result()
	if err != nil {
		s.tb.Fatalf("%v: %v", args, err)
	}
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}
