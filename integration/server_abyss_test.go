package integration

import (
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// buildAbyssServer compiles servers/abyss_server.c into the test's directory.
func buildAbyssServer(tb testing.TB) string {
	tb.Helper()
	const debianPackage = "libxmlrpc-core-c3-dev"
	config := program(tb, "xmlrpc-c-config", debianPackage)
	flags, err := exec.Command(config, "abyss-server", "--cflags", "--libs").Output()
	if err != nil {
		tb.Fatalf("xmlrpc-c-config of %s: %v", debianPackage, err)
	}
	path := filepath.Join(tb.TempDir(), "abyss_server")
	args := []string{"-Wall", "-Wextra", "-Werror", "-O1", "-o", path, filepath.Join("servers", "abyss_server.c")}
	out, err := exec.Command(program(tb, "gcc", "gcc"), append(args, strings.Fields(string(flags))...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("gcc: %v\n%s", err, out)
	}
	return path
}

func TestAbyssAndTheClientUnderstandEachOther(t *testing.T) {
	t.Parallel()
	server := buildAbyssServer(t)
	everything := xmlrpc.WithClientFeatures(xmlrpc.Features{Nil: true, I8: true})
	for _, dialect := range []struct {
		name string
		args []string
	}{
		{"its own nil and i8", nil},
		{"its own nil and i8, in chunks", []string{"chunked"}},
		{"Apache's nil and i8", []string{"apache"}},
	} {
		t.Run(dialect.name, func(t *testing.T) {
			t.Parallel()
			url := startPrinting(t, exec.Command(server, dialect.args...))
			client := newServerClient(t, url, everything)
			t.Run("every type", func(t *testing.T) { checkTrips(t, client, abyssTrips) })
			t.Run("faults and HTTP errors", func(t *testing.T) { checkAbyssErrors(t, client, url) })
			t.Run("introspection", func(t *testing.T) { checkAbyssIntrospection(t, client) })
			t.Run("keep-alive", func(t *testing.T) { checkAbyssConnections(t, url) })
			t.Run("an abandoned call", func(t *testing.T) { checkAbandonedCall(t, client) })
		})
	}
}

var abyssTrips = []trip{
	{"the smallest int", -1 << 31, "int -2147483648", -1 << 31},
	{"the largest int", 1<<31 - 1, "int 2147483647", 1<<31 - 1},
	{"the smallest i8", int64(-1 << 63), "i8 -9223372036854775808", int64(-1 << 63)},
	{"the largest i8", int64(1<<63 - 1), "i8 9223372036854775807", int64(1<<63 - 1)},
	{"true", true, "boolean 1", true},
	{"false", false, "boolean 0", false},
	{"a double", 0.5, "double 0.5", 0.5},
	{"a double of many digits", 1.0 / 3, "double 0.33333333333333331", 1.0 / 3},
	{"an empty string", "", "string ", ""},
	{"a string with markup", "<b>&amp;]]></b>", "string <b>&amp;]]></b>", "<b>&amp;]]></b>"},
	// Of UTF-8 it reads what is in the Basic Multilingual Plane, and calls the rest invalid.
	{"a string past ASCII", "Grüße 日本語", "string Grüße 日本語", "Grüße 日本語"},
	{"a carriage return", "a\r\nb", "string a\nb", "a\nb"},
	{"a date", time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC), "dateTime 20261121T19:35:03",
		xmlrpc.DateTimeOf(time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC)).WithoutZone()},
	{"bytes", []byte{0, 1, 0xfe, 0xff}, "base64 0001feff", []byte{0, 1, 0xfe, 0xff}},
	{"many bytes", []byte(strings.Repeat("base64 in several lines ", 10)),
		"base64 " + strings.Repeat("62617365363420696e207365766572616c206c696e657320", 10),
		[]byte(strings.Repeat("base64 in several lines ", 10))},
	{"an array", []any{1, "two", []int{3}}, "[int 1, string two, [int 3]]", []any{1, "two", []any{3}}},
	{"an empty array", []string{}, "[]", []any{}},
	{"a struct", map[string]any{"a<b": 1}, "{string a<b: int 1}", map[string]any{"a<b": 1}},
	{"an empty struct", struct{}{}, "{}", map[string]any{}},
	{"nil", nil, "nil", nil},
	{"nil in an array", []any{nil, 1}, "[nil, int 1]", []any{nil, 1}},
}

