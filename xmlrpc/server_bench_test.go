package xmlrpc_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// benchConnections is the number of connections in BenchmarkServerCall.
const benchConnections = 64

// BenchmarkServerCall compares a call through the whole server (HTTP, codec,
// dispatch, a method that returns a string) with a bare net/http handler that
// reads the same request and answers with the same body. The ratio is the bare
// handler's requests per second divided by the server's.
//
// Both take short turns, and each round of two gives one ratio, of which the middle
// one is reported: other work on the machine then falls out, unless there is
// as much of it as to change most rounds.
func BenchmarkServerCall(b *testing.B) {
	registry := xmlrpc.NewRegistry()
	register(b, registry, "newBugTrackerToken", func(*string) (string, error) {
		return "mint-token-0123456789abcdefghijklmnopqrstuvwxyz", nil
	}, "", "tracker")
	handler := xmlrpc.NewHandler(registry)
	doc := callOf(b, "newBugTrackerToken")
	answer := recordCall(b, handler, doc).body
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	})
	const rounds = 21
	loads := [2]*load{newLoad(b, bare, doc), newLoad(b, handler, doc)}
	var perSecond [2][]float64
	var ratios []float64
	for range b.N {
		for round := range rounds {
			var took [2]float64
			// Whoever comes second finds the machine warmer.
			for turn := range loads {
				who := (round + turn) % len(loads)
				took[who] = loads[who].turn(b).Seconds()
				perSecond[who] = append(perSecond[who], benchConnections*benchCalls/took[who])
			}
			ratios = append(ratios, took[1]/took[0])
		}
	}
	b.ReportMetric(middle(perSecond[0]), "bare/s")
	b.ReportMetric(middle(perSecond[1]), "xmlrpc/s")
	b.ReportMetric(middle(ratios), "ratio")
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// benchCalls is the number of calls of each connection in one turn.
const benchCalls = 80

// load is a server with the connections that call it.
type load struct {
	request []byte
	conns   []net.Conn
	readers []*bufio.Reader
}

func newLoad(b *testing.B, handler http.Handler, doc string) *load {
	b.Helper()
	server := httptest.NewServer(handler)
	b.Cleanup(server.Close)
	l := &load{request: post("Content-Type: text/xml\r\n", doc)}
	for range benchConnections {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		l.conns, l.readers = append(l.conns, conn), append(l.readers, bufio.NewReader(conn))
	}
	l.turn(b)
	return l
}

// turn makes benchCalls calls on each connection and returns how long it took.
func (l *load) turn(b *testing.B) time.Duration {
	b.Helper()
	// Nobody is to clear away what the other has left.
	runtime.GC()
	var failed atomic.Bool
	var done sync.WaitGroup
	begun := time.Now()
	for i, conn := range l.conns {
		done.Go(func() {
			for range benchCalls {
				if _, err := conn.Write(l.request); err != nil || skipResponse(l.readers[i]) != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	done.Wait()
	if failed.Load() {
		b.Fatal("a call failed")
	}
	return time.Since(begun)
}

// skipResponse reads a response with as little work as possible.
func skipResponse(r *bufio.Reader) error {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
		if name := "Content-Length: "; len(line) > len(name) && string(line[:len(name)]) == name {
			if length, err = strconv.Atoi(string(line[len(name) : len(line)-2])); err != nil {
				return err
			}
		}
	}
}

// BenchmarkHandler is the handler alone, without net/http around it.
func BenchmarkHandler(b *testing.B) {
	h := xmlrpc.NewHandler(echoRegistry(b))
	doc := callOf(b, "newBugTrackerToken")
	body := strings.NewReader(doc)
	w := &discardWriter{header: http.Header{}}
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Header.Set("Content-Type", "text/xml")
	req.ContentLength = body.Size()
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(doc)
		req.Body = io.NopCloser(body)
		h.ServeHTTP(w, req)
	}
}

// discardWriter is a ResponseWriter that costs nothing.
type discardWriter struct{ header http.Header }

func (w *discardWriter) Header() http.Header         { return w.header }
func (w *discardWriter) WriteHeader(int)             {}
func (w *discardWriter) Write(p []byte) (int, error) { return len(p), nil }
