package gateway

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/cmd/trackgate/internal/config"
	"github.com/trackgate/trackgate/xmlrpc"
)

// BenchmarkPrivateSide is a call of a method without parameters through all that
// stands before and around it on the private side, without net/http's own part.
func BenchmarkPrivateSide(b *testing.B) {
	cfg, err := config.Load(config.Source{})
	if err != nil {
		b.Fatal(err)
	}
	registry := xmlrpc.NewRegistry()
	err = registry.Register("token", func(ctx context.Context) (string, error) {
		select {
		case <-ctx.Done(): // whatever waits for a store looks at it
			return "", ctx.Err()
		default:
			return "0123456789abcdef0123456789abcdef", nil
		}
	}, "")
	if err != nil {
		b.Fatal(err)
	}
	handler, err := privateRoutes(cfg, slog.New(slog.DiscardHandler), newMetrics("test"), map[string]*xmlrpc.Registry{routeAll: registry}, &throttle{}, (*bridge.Bridge)(nil))
	if err != nil {
		b.Fatal(err)
	}
	const doc = `<?xml version='1.0'?><methodCall><methodName>token</methodName><params></params></methodCall>`
	body := strings.NewReader(doc)
	request := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8087/RPC2", nil)
	request.RemoteAddr = "127.0.0.1:40000"
	request.Header.Set("Content-Type", "text/xml")
	request.ContentLength = body.Size()
	w := &discarded{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(doc)
		// Each request of net/http has a context of its own, which ends with it.
		ctx, cancel := context.WithCancel(b.Context())
		r := request.WithContext(ctx)
		r.Body = io.NopCloser(body)
		handler.ServeHTTP(w, r)
		cancel()
	}
	if w.status != 0 {
		b.Errorf("status %d", w.status)
	}
}

// discarded is an answer that goes nowhere.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
