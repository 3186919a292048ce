package redistest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// loopback is the only address that anything listens on.
const loopback = "127.0.0.1"

// attempts is how many ports are tried, since another program may take one
// between the moment that it was found free and the server's start.
const attempts = 10

// Server is one redis-server process. It keeps its port and its directory over
// restarts.
type Server struct {
	tb       testing.TB
	program  []string // the arguments that make it what it is
	args     []string // those that the test has added
	dir      string
	addr     string
	security *Security
	password string
	log      safeBuffer
	cmd      *exec.Cmd
	gone     chan struct{} // closed when the process has ended
}

// Start starts a redis-server that has every answer on disk before it gives it.
// Further arguments are redis-server's and come before those.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, &Server{args: args})
}

// StartTLS starts a redis-server that speaks TLS only.
func StartTLS(tb testing.TB, security *Security, args ...string) *Server {
	tb.Helper()
	return start(tb, &Server{args: args, security: security})
}

func start(tb testing.TB, s *Server) *Server {
	tb.Helper()
	s.tb, s.dir = tb, tb.TempDir()
	for i, arg := range s.args {
		if arg == "--requirepass" && i+1 < len(s.args) {
			s.password = s.args[i+1]
		}
	}
	for range attempts {
		s.addr = FreeAddress(tb)
		if s.launch() {
			tb.Cleanup(s.Kill)
			return s
		}
	}
	tb.Fatalf("redis-server does not start:\n%s", s.Log())
	return nil
}

// launch starts the process and tells whether it came to serve.
func (s *Server) launch() bool {
	s.tb.Helper()
	s.spawn()
	return s.answers(func(err error) bool {
		return err == nil || redis.IsAuthError(err) || redis.HasErrorPrefix(err, "NOAUTH")
	})
}

func (s *Server) spawn() {
	s.tb.Helper()
	s.cmd = exec.Command("redis-server", s.commandLine()...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatalf("redis-server must be installed for this test: %v", err)
	}
	process, gone := s.cmd, make(chan struct{})
	s.gone = gone
	go func() {
		defer close(gone)
		_ = process.Wait()
	}()
}

func (s *Server) commandLine() []string {
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	line := append([]string{}, s.program...)
	line = append(line, "--bind", loopback, "--dir", s.dir)
	if s.security != nil {
		line = append(line, "--port", "0", "--tls-port", port)
		line = append(line, s.security.arguments()...)
	} else {
		line = append(line, "--port", port)
	}
	if len(s.program) == 0 {
		line = append(line, "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0",
			"--user", replicator, "on", ">"+replicator, "+psync", "+replconf", "+ping",
			"--masteruser", replicator, "--masterauth", replicator)
	}
	return append(line, s.args...)
}

// answers asks until the server gives the answer that is wanted, or its process
// has gone.
func (s *Server) answers(wanted func(err error) bool) bool {
	client := s.Client()
	defer func() { _ = client.Close() }()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		if wanted(client.Ping(context.Background()).Err()) {
			return true
		}
		select {
		case <-s.gone:
			return false
		case <-limit.C:
			return false
		case <-time.After(pollEvery):
		}
	}
}

// Addr is host and port.
func (s *Server) Addr() string { return s.addr }

// Port is the port alone.
func (s *Server) Port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// PID is the number of the server's process, another one after Restart.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Dir is the directory that holds the server's data.
func (s *Server) Dir() string { return s.dir }

// Log is what the server has written.
func (s *Server) Log() string { return s.log.String() }

// URL names the server for a client, without credentials.
func (s *Server) URL() string {
	if s.security != nil {
		return "rediss://" + s.addr + "/0?ca=" + s.security.CAFile
	}
	return "redis://" + s.addr + "/0"
}

// Kill ends the process as a crash would, and waits until it has gone. A server
// that has gone already is left alone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// Restart starts the server again after Kill, with the same port and data.
func (s *Server) Restart() {
	s.tb.Helper()
	if !s.launch() {
		s.tb.Fatalf("redis-server does not start again:\n%s", s.Log())
	}
}

