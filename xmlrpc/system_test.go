package xmlrpc_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

func TestIntrospectionDescribesEveryMethod(t *testing.T) {
	r := echoRegistry(t)
	type thing struct{ A int }
	register(t, r, "types", func(context.Context, int64, bool, string, float64, time.Time, xmlrpc.DateTime, []byte,
		[]thing, map[string]int, thing, any, *string, *thing) ([]string, error) {
		return nil, nil
	}, "Has every type.")
	h := xmlrpc.NewHandler(r)

	got := recordCall(t, h, callOf(t, "system.listMethods")).wantValue(t)
	want := []any{"a", "b", "bridge.echo", "newBugTrackerToken", "system.getCapabilities", "system.listMethods",
		"system.methodHelp", "system.methodSignature", "system.multicall", "types"}
	if !reflect.DeepEqual(got, any(want)) {
		t.Errorf("listMethods: %v", got)
	}
	for _, name := range want {
		if help := recordCall(t, h, callOf(t, "system.methodHelp", name)).wantValue(t); help == "" {
			t.Errorf("%s has no help", name)
		}
	}
	full := []any{"array", "int", "boolean", "string", "double", "dateTime.iso8601", "dateTime.iso8601", "base64",
		"array", "struct", "struct", "any"}
	for method, want := range map[string]any{
		"system.listMethods":     []any{[]any{"array"}},
		"system.methodHelp":      []any{[]any{"string", "string"}},
		"system.methodSignature": []any{[]any{"array", "string"}},
		"system.multicall":       []any{[]any{"array", "array"}},
		"system.getCapabilities": []any{[]any{"struct"}},
		"bridge.echo":            []any{[]any{"array"}, []any{"array", "any"}},
		"newBugTrackerToken":     []any{[]any{"string"}, []any{"string", "string"}},
		"types":                  []any{full, append(slices.Clone(full), "string"), append(slices.Clone(full), "string", "struct")},
	} {
		if got := recordCall(t, h, callOf(t, "system.methodSignature", method)).wantValue(t); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\nwant %v", method, got, want)
		}
	}
	for _, method := range []string{"system.methodHelp", "system.methodSignature"} {
		text := recordCall(t, h, callOf(t, method, "no.such")).wantFault(t, xmlrpc.CodeInvalidParams)
		if !strings.Contains(text, `"no.such"`) {
			t.Errorf("%s of an unknown method says %q", method, text)
		}
	}
}

func TestCapabilitiesHaveAURLAndAVersion(t *testing.T) {
	h := xmlrpc.NewHandler(xmlrpc.NewRegistry())
	got, ok := recordCall(t, h, callOf(t, "system.getCapabilities")).wantValue(t).(map[string]any)
	if !ok {
		t.Fatalf("got %v", got)
	}
	for _, name := range []string{"xmlrpc", "introspection", "faults_interop", "system.multicall", "nil"} {
		c, ok := got[name].(map[string]any)
		if !ok || len(c) != 2 || !strings.HasPrefix(fmt.Sprint(c["specUrl"]), "http") || reflect.TypeOf(c["specVersion"]).Kind() != reflect.Int {
			t.Errorf("%s is %v", name, got[name])
		}
	}
}

// inner is one call of a multicall.
func inner(method string, params ...any) map[string]any {
	if params == nil {
		params = []any{}
	}
	return map[string]any{"methodName": method, "params": params}
}

