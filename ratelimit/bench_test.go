package ratelimit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/ratelimit"
)

// parallelism makes 128 goroutines on any machine.
func parallelism(b *testing.B) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(128)
}

// many are the callers of a benchmark, so that no one bucket is the bottleneck.
var many = func() (list [1024]ratelimit.Caller) {
	for i := range list {
		list[i] = ratelimit.Caller(fmt.Sprintf("192.0.%d.%d", i/256, i%256))
	}
	return list
}()

func benchmarkTake(b *testing.B, l ratelimit.Limiter) {
	b.Helper()
	parallelism(b)
	p := policy(b, "bench", "1000000/s", ratelimit.MaxBurst)
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(next.Add(97))
		for pb.Next() {
			i++
			if _, err := l.Take(b.Context(), p, many[i%len(many)], 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func benchmarkAdmit(b *testing.B, l ratelimit.Limiter) {
	b.Helper()
	parallelism(b)
	g := newGate(b, newThrottle(b, l, nil), policy(b, "bench", "1000000/s", ratelimit.MaxBurst), policy(b, "bench_failures", "10/m", 10))
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		i := int(next.Add(97))
		for pb.Next() {
			i++
			r.RemoteAddr = string(many[i%len(many)]) + ":1"
			if err := g.Admit(r, http.Header{}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkLocal(b *testing.B) {
	b.Run("take", func(b *testing.B) { benchmarkTake(b, newLocal(b, 0)) })
	b.Run("admit", func(b *testing.B) { benchmarkAdmit(b, newLocal(b, 0)) })
}

// BenchmarkLocalFlood is what a newcomer costs when there is room for nobody.
func BenchmarkLocalFlood(b *testing.B) {
	parallelism(b)
	l := newLocal(b, 0)
	p := policy(b, "bench", "1/h", 2)
	for i := range 3 * ratelimit.DefaultMaxCallers {
		take(b, l, p, ratelimit.Caller(fmt.Sprint("old", i)), 1)
	}
	var next atomic.Int64
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.Take(b.Context(), p, ratelimit.Caller(fmt.Sprint(next.Add(1))), 1); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRedis(b *testing.B) {
	s := startRedis(b)
	blocking, err := s.client().AutoPipeline()
	if err != nil {
		b.Fatal(err)
	}
	shared := ratelimit.NewRedis(s.pipelines())
	failover := newFailover(b, ratelimit.FailoverConfig{Redis: shared}, nil)
	b.Cleanup(failover.Close)
	for _, kind := range []struct {
		name    string
		limiter ratelimit.Limiter
	}{
		{"plain", ratelimit.NewRedis(s.client())},
		{"blocking-pipelines", ratelimit.NewRedis(blocking)},
		{"shared-pipelines", shared},
		{"shared-pipelines-failover", failover},
	} {
		b.Run(kind.name+"/take", func(b *testing.B) { benchmarkTake(b, kind.limiter) })
		b.Run(kind.name+"/admit", func(b *testing.B) { benchmarkAdmit(b, kind.limiter) })
	}
}
