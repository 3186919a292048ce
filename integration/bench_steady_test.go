package integration

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// idleConnections is how many keep-alive connections are held open without
// requests.
const idleConnections = 9_000 // client and server each have a file for every one

// BenchmarkGatewayHalfLoad measures how long minting and handshakes take when the
// gateway has half of the load that it can bear, beside a bare handler under the
// same load. Requests come at their times, whether the one before was answered or
// not, so that what is late counts.
func BenchmarkGatewayHalfLoad(b *testing.B) {
	for b.Loop() {
		bare := startBare(b)
		var out strings.Builder
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "what\trequests/s\tp50\tp99\tbare p99\tp99 to bare\t")
		for _, s := range startStores(b) {
			halfLoad(b, w, "mint, "+s.name,
				func(every time.Duration) (figures, error) { return mintLoad(s.gateway.Private, &s.tokens, every) },
				func(every time.Duration) (figures, error) { return mintLoad(bare, nil, every) })
			halfLoad(b, w, "handshake, "+s.name,
				func(every time.Duration) (figures, error) { return handshakeLoad(s.gateway.Public, &s.tokens, every) },
				func(every time.Duration) (figures, error) { return bareHandshakeLoad(bare, every) })
		}
		_ = w.Flush() // a strings.Builder takes everything
		fmt.Printf("\nat half load, %d connections, %s a measurement, medians of %d rounds\n%s\n", benchConnections, *loadTime, benchRounds, out.String())
	}
}

func halfLoad(b *testing.B, w *tabwriter.Writer, name string, measure, floor func(every time.Duration) (figures, error)) {
	b.Helper()
	whole, err := measure(0)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	every := time.Duration(2 * benchConnections / whole.perSecond * float64(time.Second))
	type pair struct {
		gateway, bare figures
		ratio         float64
	}
	pairs := make([]pair, benchRounds)
	for i := range pairs {
		p := &pairs[i]
		if p.bare, err = floor(every); err == nil {
			p.gateway, err = measure(every)
		}
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		p.ratio = float64(p.gateway.p99) / float64(p.bare.p99)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.ratio, b.ratio) })
	p := pairs[len(pairs)/2]
	const fine = 10 * time.Microsecond
	fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\t%s\t%.1f\t\n", name, p.gateway.perSecond, p.gateway.p50.Round(fine), p.gateway.p99.Round(fine), p.bare.p99.Round(fine), p.ratio)
	b.ReportMetric(p.ratio, strings.NewReplacer(" ", "_", ",", "").Replace(name)+"_p99/bare")
}

// BenchmarkGatewayIdle measures what connections cost that have made a request and
// wait for the next.
func BenchmarkGatewayIdle(b *testing.B) {
	for b.Loop() {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), bareEnv+"=1")
		bareAddr := startPrinting(b, cmd)
		gateway := startGateway(b, "--set", "limits.handshake.rate=off", "--set", "limits.handshake_failures.rate=off")
		bare := idleCost(b, bareAddr, cmd.Process.Pid)
		public := idleCost(b, gateway.Public, gateway.cmd.Process.Pid)
		fmt.Printf("\n%d idle connections: bare net/http %.1f MiB, the gateway's public side %.1f MiB, ratio %.2f\n", idleConnections, bare, public, public/bare)
		b.ReportMetric(public/bare, "idle/bare")
	}
}

// idleCost returns by how many MiB a process grows with the connections.
func idleCost(b *testing.B, addr string, pid int) float64 {
	b.Helper()
	request := post(addr, "/token/none/+bugtracker-handshake", "text/plain", "")
	open := func() net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, _, err := readAnswer(bufio.NewReader(c), nil); err != nil {
			b.Fatal(err)
		}
		return c
	}
	for range 100 { // what the first requests allocate is no connection's
		_ = open().Close()
	}
	before := resident(b, pid)
	conns := make([]net.Conn, idleConnections)
	for i := range conns {
		conns[i] = open()
	}
	grown := resident(b, pid) - before
	for _, c := range conns {
		_ = c.Close()
	}
	return grown
}

var residentSize = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is the memory of a process, in MiB.
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	m := residentSize.FindSubmatch(status)
	if m == nil {
		b.Fatalf("process %d has no VmRSS", pid)
	}
	kilobytes, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kilobytes / 1024
}