func TestAMulticallAnswersEachCallInItsPlace(t *testing.T) {
	r := echoRegistry(t)
	register(t, r, "boom", func() (int, error) { panic("boom") }, "")
	register(t, r, "odd", func() (any, error) { return make(chan int), nil }, "")
	register(t, r, "first", func(a int, b *string) (string, error) { return fmt.Sprint(a, b == nil), nil }, "", "a", "b")
	k := &hooks{refuse: "newBugTrackerToken"}
	h := xmlrpc.NewHandler(r, k.options()...)
	answer := recordCall(t, h, callOf(t, "system.multicall", []any{
		inner("bridge.echo", 1, "x"),
		inner("newBugTrackerToken"),
		inner("no.such"),
		inner("boom"),
		inner("odd"),
		inner("first", 7),
		inner("first", "seven"),
		inner("system.multicall", []any{}),
		"no struct",
		map[string]any{"params": []any{}},
		map[string]any{"methodName": "bridge.echo"},
		map[string]any{"methodName": "bridge.echo", "params": "x"},
		inner("system.methodHelp", "bridge.echo"),
	}))
	got, ok := answer.wantValue(t).([]any)
	if !ok || len(got) != 13 {
		t.Fatalf("got %v", got)
	}
	for i, want := range map[int]any{
		0:  []any{[]any{1, "x"}},
		5:  []any{"7 true"},
		12: []any{"Returns its parameters."},
	} {
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("call %d: %v, want %v", i, got[i], want)
		}
	}
	for i, code := range map[int]int{1: 429, 2: -32601, 3: -32603, 4: -32603, 6: -32602, 7: -32600, 8: -32600, 9: -32600, 10: -32600, 11: -32600} {
		fault, ok := got[i].(map[string]any)
		if !ok || len(fault) != 2 || fault["faultCode"] != code || fault["faultString"] == "" {
			t.Errorf("call %d: %v, want fault %d", i, got[i], code)
		}
	}
	if answer.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After is %q", answer.header.Get("Retry-After"))
	}
	k.want(t,
		"before bridge.echo true", "after bridge.echo <nil>",
		"before newBugTrackerToken true", "after newBugTrackerToken 429",
		"before no.such false", "after no.such -32601",
		"before boom true", "after boom -32603",
		"before odd true", "after odd <nil>",
		"before first true", "after first <nil>",
		"before first true", "after first -32602",
		"before system.multicall true", "after system.multicall -32600", // inside the other
		"before system.multicall true", "after system.multicall -32600", // and four that are no calls
		"before system.multicall true", "after system.multicall -32600",
		"before system.multicall true", "after system.multicall -32600",
		"before system.multicall true", "after system.multicall -32600",
		"before system.methodHelp true", "after system.methodHelp <nil>",
	)
}

func TestAMulticallIsBoundedAndMustBeAnArrayOfCalls(t *testing.T) {
	calls := func(n int) string {
		list := make([]any, n)
		for i := range list {
			list[i] = inner("bridge.echo", i)
		}
		return callOf(t, "system.multicall", list)
	}
	h := xmlrpc.NewHandler(echoRegistry(t))
	if got := recordCall(t, h, calls(100)).wantValue(t).([]any); len(got) != 100 || !reflect.DeepEqual(got[99], []any{[]any{99}}) {
		t.Errorf("got %d answers", len(got))
	}
	text := recordCall(t, h, calls(101)).wantFault(t, xmlrpc.CodeInvalidRequest)
	if text != "REQUEST_TOO_LARGE: system.multicall holds 101 calls, more than the limit MulticallLimit, which is 100" {
		t.Errorf("the fault says %q", text)
	}
	small := xmlrpc.NewHandler(echoRegistry(t), xmlrpc.WithMulticallLimit(2))
	recordCall(t, small, calls(2)).wantValue(t)
	recordCall(t, small, calls(3)).wantFault(t, xmlrpc.CodeInvalidRequest)
	reset := xmlrpc.NewHandler(echoRegistry(t), xmlrpc.WithMulticallLimit(0))
	recordCall(t, reset, calls(100)).wantValue(t)
	if got := recordCall(t, h, calls(0)).wantValue(t); !reflect.DeepEqual(got, any([]any{})) {
		t.Errorf("no calls: %v", got)
	}
	k := &hooks{}
	told := xmlrpc.NewHandler(echoRegistry(t), k.options()...)
	for _, params := range [][]any{{}, {"x"}, {[]any{}, 1}} {
		recordCall(t, told, callOf(t, "system.multicall", params...)).wantFault(t, xmlrpc.CodeInvalidParams)
		k.want(t, "before system.multicall true", "after system.multicall -32602")
	}
}
