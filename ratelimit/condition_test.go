package ratelimit_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/trackgate/trackgate/ratelimit"
)

// sayingProxy stands before a server and, while it is told to, answers every
// command itself with an error that the server would give in another state.
type sayingProxy struct {
	addr string
	says atomic.Pointer[string]
	// together is how many scripts must have come, over whatever connections, before the
	// first of them is handed on; zero hands on each.
	together atomic.Int64
	mu       sync.Mutex
	held     []func() error
}

func startSayingProxy(t *testing.T, target string) *sayingProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	p := &sayingProxy{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			go p.serve(c, target)
		}
	}()
	return p
}

func (p *sayingProxy) say(text string) { p.says.Store(&text) }

func (p *sayingProxy) serve(c net.Conn, target string) {
	defer func() { _ = c.Close() }()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return // the client sees its connection end
	}
	defer func() { _ = out.Close() }()
	go func() { _, _ = io.Copy(c, out) }()
	commands := bufio.NewReader(c)
	for {
		command, err := readCommand(commands)
		if err != nil {
			return
		}
		if text := p.says.Load(); text != nil && *text != "" {
			_, err = fmt.Fprintf(c, "-%s\r\n", *text)
		} else {
			err = p.handOn(bytes.Contains(command, []byte("evalsha")), func() error {
				_, err := out.Write(command)
				return err
			})
		}
		if err != nil {
			return
		}
	}
}

func (p *sayingProxy) handOn(script bool, write func() error) error {
	if !script {
		return write()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = append(p.held, write)
	if int64(len(p.held)) < p.together.Load() {
		return nil
	}
	var failures []error
	for _, write := range p.held {
		failures = append(failures, write())
	}
	p.held = nil
	return errors.Join(failures...)
}

// readCommand reads the bytes of one command.
func readCommand(r *bufio.Reader) ([]byte, error) {
	var all bytes.Buffer
	number := func() (int, error) {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil || len(line) < 3 {
			return 0, io.ErrUnexpectedEOF
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	words, err := number()
	for i := 0; err == nil && i < words; i++ {
		var size int
		if size, err = number(); err != nil {
			break
		}
		word := make([]byte, size+2)
		_, err = io.ReadFull(r, word)
		all.Write(word)
	}
	return all.Bytes(), err
}

func (p *sayingProxy) client(t *testing.T) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.addr, MaxRetries: 1, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (p *sayingProxy) pipelines(t *testing.T) *redis.AutoPipeliner {
	t.Helper()
	ap, err := p.client(t).AsyncAutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	return ap
}

func TestTheLimitHoldsWhileRedisSaysThatItCannot(t *testing.T) {
	s := startRedis(t)
	for i, says := range []string{
		"MOVED 3999 127.0.0.1:6381",
		"ASK 3999 127.0.0.1:6381",
		"CLUSTERDOWN The cluster is down",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
		"NOAUTH Authentication required.",
		"NOSCRIPT No matching script. Please use EVAL.",
		"ERR max number of clients reached",
	} {
		word, _, _ := strings.Cut(says, " ")
		for name, client := range map[string]func(*sayingProxy) redis.UniversalClient{
			"plain":            func(p *sayingProxy) redis.UniversalClient { return p.client(t) },
			"shared pipelines": func(p *sayingProxy) redis.UniversalClient { return p.pipelines(t) },
		} {
			t.Run(word+" "+name, func(t *testing.T) {
				p := startSayingProxy(t, s.addr)
				f, r := realFailover(t, client(p))
				caller := ratelimit.Caller(fmt.Sprintf("%s-%d", name[:1], i))
				take(t, f, policy(t, "p", "1/h", 20), caller, 1)
				p.say(says)
				spendLocally(t, f, r, caller)
				p.say("")
				backAtRedis(t, f, r, caller, 18)
			})
		}
	}
}

func TestAScriptThatIsNotKnownIsNoPassage(t *testing.T) {
	overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
		p := policy(t, "p", "1/h", 20)
		for left := 19; left > 9; left-- {
			s.do("SCRIPT", "FLUSH")
			if d := take(t, f, p, "a", 1); !d.Allowed || d.Limit != 20 || d.Remaining != left {
				t.Errorf("%+v, want %d left", d, left)
			}
		}
		if f.State() != ratelimit.StateRedis || r.count("p", ratelimit.OutcomeFailover) != 0 {
			t.Errorf("state %s, %d questions answered locally", f.State(), r.count("p", ratelimit.OutcomeFailover))
		}
	})
}

// TestTheLimitHoldsWhileACommandIsForNoSlotOfTheNode has a real node of a
// cluster that does not serve the slot.
func TestTheLimitHoldsWhileACommandIsForNoSlotOfTheNode(t *testing.T) {
	s := startRedis(t)
	s.kill()
	s.start("Ready to accept connections", "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "1000")
	f, r := realFailover(t, s.pipelines())
	spendLocally(t, f, r, "a")
	if r.lines("CLUSTERDOWN") != 1 {
		t.Errorf("the log does not say why:\n%s", r.log.String())
	}
	s.do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	backAtRedis(t, f, r, "a", 19)
}

func TestTheLimitHoldsWhileWritesAreSlow(t *testing.T) {
	overClients(t, func(t *testing.T, s *redisServer, f *ratelimit.Failover, r *record) {
		take(t, f, policy(t, "p", "1/h", 20), "a", 1)
		s.do("CLIENT", "PAUSE", "600000", "WRITE")
		spendLocally(t, f, r, "b")
		s.do("CLIENT", "UNPAUSE")
		backAtRedis(t, f, r, "a", 18)
	})
}
