package bridge

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// benchConnections is how many callers there are at once, each with a connection
// of its own, and how many connections the proxy may have to the tracker.
const benchConnections = 16

// BenchmarkProxy calls the same peer directly and through the proxy in turns, and
// prints the median of each at 16 connections, what the proxy adds to it there and
// to the calls of a single caller, and the ratio of the throughputs. Clients, proxy
// and peer share one process and its processors: a peer that answers at once shows
// what the proxy costs of them, and since a call through it is two calls the ratio
// can then not be above a half. The other peer takes 3 to 7 ms, as a fast tracker
// does.
func BenchmarkProxy(b *testing.B) {
	for _, peer := range []struct {
		name string
		wait time.Duration
	}{{"at-once", 0}, {"after-5ms", 5 * time.Millisecond}} {
		b.Run(peer.name, func(b *testing.B) { benchmarkProxy(b, peer.wait) })
	}
}

func benchmarkProxy(b *testing.B, wait time.Duration) {
	answer := response("<struct><member><name>bugs</name><value><array><data>" + strings.Repeat("<value><struct><member><name>id</name><value><int>1</int></value></member>"+
		"<member><name>summary</name><value><string>Crash when opening an empty file</string></value></member></struct></value>", 20) + "</data></array></value></member></struct>")
	var served atomic.Int64
	length := strconv.Itoa(len(answer))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if wait > 0 { // not all at the same time, or the callers would go on in step
			time.Sleep(wait + wait/10*time.Duration(served.Add(1)%9-4))
		}
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Content-Length", length)
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	bridge, err := New([]Config{{Name: "t", URL: server.URL, Dialect: "stand-in", AllowPrivate: true}}, []Named{{Name: "stand-in", New: func(r *Remote) (Dialect, error) {
		endpoint, err := r.Endpoint("xmlrpc.cgi")
		d := &proxyDialect{test: &behindProxy{rules: ProxyRules{Endpoint: endpoint, Allow: []string{"Bug.*"}, Reads: []string{"Bug.get"},
			Credentials: []string{"Bugzilla_token"}, Hide: []string{"update_token"}}}}
		d.login = func(context.Context, *Credentials) (*Session, error) {
			return &Session{Members: map[string]string{"Bugzilla_token": "12-0123456789"}}, nil
		}
		return d, err
	}}}, nil, nil, WithConnections(benchConnections))
	if err != nil {
		b.Fatal(err)
	}
	defer bridge.Close()
	proxy := httptest.NewServer(bridge.Proxy(xmlrpc.Limits{}))
	defer proxy.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections, MaxConnsPerHost: benchConnections}}
	defer client.CloseIdleConnections()
	document := call("Bug.get", map[string]any{"ids": []any{1, 2, 3}, "include_fields": []any{"id", "summary"}})

	one := func(url string) {
		resp, err := client.Post(url, "text/xml", strings.NewReader(document))
		if err != nil {
			b.Error(err)
			return
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(got) != answer {
			b.Errorf("%v: %s", err, got)
		}
	}
	// round has all callers make so many calls and returns how long each took.
	round := func(url string, calls int) ([]time.Duration, time.Duration) {
		took := make([]time.Duration, benchConnections*calls)
		var wg sync.WaitGroup
		begun := time.Now()
		for caller := range benchConnections {
			wg.Go(func() {
				for i := range calls {
					at := time.Now()
					one(url)
					took[caller*calls+i] = time.Since(at)
				}
			})
		}
		wg.Wait()
		return took, time.Since(begun)
	}
	targets := []string{server.URL + "/xmlrpc.cgi", proxy.URL + ProxyPath + "t"}
	var single, took [2][]time.Duration
	var whole [2]time.Duration
	const calls = 25
	for _, url := range targets {
		round(url, calls) // connections, buffers, the session
	}
	b.ResetTimer()
	for range b.N {
		for i, url := range targets {
			each, all := round(url, calls)
			took[i] = append(took[i], each...)
			whole[i] += all
			for range calls {
				at := time.Now()
				one(url)
				single[i] = append(single[i], time.Since(at))
			}
		}
	}
	b.StopTimer()
	median := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/2]) / float64(time.Microsecond)
	}
	b.ReportMetric(median(took[0]), "direct-µs")
	b.ReportMetric(median(took[1]), "proxy-µs")
	b.ReportMetric(median(took[1])-median(took[0]), "added-µs")
	b.ReportMetric(median(single[1])-median(single[0]), "added-alone-µs")
	b.ReportMetric(float64(whole[0])/float64(whole[1]), "throughput-ratio")
	b.ReportMetric(0, "ns/op")
}
