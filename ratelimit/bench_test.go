package ratelimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trackgate/trackgate/ratelimit"
)

// inParallel runs ask in 128 goroutines on any machine, each with a request as
// net/http gives it, from the callers in turn. Beside the time it reports how long
// processors worked for one question in this process, which what else runs on the
// machine changes little.
func inParallel(b *testing.B, callers []ratelimit.Caller, ask func(r *http.Request, c ratelimit.Caller) error) {
	b.Helper()
	b.ReportAllocs()
	b.SetParallelism(128)
	connection, hangUp := context.WithCancel(b.Context())
	defer hangUp()
	var next atomic.Int64
	before := processorTime(b)
	b.RunParallel(func(pb *testing.PB) {
		i := int(next.Add(97))
		plain := httptest.NewRequest(http.MethodPost, "/", nil)
		for pb.Next() {
			i++
			c := callers[i%len(callers)]
			ctx, end := context.WithCancel(connection)
			r := plain.WithContext(ctx)
			r.RemoteAddr = string(c) + ":1"
			err := ask(r, c)
			end()
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

// many are the callers of a benchmark, so that no one bucket is the bottleneck.
var many = func() []ratelimit.Caller {
	list := make([]ratelimit.Caller, 1024)
	for i := range list {
		list[i] = ratelimit.Caller(fmt.Sprintf("192.0.%d.%d", i/256, i%256))
	}
	return list
}()

// questions measures what requests of many callers and those of one cost: a take
// by itself, the one rule of a call, and a gate with a rule of either kind.
func questions(b *testing.B, l ratelimit.Limiter) {
	p := policy(b, "bench", "1000000/s", ratelimit.MaxBurst)
	th := newThrottle(b, l, nil)
	g := newGate(b, th, p, policy(b, "bench_failures", "10/m", 10))
	one := rules(p)
	for _, crowd := range []struct {
		name    string
		callers []ratelimit.Caller
	}{{"many", many}, {"one", many[:1]}} {
		for _, question := range []struct {
			name string
			ask  func(r *http.Request, c ratelimit.Caller) error
		}{
			{"take", func(r *http.Request, c ratelimit.Caller) error {
				_, err := l.Take(r.Context(), p, c, 1)
				return err
			}},
			{"charge", func(r *http.Request, _ ratelimit.Caller) error {
				return th.Charge(r.Context(), http.Header{}, ratelimit.Callers{}.SubjectOf(r), one...)
			}},
			{"admit", func(r *http.Request, _ ratelimit.Caller) error { return g.Admit(r, http.Header{}) }},
		} {
			b.Run(question.name+"/"+crowd.name, func(b *testing.B) { inParallel(b, crowd.callers, question.ask) })
		}
	}
}

func BenchmarkLocal(b *testing.B) {
	questions(b, newLocal(b, 0))
}

// BenchmarkLocalFlood is what a newcomer costs when there is room for nobody.
func BenchmarkLocalFlood(b *testing.B) {
	b.ReportAllocs()
	b.SetParallelism(128)
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
		b.Run(kind.name, func(b *testing.B) { questions(b, kind.limiter) })
	}
}
