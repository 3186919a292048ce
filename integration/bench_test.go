package integration

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var loadTime = flag.Duration("load", 5*time.Second, "how long each measurement of the benchmarks loads a server")

const (
	benchConnections = 128
	benchRounds      = 3
)

const mintRequest = `<?xml version='1.0'?>
<methodCall>
<methodName>newBugTrackerToken</methodName>
<params>
</params>
</methodCall>
`

// BenchmarkGateway measures, in one run, minting and handshakes on both stores
// beside a bare net/http handler that answers the same bytes and Python's
// threaded XML-RPC server. Every server is a process of its own. The rounds go
// over all of them in turn, so that what else the machine does meets all alike;
// the table shows the median round and its ratio to the bare handler.
func BenchmarkGateway(b *testing.B) {
	for b.Loop() {
		benchGateway(b)
	}
}

type contender struct {
	name     string
	baseline string // the name of the bare handler it is compared with
	measure  func() (figures, error)
	rounds   []figures
}

func benchGateway(b *testing.B) {
	redis := startRedis(b, redisOptions{})
	open := []string{
		"--set", "limits.mint.rate=1000000/s", "--set", "limits.mint.burst=1000000",
		"--set", "limits.handshake.rate=1000000/s", "--set", "limits.handshake.burst=1000000",
		"--set", "limits.handshake_failures.rate=1000000/s", "--set", "limits.handshake_failures.burst=1000000",
	}
	bolt := startGateway(b, open...)
	shared := startGateway(b, append(open, "--set", "store.url="+redis.URL)...)
	bareAddr := startBare(b)
	pythonAddr := startPythonServer(b)

	contenders := []*contender{
		{name: "bare net/http, mint", measure: func() (figures, error) { return mintLoad(bareAddr, nil) }},
		{name: "mint, bolt", baseline: "bare net/http, mint"},
		{name: "mint, Redis", baseline: "bare net/http, mint"},
		{name: "Python xmlrpc.server, mint", baseline: "bare net/http, mint", measure: func() (figures, error) { return mintLoad(pythonAddr, nil) }},
		{name: "bare net/http, handshake", measure: func() (figures, error) { return bareHandshakeLoad(bareAddr) }},
		{name: "handshake, bolt", baseline: "bare net/http, handshake"},
		{name: "handshake, Redis", baseline: "bare net/http, handshake"},
	}
	by := map[string]*contender{}
	for _, c := range contenders {
		by[c.name] = c
	}
	for store, gateway := range map[string]*gatewayProcess{"bolt": bolt, "Redis": shared} {
		var tokens tokenPile
		by["mint, "+store].measure = func() (figures, error) { return mintLoad(gateway.Private, &tokens) }
		by["handshake, "+store].measure = func() (figures, error) { return handshakeLoad(gateway.Public, &tokens) }
	}
	for range benchRounds {
		for _, c := range contenders {
			f, err := c.measure()
			if err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
			c.rounds = append(c.rounds, f)
		}
	}
	report(b, contenders, by)
}

func report(b *testing.B, contenders []*contender, by map[string]*contender) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\trequests/s\tp50\tp99\tratio to bare\t")
	for _, c := range contenders {
		f := median(c.rounds)
		ratio := "-"
		if c.baseline != "" {
			r := f.perSecond / median(by[c.baseline].rounds).perSecond
			ratio = fmt.Sprintf("%.2f", r)
			b.ReportMetric(r, strings.NewReplacer(" ", "_", ",", "").Replace(c.name)+"/bare")
		}
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\t%s\t\n", c.name, f.perSecond, f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond), ratio)
	}
	w.Flush()
	fmt.Printf("\n%d connections, %s a measurement, median of %d rounds\n%s\n", benchConnections, *loadTime, benchRounds, out.String())
}

// median gives the round in the middle by requests per second.
func median(rounds []figures) figures {
	sorted := append([]figures(nil), rounds...)
	for i := range sorted {
		for j := i; j > 0 && sorted[j].perSecond < sorted[j-1].perSecond; j-- {
			sorted[j], sorted[j-1] = sorted[j-1], sorted[j]
		}
	}
	return sorted[len(sorted)/2]
}

// tokenPile collects what a minting load was given, for a handshake load to use up.
type tokenPile struct {
	mu     sync.Mutex
	tokens []string
}

func (p *tokenPile) add(token string) {
	p.mu.Lock()
	p.tokens = append(p.tokens, token)
	p.mu.Unlock()
}

func (p *tokenPile) take() (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tokens) == 0 {
		return "", false
	}
	token := p.tokens[len(p.tokens)-1]
	p.tokens = p.tokens[:len(p.tokens)-1]
	return token, true
}

func post(addr, path, contentType, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", path, addr, contentType, len(body), body)
}

// mintLoad calls newBugTrackerToken; what is answered goes onto the pile.
func mintLoad(addr string, tokens *tokenPile) (figures, error) {
	request := post(addr, "/bugs", "text/xml", mintRequest)
	return load{
		addr: addr, connections: benchConnections, duration: *loadTime,
		next: func(int, int) []byte { return request },
		answered: func(_, status int, body []byte) error {
			token, ok := between(body, "<string>", "</string>")
			if status != http.StatusOK || !ok || bytes.Contains(body, []byte("<fault>")) {
				return fmt.Errorf("status %d, no token in %s", status, body)
			}
			if tokens != nil {
				tokens.add(string(token))
			}
			return nil
		},
	}.run()
}

// handshakeLoad calls back with tokens of the pile until time or tokens run out.
// Each must be validated: a token is sent once.
func handshakeLoad(addr string, tokens *tokenPile) (figures, error) {
	return load{
		addr: addr, connections: benchConnections, duration: *loadTime,
		next: func(int, int) []byte {
			token, ok := tokens.take()
			if !ok {
				return nil
			}
			return post(addr, "/token/"+token+"/+bugtracker-handshake", "application/x-www-form-urlencoded", "")
		},
	}.run()
}

func bareHandshakeLoad(addr string) (figures, error) {
	request := post(addr, "/token/"+strings.Repeat("x", 32)+"/+bugtracker-handshake", "application/x-www-form-urlencoded", "")
	return load{addr: addr, connections: benchConnections, duration: *loadTime, next: func(int, int) []byte { return request }}.run()
}

func between(body []byte, from, to string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(body, []byte(from))
	if !ok {
		return nil, false
	}
	found, _, ok := bytes.Cut(rest, []byte(to))
	return found, ok
}

// bareEnv makes the test binary run the bare handler instead of tests.
const bareEnv = "INTEGRATION_BARE_HANDLER"

// serveBare is the floor: net/http alone, answering the bytes that the gateway
// would answer.
func serveBare() {
	minted := []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<methodResponse><params><param><value><string>" +
		strings.Repeat("x", 32) + "</string></value></param></params></methodResponse>")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr())
	go exitWithStdin()
	_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, contentType := minted, "text/xml"
		if r.URL.Path != "/bugs" {
			answer, contentType = []byte("Handshake token validated."), "text/plain; charset=utf-8"
		}
		var buf bytes.Buffer
		_, _ = buf.ReadFrom(http.MaxBytesReader(w, r.Body, 1<<20))
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer)
	}))
}

func startBare(tb testing.TB) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), bareEnv+"=1")
	return startPrinting(tb, cmd)
}

func startPythonServer(tb testing.TB) string {
	tb.Helper()
	return startPrinting(tb, exec.Command("python3", "peers/threaded_server.py"))
}
