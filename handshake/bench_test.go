package handshake_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/boltstore"
)

// benchWorkers is how many goroutines share the work of a benchmark.
const benchWorkers = 128

func inParallel(b *testing.B, work func(i int)) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var group sync.WaitGroup
	for range benchWorkers {
		group.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				work(int(i - 1))
			}
		})
	}
	group.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

func newBenchAuthority(b *testing.B) *handshake.Authority {
	b.Helper()
	store, err := boltstore.Open(filepath.Join(b.TempDir(), "tokens.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	a, err := handshake.New(store)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// BenchmarkCallback is the whole of a callback on a bolt file, without a network.
func BenchmarkCallback(b *testing.B) {
	a := newBenchAuthority(b)
	targets := make([]string, b.N)
	inParallel(b, func(i int) {
		token, _, err := a.Mint(context.Background(), handshake.BugTracker, "")
		if err != nil {
			b.Error(err)
		}
		targets[i] = handshake.CallbackPath("", token)
	})
	handler := handshake.NewHandler(a)
	inParallel(b, func(i int) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, targets[i], nil))
		if recorder.Code != http.StatusOK {
			b.Errorf("status %d", recorder.Code)
		}
	})
}

// BenchmarkCallbackRefused is a callback with a token that was never minted.
func BenchmarkCallbackRefused(b *testing.B) {
	handler := handshake.NewHandler(newBenchAuthority(b))
	other := newBenchAuthority(b)
	token, _, err := other.Mint(context.Background(), handshake.BugTracker, "")
	if err != nil {
		b.Fatal(err)
	}
	target := handshake.CallbackPath("", token)
	inParallel(b, func(int) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, target, nil))
		if recorder.Code != http.StatusGone {
			b.Errorf("status %d", recorder.Code)
		}
	})
}