// RestartSlowly kills the server and starts it again, and returns while it is
// still loading its data and refuses everything else. The data must be some
// hundred keys, so that loading takes a while; [Server.Loaded] waits for its end.
func (s *Server) RestartSlowly() {
	s.tb.Helper()
	// From one compact file it loads by bytes, and answers in between.
	s.Do("bgrewriteaof")
	Until(s.tb, "the data is in one file", func() bool {
		return s.Info("aof_rewrite_in_progress") == "0" && s.Info("aof_rewrite_scheduled") == "0"
	})
	s.Kill()
	s.args = append(s.args, "--key-load-delay", "30000", "--loading-process-events-interval-bytes", "1024")
	s.spawn()
	if !s.answers(func(err error) bool { return redis.IsLoadingError(err) }) {
		s.tb.Fatalf("redis-server does not start again:\n%s", s.Log())
	}
}

// Loaded lets the server load its data faster, and waits until it has.
func (s *Server) Loaded() {
	s.tb.Helper()
	_, _ = s.Try("config", "set", "key-load-delay", "0") // that it is too late is as good
	Until(s.tb, "the server has loaded its data", func() bool { _, err := s.Try("ping"); return err == nil })
}

// Pause stops the process without its knowing, until Resume.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.tb.Fatal(err)
	}
}

// Client returns a plain client that gives up soon. The test closes it when it
// ends.
func (s *Server) Client() *redis.Client {
	options := &redis.Options{
		Addr: s.addr, Password: s.password, MaxRetries: -1, DialerRetries: 1, PoolSize: 2,
		DialTimeout: time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: time.Second,
	}
	if s.security != nil {
		options.TLSConfig = s.security.Client.Clone()
	}
	client := redis.NewClient(options)
	s.tb.Cleanup(func() { _ = client.Close() })
	return client
}

// Do runs one command and returns its answer as text; an answer of several parts
// gives them one a line.
func (s *Server) Do(args ...any) string {
	s.tb.Helper()
	answer, err := s.Try(args...)
	if err != nil {
		s.tb.Fatalf("%v: %v\n%s", args, err, s.Log())
	}
	return answer
}

// Try is Do for a command that may fail.
func (s *Server) Try(args ...any) (string, error) {
	client := s.Client()
	defer func() { _ = client.Close() }()
	answer, err := client.Do(context.Background(), args...).Result()
	return text(answer), err
}

func text(answer any) string {
	switch answer := answer.(type) {
	case string:
		return answer
	case int64:
		return strconv.FormatInt(answer, 10)
	case []any:
		parts := make([]string, len(answer))
		for i, part := range answer {
			parts[i] = text(part)
		}
		return strings.Join(parts, "\n")
	case map[any]any:
		var parts []string
		for key, value := range answer {
			parts = append(parts, text(key)+" "+text(value))
		}
		return strings.Join(parts, "\n")
	default:
		return ""
	}
}

// Info returns one field of INFO, "" when there is none or the server is away.
func (s *Server) Info(field string) string {
	info, _ := s.Try("info", "everything")
	return fieldOf(info, field)
}

// fieldOf finds field:value in what INFO and CLUSTER INFO answer.
func fieldOf(info, field string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Replicate makes the server a replica of another, by way of an address that may
// be a proxy's, and waits until it has what that one has.
func (s *Server) Replicate(addr string) {
	s.tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.Do("replicaof", host, port)
	Until(s.tb, "the replica is in step", func() bool { return s.Info("master_link_status") == "up" })
}

// replicator is the user as which servers follow one another.
const replicator = "replicator"

// RefuseReplicas cuts the links of the server's replicas and admits none until it
// is started anew. Other clients notice nothing.
func (s *Server) RefuseReplicas() {
	s.tb.Helper()
	s.Do("acl", "setuser", replicator, "off")
	s.Do("client", "kill", "type", "replica")
	Until(s.tb, "the replicas have gone", func() bool { return s.Info("connected_slaves") == "0" })
}

// Heard waits until a number of replicas have all that the server has.
func (s *Server) Heard(replicas int) {
	s.tb.Helper()
	Until(s.tb, "the replicas have heard everything", func() bool {
		offset, following := s.Info("master_repl_offset"), 0
		for i := range replicas + 2 {
			replica := s.Info("slave" + strconv.Itoa(i))
			if strings.Contains(replica, "state=online,") && strings.Contains(replica, "offset="+offset+",") {
				following++
			}
		}
		return following >= replicas
	})
}

// Promote makes a replica a primary.
func (s *Server) Promote() { s.tb.Helper(); s.Do("replicaof", "no", "one") }

// FreeAddress returns an address on which nothing listens at the moment.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
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