func checkAbyssErrors(t *testing.T, client *xmlrpc.Client, url string) {
	t.Helper()
	wantServerFault(t, client.Call(t.Context(), "fail", nil, 1001, "Größer & <kleiner>"), 1001, "Größer & <kleiner>")
	wantServerFault(t, client.Call(t.Context(), "fail", nil, -1, ""), -1, "")
	wantServerFault(t, client.Call(t.Context(), "no.such", nil), -506, "Method 'no.such' not defined")
	err := client.Call(t.Context(), "echo", nil, "🐛")
	if fault := (*xmlrpc.Fault)(nil); !errors.As(err, &fault) || fault.Code != -503 {
		t.Errorf("a character beyond the Basic Multilingual Plane: %v, want fault -503", err)
	}
	wrongPath := newServerClient(t, strings.TrimSuffix(url, "/RPC2")+"/nowhere", ownConnection())
	wantHTTPStatus(t, wrongPath.Call(t.Context(), "echo", nil, 1), http.StatusNotFound)
}

func checkAbyssIntrospection(t *testing.T, client *xmlrpc.Client) {
	t.Helper()
	var methods []string
	if err := client.Call(t.Context(), "system.listMethods", &methods); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"system.multicall", "echo", "a.dotted.name:with/all_that.is_allowed"} {
		if !slices.Contains(methods, name) {
			t.Errorf("%q is not among the methods %q", name, methods)
		}
	}
	var help string
	if err := client.Call(t.Context(), "system.methodHelp", &help, "fail"); err != nil || help != "Answers with a fault." {
		t.Errorf("help: %q, %v", help, err)
	}
	var signatures [][]string
	want := [][]string{{"string", "int", "string"}}
	if err := client.Call(t.Context(), "system.methodSignature", &signatures, "fail"); err != nil || !reflect.DeepEqual(signatures, want) {
		t.Errorf("signatures: %q, %v", signatures, err)
	}
	var capabilities map[string]any
	if err := client.Call(t.Context(), "system.capabilities", &capabilities); err != nil || capabilities["facility"] != "xmlrpc-c" {
		t.Errorf("capabilities: %v, %v", capabilities, err)
	}
	var back string
	if err := client.Call(t.Context(), "a.dotted.name:with/all_that.is_allowed", &back, "dotted"); err != nil || back != "dotted" {
		t.Errorf("a dotted name: %q, %v", back, err)
	}
	var results []any
	err := client.Call(t.Context(), "system.multicall", &results, []map[string]any{
		{"methodName": "echo", "params": []any{"first"}}, {"methodName": "fail", "params": []any{7, "second"}},
	})
	wantResults := []any{[]any{"first"}, map[string]any{"faultCode": 7, "faultString": "second"}}
	if err != nil || !reflect.DeepEqual(results, wantResults) {
		t.Errorf("multicall: %v, %v", results, err)
	}
}

func checkAbyssConnections(t *testing.T, url string) {
	t.Helper()
	hc, opened := countingDialer(t)
	client := newServerClient(t, url, xmlrpc.WithHTTPClient(hc))
	for i := range 5 {
		back := 0
		if err := client.Call(t.Context(), "echo", &back, i); err != nil || back != i {
			t.Fatalf("call %d: %d, %v", i, back, err)
		}
		wantServerFault(t, client.Call(t.Context(), "fail", nil, i+1, "x"), i+1, "x")
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("10 calls took %d connections", n)
	}
}
