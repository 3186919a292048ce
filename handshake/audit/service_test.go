package audit

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// calling serves a store's trail and returns how its method is called.
func calling(t *testing.T, store Store) func(result any, params ...any) error {
	t.Helper()
	registry := xmlrpc.NewRegistry()
	if err := RegisterService(registry, store); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(xmlrpc.NewHandler(registry))
	t.Cleanup(server.Close)
	client, err := xmlrpc.NewClient(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return func(result any, params ...any) error { return client.Call(t.Context(), "events", result, params...) }
}

type answer struct {
	Events []map[string]any `xmlrpc:"events"`
	After  string           `xmlrpc:"after"`
}

func TestEventsAreReadOverXMLRPC(t *testing.T) {
	l := newLedger(t, testKeys(t).Signing())
	call := calling(t, l)
	var all []map[string]any
	after := ""
	for {
		var got answer
		if err := call(&got, after, 2); err != nil {
			t.Fatal(err)
		}
		all = append(all, got.Events...)
		if got.After == after {
			break
		}
		after = got.After
	}
	if len(all) != 9 {
		t.Fatalf("%d events", len(all))
	}
	e := all[1]
	when, ok := e["time"].(xmlrpc.DateTime)
	if !ok || when.String() != "20261121T19:35:03" {
		t.Errorf("the time is %v", e["time"])
	}
	for name, want := range map[string]string{"chain": l.a.id.String(), "seq": "2", "subsystem": "token", "code": "2", "event": "minted",
		"outcome": "done", "caller": "192.0.2.7", "listener": "private", "route": "newBugTrackerToken", "subject": "0123456789abcdef", "name": "gnome"} {
		if got := fmt.Sprint(e[name]); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, there := e["reason"]; there || len(fmt.Sprint(e["mac"])) != 2*macSize || e["after"] == "" {
		t.Errorf("the event is %v", e)
	}
}

func TestEventsAreFilteredOverXMLRPC(t *testing.T) {
	call := calling(t, newLedger(t, Key{}))
	for _, tc := range []struct {
		filter map[string]any
		want   int
	}{
		{map[string]any{}, 9},
		{map[string]any{"subsystem": "gateway"}, 3},
		{map[string]any{"code": 3, "subsystem": "token"}, 1},
		{map[string]any{"since": xmlrpc.DateTimeOf(at(6)).WithoutZone()}, 2},
		{map[string]any{"since": int(at(6).Unix())}, 2},
	} {
		var got answer
		if err := call(&got, "", MaxPage, tc.filter); err != nil || len(got.Events) != tc.want {
			t.Errorf("%v chose %d, %v", tc.filter, len(got.Events), err)
		}
	}
}

func TestWrongCallsAreFaults(t *testing.T) {
	store := newMemory()
	call := calling(t, store)
	for _, tc := range []struct {
		name   string
		params []any
		code   int
		says   string
	}{
		{"a limit of nothing", []any{"", 0}, 400, "1000"},
		{"a limit too large", []any{"", MaxPage + 1}, 400, "1000"},
		{"no position", []any{"x\nforged", 1}, 400, "position"},
		{"a filter that is not known", []any{"", 1, map[string]any{"nam": "x"}}, 400, "nam"},
		{"a filter of another type", []any{"", 1, map[string]any{"name": []any{"x"}}}, 400, "name"},
		{"a filter with a value that is none", []any{"", 1, map[string]any{"outcome": "good"}}, 400, "outcome"},
		{"no limit", []any{""}, -32602, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := call(nil, tc.params...)
			var fault *xmlrpc.Fault
			if !errors.As(err, &fault) || fault.Code != tc.code || !strings.Contains(fault.String, tc.says) || strings.Contains(fault.String, "\n") {
				t.Errorf("it is %v", err)
			}
		})
	}
	store.fail(errAway)
	var fault *xmlrpc.Fault
	if err := call(nil, "", 1); !errors.As(err, &fault) || fault.Code != 503 || strings.Contains(fault.String, "away") {
		t.Errorf("a store that fails is %v", err)
	}
}

func TestTheServiceHasTheContractsName(t *testing.T) {
	registry := xmlrpc.NewRegistry()
	if err := RegisterService(registry, newMemory()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(registry.Names(), []string{"events"}) {
		t.Errorf("the methods are %v", registry.Names())
	}
}
