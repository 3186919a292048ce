package integration

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var loadTime = flag.Duration("load", 2*time.Second, "how long each measurement of the benchmarks loads a server")

const (
	benchConnections = 128
	benchRounds      = 5
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
// threaded XML-RPC server. Every server is a process of its own. Each measurement
// comes right after one of the bare handler, so that what else the machine does
// meets both alike; the table shows medians, of the ratios too.
func BenchmarkGateway(b *testing.B) {
	for b.Loop() {
		benchGateway(b)
	}
}

// contender is one line of the table.
type contender struct {
	name    string
	measure func() (figures, error)
	bare    *contender // what it is compared with; nil for a bare handler itself
	rounds  []figures
	ratios  []float64
}

func (c *contender) round(b *testing.B) figures {
	b.Helper()
	f, err := c.measure()
	if err != nil {
		b.Fatalf("%s: %v", c.name, err)
	}
	c.rounds = append(c.rounds, f)
	return f
}

func benchGateway(b *testing.B) {
	bareAddr, pythonAddr := startBare(b), startPythonServer(b)
	bareMint := &contender{name: "bare net/http, bytes of mint", measure: func() (figures, error) { return mintLoad(bareAddr, nil, 0) }}
	bareHandshake := &contender{name: "bare net/http, bytes of handshake", measure: func() (figures, error) { return bareHandshakeLoad(bareAddr, 0) }}
	mints := []*contender{{name: "mint, Python xmlrpc.server", bare: bareMint, measure: func() (figures, error) { return mintLoad(pythonAddr, nil, 0) }}}
	var handshakes []*contender
	for _, s := range startStores(b) {
		mints = append(mints, &contender{name: "mint, " + s.name, bare: bareMint, measure: func() (figures, error) { return mintLoad(s.gateway.Private, &s.tokens, 0) }})
		handshakes = append(handshakes, &contender{name: "handshake, " + s.name, bare: bareHandshake, measure: func() (figures, error) { return handshakeLoad(s.gateway.Public, &s.tokens, 0) }})
	}
	for range benchRounds {
		for _, c := range slices.Concat(mints, handshakes) {
			floor := c.bare.round(b)
			c.ratios = append(c.ratios, c.round(b).perSecond/floor.perSecond)
		}
	}
	report(b, slices.Concat([]*contender{bareMint}, mints, []*contender{bareHandshake}, handshakes))
}

// benchStore is a gateway on one store, under limits that no load reaches.
type benchStore struct {
	name    string
	gateway *gatewayProcess
	tokens  tokenPile
}

func startStores(b *testing.B) []*benchStore {
	open := []string{
		"--set", "limits.mint.rate=1000000/s", "--set", "limits.mint.burst=1000000",
		"--set", "limits.handshake.rate=1000000/s", "--set", "limits.handshake.burst=1000000",
		"--set", "limits.handshake_failures.rate=1000000/s", "--set", "limits.handshake_failures.burst=1000000",
		"--set", "token.max_live=100000000",
	}
	onRedis := func(opts redisOptions) *gatewayProcess {
		return startGateway(b, append([]string{"--set", "store.url=" + startRedis(b, opts).URL}, open...)...)
	}
	return []*benchStore{
		{name: "bolt, every answer on disk", gateway: startGateway(b, open...)},
		{name: "Redis, in memory", gateway: onRedis(redisOptions{args: []string{"--appendonly", "no"}})},
		{name: "Redis, every answer on disk", gateway: onRedis(redisOptions{})},
	}
}

func report(b *testing.B, contenders []*contender) {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\trequests/s\tp50\tp99\tratio to bare\t")
	for _, c := range contenders {
		slices.SortFunc(c.rounds, func(a, b figures) int { return cmp.Compare(a.perSecond, b.perSecond) })
		f := c.rounds[len(c.rounds)/2]
		ratio := "-"
		if c.bare != nil {
			slices.Sort(c.ratios)
			r := c.ratios[len(c.ratios)/2]
			ratio = fmt.Sprintf("%.2f", r)
			b.ReportMetric(r, strings.NewReplacer(" ", "_", ",", "").Replace(c.name)+"/bare")
		}
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\t%s\t\n", c.name, f.perSecond, f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond), ratio)
	}
	_ = w.Flush() // a strings.Builder takes everything
	fmt.Printf("\n%d connections, %s a measurement, medians of %d rounds\n%s\n", benchConnections, *loadTime, benchRounds, out.String())
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
func mintLoad(addr string, tokens *tokenPile, every time.Duration) (figures, error) {
	request := post(addr, "/bugs", "text/xml", mintRequest)
	return load{
		addr: addr, connections: benchConnections, duration: *loadTime, every: every,
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
func handshakeLoad(addr string, tokens *tokenPile, every time.Duration) (figures, error) {
	return load{
		addr: addr, connections: benchConnections, duration: *loadTime, every: every,
		next: func(int, int) []byte {
			token, ok := tokens.take()
			if !ok {
				return nil
			}
			return post(addr, "/token/"+token+"/+bugtracker-handshake", "application/x-www-form-urlencoded", "")
		},
	}.run()
}

func bareHandshakeLoad(addr string, every time.Duration) (figures, error) {
	request := post(addr, "/token/"+strings.Repeat("x", 36)+"/+bugtracker-handshake", "application/x-www-form-urlencoded", "")
	return load{addr: addr, connections: benchConnections, duration: *loadTime, every: every, next: func(int, int) []byte { return request }}.run()
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
		strings.Repeat("x", 36) + "</string></value></param></params></methodResponse>")
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
