package trac_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/trac"
)

func TestASiteBehindAPasswordIsNotTakenForThePlugin(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="bugs"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	b, err := bridge.New([]bridge.Config{{Name: "t", URL: server.URL, Dialect: bridge.Auto, AllowPrivate: true}},
		[]bridge.Named{{Name: trac.LaunchpadName, New: trac.NewLaunchpad}}, minter{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := b.Probe(t.Context(), "t")
	if err != nil || p.Dialect != "" {
		t.Errorf("%+v, %v", p, err)
	}
}
