package handshake_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
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

// BenchmarkTrail is the whole life of a token, minting and callback, without a
// trail and with one, in turns; it reports the ratio of the rates.
func BenchmarkTrail(b *testing.B) {
	const turns = 4
	var spent [2]time.Duration
	for turn := range 2 * turns {
		with := (turn + turn/2) % 2 // neither is always the first
		store, err := boltstore.Open(filepath.Join(b.TempDir(), "tokens.db"))
		if err != nil {
			b.Fatal(err)
		}
		var opts []handshake.Option
		var trail *audit.Trail
		if with == 1 {
			if trail, err = audit.Open(context.Background(), store.Trail()); err != nil {
				b.Fatal(err)
			}
			opts = append(opts, handshake.WithTrail(trail))
		}
		a, err := handshake.New(store, opts...)
		if err != nil {
			b.Fatal(err)
		}
		handler := handshake.NewHandler(a)
		begun := time.Now()
		inParallel(b, func(int) {
			token, _, err := a.Mint(context.Background(), handshake.BugTracker, "")
			if err != nil {
				b.Error(err)
			}
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, handshake.CallbackPath("", token), nil))
			if recorder.Code != http.StatusOK {
				b.Errorf("status %d", recorder.Code)
			}
		})
		spent[with] += time.Since(begun)
		if err := errors.Join(trail.Close(context.Background()), store.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "with/without")
}
