package bridge

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/apierror"
)

func TestAnUnreachableTrackerIsExplainedToCallsAsToLogIns(t *testing.T) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	plain, secure := httptest.NewServer(nothing), httptest.NewUnstartedServer(nothing)
	defer plain.Close()
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of certificates
	secure.StartTLS()
	defer secure.Close()
	_, port, _ := net.SplitHostPort(plain.Listener.Addr().String())
	_, resolver := newNameServer(t) // knows no name
	for _, tc := range []struct {
		config Config
		says   string
	}{
		{Config{URL: "http://tracker.test"}, "Its host name does not exist."},
		// Of these, what net/http says may hold a part of the URL and be hidden.
		{Config{URL: "http://trackers.invalid/trackers"}, "Its host name does not exist."},
		{Config{URL: "http://127.0.0.1:" + port}, "allow_private in the tracker's entry would permit it."},
		{Config{URL: "http://127.0.0.1:" + port + "/loopback"}, "allow_private in the tracker's entry would permit it."},
		{Config{URL: secure.URL + "/certificate", AllowPrivate: true}, "Its TLS certificate could not be verified."},
		{Config{URL: "https://127.0.0.1:" + port, AllowPrivate: true}, "It does not speak TLS there."},
		{Config{URL: "http://127.0.0.1:1/connection", AllowPrivate: true}, "The connection was refused."},
	} {
		_, d := newBare(t, tc.config, WithResolver(resolver))
		endpoint, err := d.remote.Endpoint("xmlrpc")
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"log-in": func() error { _, err := d.remote.Get(t.Context(), "login"); return err }(),
			"call":   endpoint.Call(context.Background(), Write, "method", nil),
		} {
			if !apierror.Is(err, apierror.TrackerUnavailable) || !strings.Contains(apierror.From(err).FaultString(), tc.says) {
				t.Errorf("%s, %s: %v, want TRACKER_UNAVAILABLE with %q", tc.config.URL, name, err, tc.says)
			}
			if strings.Contains(err.Error(), "://") {
				t.Errorf("%s, %s: the error holds a URL: %v", tc.config.URL, name, err)
			}
		}
	}
}
