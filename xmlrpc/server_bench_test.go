package xmlrpc_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
// reads the same request and answers the same bytes. The ratio is the bare
// handler's requests per second divided by the server's.
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
	// Both take turns, so that what else the machine does meets both alike.
	const turns = 4
	var took [2]time.Duration
	for range b.N {
		for range turns {
			took[0] += drive(b, bare, doc)
			took[1] += drive(b, handler, doc)
		}
	}
	calls := float64(b.N * turns * benchConnections * benchCalls)
	b.ReportMetric(calls/took[0].Seconds(), "bare/s")
	b.ReportMetric(calls/took[1].Seconds(), "xmlrpc/s")
	b.ReportMetric(took[1].Seconds()/took[0].Seconds(), "ratio")
}

// benchCalls is the number of calls of each connection in one turn.
const benchCalls = 200

// drive makes benchCalls calls on each connection and returns how long it took.
func drive(b *testing.B, handler http.Handler, doc string) time.Duration {
	b.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	request := post("Content-Type: text/xml\r\n", doc)
	var failed atomic.Bool
	var done sync.WaitGroup
	start := make(chan struct{})
	for range benchConnections {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		done.Go(func() {
			r := bufio.NewReader(conn)
			<-start
			for range benchCalls {
				if _, err := conn.Write(request); err != nil || skipResponse(r) != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	begun := time.Now()
	close(start)
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
