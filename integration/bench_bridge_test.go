package integration

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/trackgate/trackgate/bridge/bugzilla"
	"github.com/trackgate/trackgate/xmlrpc"
)

// quickTracker is a Bugzilla of two methods that costs next to nothing.
type quickTracker struct {
	delay            time.Duration // of every answer
	calls, bugCalls  atomic.Int64
	current, busiest atomic.Int64
}

func (q *quickTracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := q.current.Add(1)
	defer q.current.Add(-1)
	for most := q.busiest.Load(); now > most && !q.busiest.CompareAndSwap(most, now); most = q.busiest.Load() {
	}
	q.calls.Add(1)
	document, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever called is gone
	}
	if q.delay > 0 {
		time.Sleep(q.delay)
	}
	answer := quickTime
	if bytes.Contains(document, []byte("<methodName>Bug.get<")) {
		q.bugCalls.Add(1)
		answer = quickBugs(document)
	}
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	_, _ = w.Write(answer) // as above
}

var quickTime = []byte(quickResponse("<struct><member><name>db_time</name><value><dateTime.iso8601>20260102T03:04:05</dateTime.iso8601></value></member></struct>"))

func quickResponse(value string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><methodResponse><params><param><value>` + value + `</value></param></params></methodResponse>`
}

// quickBugs answers with the bugs whose numbers stand in the call.
func quickBugs(call []byte) []byte {
	var bugs strings.Builder
	for rest := call; ; {
		number, ok := between(rest, "<int>", "</int>")
		if !ok {
			break
		}
		fmt.Fprintf(&bugs, "<value><struct><member><name>id</name><value><int>%s</int></value></member><member><name>summary</name>"+
			"<value><string>Crash when opening an empty file</string></value></member><member><name>status</name><value><string>CONFIRMED</string></value></member>"+
			"<member><name>last_change_time</name><value><dateTime.iso8601>20260102T03:04:05</dateTime.iso8601></value></member></struct></value>", number)
		_, rest, _ = bytes.Cut(rest, []byte("</int>"))
	}
	return []byte(quickResponse("<struct><member><name>bugs</name><value><array><data>" + bugs.String() + "</data></array></value></member></struct>"))
}

// BenchmarkBridgeReadsAThousandBugs asks the gateway for 1,000 bugs of a tracker that takes 20 ms
// for every answer: ten batches over four connections cannot come in less than three rounds.
func BenchmarkBridgeReadsAThousandBugs(b *testing.B) {
	const (
		bugs, batch, connections = 1000, 100, 4
		delay                    = 20 * time.Millisecond
		rounds                   = 15
	)
	q := &quickTracker{delay: delay}
	server := httptest.NewServer(q)
	defer server.Close()
	g := startGateway(b, with(unlimited, "--config", quickConfig(b, server.URL, connections))...)
	client, err := xmlrpc.NewClient("http://"+g.Private+"/trackers", xmlrpc.WithHTTPClient(http.DefaultClient))
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]any, bugs)
	for i := range ids {
		ids[i] = i + 1
	}
	read := func() time.Duration {
		begun := time.Now()
		var got struct {
			Bugs []struct {
				ID string `xmlrpc:"id"`
			} `xmlrpc:"bugs"`
		}
		if err := client.Call(b.Context(), "getBugs", &got, "quick", ids, "metadata"); err != nil || len(got.Bugs) != bugs {
			b.Fatalf("%d bugs: %v", len(got.Bugs), err)
		}
		return time.Since(begun)
	}
	read() // the session and the clock
	for b.Loop() {
		calls, bugCalls := q.calls.Load(), q.bugCalls.Load()
		took := make([]time.Duration, rounds)
		for i := range took {
			took[i] = read()
		}
		slices.Sort(took)
		fewest := (bugs/batch + connections - 1) / connections * int(delay/time.Millisecond)
		median := float64(took[rounds/2]) / float64(time.Millisecond)
		fmt.Printf("\n%d bugs, %s an answer, %d connections: median %.1f ms, best %.1f ms; the fewest calls take %d ms: ratio %.2f\n"+
			"the tracker answered %.1f calls a time, %.1f of them for bugs, %d at once at most\n\n",
			bugs, delay, connections, median, float64(took[0])/float64(time.Millisecond), fewest, median/float64(fewest),
			float64(q.calls.Load()-calls)/rounds, float64(q.bugCalls.Load()-bugCalls)/rounds, q.busiest.Load())
		b.ReportMetric(median, "ms/1000-bugs")
		b.ReportMetric(median/float64(fewest), "of-fewest")
	}
}

func quickConfig(tb testing.TB, url string, connections int) string {
	tb.Helper()
	d := spokenDialect{credentials: "api_key = \"" + bugzillaKey + "\"\n"}
	return writeFile(tb, "trackgate.toml", d.entry(tb, "quick", bugzilla.NativeName, &tracPeer{URL: url}, fmt.Sprintf("connections = %d\n", connections)))
}

const (
	proxyConnections = 16
	// quickTrackerEnv makes the test binary run a quickTracker with this delay instead of tests.
	quickTrackerEnv = "INTEGRATION_QUICK_TRACKER"
)

// serveQuickTracker is the process of a tracker.
func serveQuickTracker() {
	delay, err := time.ParseDuration(os.Getenv(quickTrackerEnv))
	var ln net.Listener
	if err == nil {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(ln.Addr())
	go exitWithStdin()
	_ = http.Serve(ln, &quickTracker{delay: delay})
}

// BenchmarkProxyAgainstItsTracker calls the same tracker directly and through the proxy, in
// turns. Tracker, gateway and load are a process each and share the processors: a call through
// the proxy is two calls, so that of a tracker that answers at once, and costs nothing, the ratio
// cannot be more than about a half. One that takes its time is what trackers are.
func BenchmarkProxyAgainstItsTracker(b *testing.B) {
	for b.Loop() {
		var out strings.Builder
		w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "tracker answers\tconnections\tdirect p50\tproxy p50\tadded at p50\tdirect/s\tproxy/s\tratio\t")
		for _, delay := range []time.Duration{0, 5 * time.Millisecond, 20 * time.Millisecond} {
			tracker := startQuickTracker(b, delay)
			g := startGateway(b, with(unlimited, "--config", quickConfig(b, "http://"+tracker, proxyConnections))...)
			for _, connections := range []int{1, proxyConnections} {
				benchProxy(b, w, tracker, g, delay, connections)
			}
			g.Stop()
		}
		_ = w.Flush() // a strings.Builder takes everything
		fmt.Printf("\n%s a measurement, medians of %d rounds, direct and proxy in turns\n%s\n", *loadTime, benchRounds, out.String())
	}
}

func startQuickTracker(tb testing.TB, delay time.Duration) string {
	tb.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), quickTrackerEnv+"="+delay.String())
	return startPrinting(tb, cmd)
}

// benchProxy measures and adds a line to the table.
func benchProxy(b *testing.B, w io.Writer, tracker string, g *gatewayProcess, delay time.Duration, connections int) {
	b.Helper()
	document, err := xmlrpc.AppendCall(nil, "Bug.get", []any{map[string]any{
		"ids": []any{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, "include_fields": []any{"id", "summary", "status", "last_change_time"},
	}})
	if err != nil {
		b.Fatal(err)
	}
	measure := func(addr, path string) figures {
		request := post(addr, path, "text/xml", string(document))
		f, err := load{
			addr: addr, connections: connections, duration: *loadTime,
			next: func(int, int) []byte { return request },
			answered: func(_, status int, body []byte) error {
				if status != http.StatusOK || bytes.Count(body, []byte("<name>id</name>")) != 10 {
					return fmt.Errorf("status %d: %s", status, body)
				}
				return nil
			},
		}.run()
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	middle := func(values []float64) float64 {
		slices.SortFunc(values, cmp.Compare[float64])
		return values[len(values)/2]
	}
	var direct, proxied, added, directRate, proxyRate, ratio []float64
	for range benchRounds {
		d, p := measure(tracker, "/xmlrpc.cgi"), measure(g.Private, "/trackers/quick")
		direct, proxied = append(direct, d.p50.Seconds()*1e6), append(proxied, p.p50.Seconds()*1e6)
		added = append(added, (p.p50-d.p50).Seconds()*1e6)
		directRate, proxyRate = append(directRate, d.perSecond), append(proxyRate, p.perSecond)
		ratio = append(ratio, p.perSecond/d.perSecond)
	}
	fmt.Fprintf(w, "after %s\t%d\t%.0f µs\t%.0f µs\t%.0f µs\t%.0f\t%.0f\t%.2f\t\n", delay, connections,
		middle(direct), middle(proxied), middle(added), middle(directRate), middle(proxyRate), middle(ratio))
	if connections == proxyConnections {
		b.ReportMetric(middle(added), fmt.Sprintf("added-µs-after-%s", delay))
		b.ReportMetric(middle(ratio), fmt.Sprintf("ratio-after-%s", delay))
	}
}
