package handshake_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/xmlrpc"
)

func TestNewBugTrackerToken(t *testing.T) {
	g := newGateway(t)
	registry := xmlrpc.NewRegistry()
	if err := handshake.RegisterService(registry, g.Authority); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(xmlrpc.NewHandler(registry))
	defer server.Close()
	client, err := xmlrpc.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		params []any
		bound  string
	}{
		{nil, ""}, {[]any{""}, ""}, {[]any{"trac"}, "trac"},
	} {
		var token string
		if err := client.Call(t.Context(), "newBugTrackerToken", &token, test.params...); err != nil {
			t.Fatalf("%v: %v", test.params, err)
		}
		record, ok, err := g.Lookup(t.Context(), token)
		if err != nil || !ok || record.Tracker != test.bound || record.Kind != handshake.BugTracker {
			t.Errorf("%v: %+v, found %v, error %v", test.params, record, ok, err)
		}
	}
	wantFault := func(code int, text string, params ...any) {
		t.Helper()
		err := client.Call(t.Context(), "newBugTrackerToken", nil, params...)
		var fault *xmlrpc.Fault
		if !errors.As(err, &fault) || fault.Code != code || !strings.HasPrefix(fault.String, text) {
			t.Errorf("%v: %v, want fault %d %s", params, err, code, text)
		}
	}
	wantFault(404, "RESOURCE_NOT_FOUND: ", "nobody")
	wantFault(-32602, "", "trac", "more")
	if err := g.store.Close(); err != nil {
		t.Fatal(err)
	}
	wantFault(503, "STORE_UNAVAILABLE: ")
}
