package xmlrpc_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

func nothing() (bool, error) { return true, nil }

func TestEveryNameOfTheSpecificationCanBeCalled(t *testing.T) {
	r := xmlrpc.NewRegistry()
	names := []string{"a", "a.b.c", "weblogUpdates.ping", "urn:x/y:z_9", "1", ".", "..", "/", ":", "_", "a.", ".a", "A/b.c"}
	for _, name := range names {
		register(t, r, name, nothing, "")
	}
	server := httptest.NewServer(xmlrpc.NewHandler(r))
	t.Cleanup(server.Close)
	for _, name := range names {
		if got := sendRaw(t, server, post("", callOf(t, name))).wantValue(t); got != true {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// callOf makes a call's document.
func callOf(t testing.TB, method string, params ...any) string {
	t.Helper()
	doc, err := xmlrpc.AppendCall(nil, method, params, xmlrpc.WithFeatures(xmlrpc.Features{Nil: true, I8: true}))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// endlessParameter points to itself for ever.
type endlessParameter *endlessParameter

func TestWhatIsNoMethodCannotBeRegistered(t *testing.T) {
	var nilFunc func() (bool, error)
	for name, c := range map[string]struct {
		method string
		fn     any
		params []string
		says   string
	}{
		"no name":             {"", nothing, nil, "is empty"},
		"a blank in the name": {"a b", nothing, nil, "underscore, dot, colon and slash"},
		"an umlaut":           {"zählen", nothing, nil, "underscore, dot, colon and slash"},
		"markup":              {"a<b", nothing, nil, "underscore, dot, colon and slash"},
		"a system name":       {"system.mine", nothing, nil, "belong to every handler"},
		"a name twice":        {"taken", nothing, nil, "registered already"},
		"nil":                 {"m", nil, nil, "not a function"},
		"no function":         {"m", 7, nil, "not a function"},
		"a nil function":      {"m", nilFunc, nil, "not a function"},
		"no result":           {"m", func() error { return nil }, nil, "a result and an error"},
		"no error":            {"m", func() bool { return true }, nil, "a result and an error"},
		"two errors":          {"m", func() (error, error) { return nil, nil }, nil, "a result and an error"},
		"too few names":       {"m", func(int, int) (bool, error) { return true, nil }, []string{"a"}, "2 parameters and 1 names"},
		"a channel":           {"m", func(chan int) (bool, error) { return true, nil }, nil, "which XML-RPC has none for"},
		"an endless pointer":  {"m", func(endlessParameter) (bool, error) { return true, nil }, nil, "which XML-RPC has none for"},
		"an endless result":   {"m", func() (endlessParameter, error) { return nil, nil }, nil, "which XML-RPC has none for"},
		"a function back":     {"m", func() (func(), error) { return nil, nil }, nil, "which XML-RPC has none for"},
	} {
		t.Run(name, func(t *testing.T) {
			r := xmlrpc.NewRegistry()
			register(t, r, "taken", nothing, "")
			err := r.Register(c.method, c.fn, "help", c.params...)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got error %v, want one that says %q", err, c.says)
			}
			if names := r.Names(); !slices.Equal(names, []string{"taken"}) {
				t.Errorf("the registry has %v", names)
			}
		})
	}
}

func TestMountedMethodsHaveThePrefixAndKeepTheirOwnNames(t *testing.T) {
	sub := xmlrpc.NewRegistry()
	register(t, sub, "one", nothing, "first")
	register(t, sub, "two", nothing, "second")
	r := xmlrpc.NewRegistry()
	for _, prefix := range []string{"a", "b.", "c:", "d/", ""} {
		if err := r.Mount(prefix, sub); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a.one", "a.two", "b.one", "b.two", "c:one", "c:two", "d/one", "d/two", "one", "two"}
	if got := r.Names(); !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if got := sub.Names(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("the mounted registry became %v", got)
	}
	server := httptest.NewServer(xmlrpc.NewHandler(r))
	t.Cleanup(server.Close)
	if got := sendRaw(t, server, post("", callOf(t, "system.methodHelp", "a.two"))).wantValue(t); got != "second" {
		t.Errorf("help of a mounted method: %v", got)
	}
	text := sendRaw(t, server, post("", callOf(t, "a.two", 1))).wantFault(t, xmlrpc.CodeInvalidParams)
	if !strings.HasPrefix(text, "a.two takes 0 parameters") {
		t.Errorf("a mounted method calls itself %q", text)
	}
}

func TestAMountThatClashesAddsNothing(t *testing.T) {
	sub := xmlrpc.NewRegistry()
	for _, name := range []string{"one", "two", "three"} {
		register(t, sub, name, nothing, "")
	}
	r := xmlrpc.NewRegistry()
	register(t, r, "a.two", nothing, "")
	for _, prefix := range []string{"a", "system", "system.", "b b"} {
		if err := r.Mount(prefix, sub); err == nil {
			t.Errorf("mounting at %q gave no error", prefix)
		}
	}
	if got := r.Names(); !slices.Equal(got, []string{"a.two"}) {
		t.Errorf("the registry has %v", got)
	}
}

func TestParametersArriveInTheMethodsOwnTypes(t *testing.T) {
	type bug struct {
		ID    int64 `xmlrpc:"id"`
		Title string
	}
	var got []any
	keep := func(values ...any) (bool, error) {
		got = values
		return true, nil
	}
	r := xmlrpc.NewRegistry()
	register(t, r, "plain", func(i int, s string, f float64, b bool) (bool, error) { return keep(i, s, f, b) }, "")
	register(t, r, "context", func(ctx context.Context, s string) (bool, error) {
		return keep(xmlrpc.RequestFromContext(ctx).URL.Path, s)
	}, "")
	register(t, r, "deep", func(b bug, ids []string, any2 map[string]any) (bool, error) { return keep(b, ids, any2) }, "")
	register(t, r, "optional", func(a string, b *int, c *string) (bool, error) {
		values := []any{a}
		if b != nil {
			values = append(values, *b)
		}
		if c != nil {
			values = append(values, *c)
		}
		return keep(values...)
	}, "")
	register(t, r, "variadic", func(a int, rest ...string) (bool, error) { return keep(a, rest) }, "")
	register(t, r, "required", func(a *int, b int) (bool, error) { return keep(a == nil, b) }, "")
	server := httptest.NewServer(xmlrpc.NewHandler(r))
	t.Cleanup(server.Close)
	for name, c := range map[string]struct {
		doc  string
		want []any
	}{
		"scalars":                 {callOf(t, "plain", 1, "two", 3.5, true), []any{1, "two", 3.5, true}},
		"the request":             {callOf(t, "context", "x"), []any{"/", "x"}},
		"structs and arrays":      {callOf(t, "deep", map[string]any{"id": int64(9), "Title": "t"}, []any{"1", 2}, map[string]any{"k": 1}), []any{bug{9, "t"}, []string{"1", "2"}, map[string]any{"k": 1}}},
		"no optional ones":        {callOf(t, "optional", "a"), []any{"a"}},
		"one optional one":        {callOf(t, "optional", "a", 2), []any{"a", 2}},
		"all optional ones":       {callOf(t, "optional", "a", 2, "c"), []any{"a", 2, "c"}},
		"nil for an optional one": {callOf(t, "optional", "a", nil, "c"), []any{"a", "c"}},
		"no variadic ones":        {callOf(t, "variadic", 1), []any{1, []string(nil)}},
		"variadic ones":           {callOf(t, "variadic", 1, "a", "b"), []any{1, []string{"a", "b"}}},
		"a pointer in the middle": {callOf(t, "required", nil, 2), []any{true, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			got = nil
			sendRaw(t, server, post("", c.doc)).wantValue(t)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %#v\nwant %#v", got, c.want)
			}
		})
	}
}

func TestWrongParametersAreAFaultThatSaysWhatIsExpected(t *testing.T) {
	r := xmlrpc.NewRegistry()
	called := func() (bool, error) { return false, errors.New("it was called") }
	register(t, r, "get", func(string, []string, *string) (bool, error) { return called() }, "", "name", "ids", "level")
	register(t, r, "none", func() (bool, error) { return called() }, "")
	register(t, r, "rest", func(int, ...int) (bool, error) { return called() }, "", "first", "others")
	server := httptest.NewServer(xmlrpc.NewHandler(r))
	t.Cleanup(server.Close)
	const usage = "; expected get(string name, array ids[, string level])"
	for _, c := range []struct {
		doc  string
		says string
	}{
		{callOf(t, "get", "a"), "get takes 2 to 3 parameters, not 1" + usage},
		{callOf(t, "get", "a", []string{}, "b", "c"), "get takes 2 to 3 parameters, not 4" + usage},
		{callOf(t, "none", 1), "none takes 0 parameters, not 1; expected none()"},
		{callOf(t, "rest"), "rest takes 1 or more parameters, not 0; expected rest(int first[, int others...])"},
		{callOf(t, "get", "a", "b"), usage},
		{callOf(t, "get", "a", []any{"b", []any{}}), "params[1][1]"},
		{callOf(t, "rest", 1, 2, "three"), "params[2]"},
		{callOf(t, "rest", 1, int64(1)<<40, "x"), "params[2]"},
	} {
		text := sendRaw(t, server, post("", c.doc)).wantFault(t, xmlrpc.CodeInvalidParams)
		if !strings.Contains(text, c.says) {
			t.Errorf("the fault says %q\nwant in it       %q", text, c.says)
		}
	}
}
