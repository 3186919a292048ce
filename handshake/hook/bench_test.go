package hook_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake/hook"
)

// BenchmarkAccepted is the whole of a request that becomes an event in a bolt file,
// without a network, with callers enough to share commits.
func BenchmarkAccepted(b *testing.B) {
	g := newRig(b)
	benchmark(b, g, bugHook(), http.StatusOK, "bug=7&text=x&token=")
}

// BenchmarkInvalid is one whose token is right and whose fields are not: nothing is
// written.
func BenchmarkInvalid(b *testing.B) {
	g := newRig(b)
	benchmark(b, g, bugHook(), http.StatusBadRequest, "bug=x&token=")
}

func benchmark(b *testing.B, g *rig, spec hook.Spec, status int, body string) {
	b.Helper()
	handler, err := hook.NewHandler(g.store, g.tokens, []*hook.Hook{must(b)(hook.Declare(spec))})
	if err != nil {
		b.Fatal(err)
	}
	token, _, err := g.tokens.Create(context.Background(), "", 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, "/hooks/bugs", strings.NewReader(body+token))
			r.Header.Set("Content-Type", formType)
			w := httptest.NewRecorder()
			if handler.ServeHTTP(w, r); w.Code != status {
				b.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
