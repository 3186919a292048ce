package integration

import (
	"bytes"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/xmlrpc"
)

// startServerInPython starts servers/python_server.py and returns its URL.
func startServerInPython(tb testing.TB) string {
	tb.Helper()
	path := program(tb, "python3", "python3")
	return startPrinting(tb, exec.Command(path, filepath.Join("servers", "python_server.py")))
}

func TestEveryTypeGoesToPythonsServerAndBack(t *testing.T) {
	t.Parallel()
	client := newServerClient(t, startServerInPython(t), xmlrpc.WithClientFeatures(xmlrpc.Features{Nil: true, I8: true}))
	moment := time.Date(2026, 11, 21, 19, 35, 3, 0, time.UTC)
	checkTrips(t, client, []trip{
		{"the smallest int", -1 << 31, "int -2147483648", -1 << 31},
		{"the largest int", 1<<31 - 1, "int 2147483647", 1<<31 - 1},
		{"true", true, "bool True", true},
		{"false", false, "bool False", false},
		{"a double", 0.1, "float 0.1", 0.1},
		{"a double with an exponent", 1.25e-7, "float 1.25e-07", 1.25e-7},
		{"a large double", 1e21, "float 1e+21", 1e21},
		{"an empty string", "", "str ''", ""},
		{"a string with markup", "<b>&amp;]]></b>", "str '<b>&amp;]]></b>'", "<b>&amp;]]></b>"},
		{"a string past ASCII", "Grüße 日本語 🐛", "str 'Grüße 日本語 🐛'", "Grüße 日本語 🐛"},
		{"white space", " \t\n ", `str ' \t\n '`, " \t\n "},
		{"a control character", "a\x1bb", `str 'a�b'`, "a\ufffdb"},
		{"a date", moment, "datetime datetime.datetime(2026, 11, 21, 19, 35, 3)", xmlrpc.DateTimeOf(moment).WithoutZone()},
		{"bytes", []byte{0, 1, 0xfe, 0xff}, `bytes b'\x00\x01\xfe\xff'`, []byte{0, 1, 0xfe, 0xff}},
		{"no bytes", []byte{}, `bytes b''`, []byte{}},
		{"an array", []any{1, "two", []int{3}}, "list [1, 'two', [3]]", []any{1, "two", []any{3}}},
		{"an empty array", []string{}, "list []", []any{}},
		{"a struct", map[string]any{"a<b": 1, "": false}, "dict {'': False, 'a<b': 1}", map[string]any{"a<b": 1, "": false}},
		{"an empty struct", struct{}{}, "dict {}", map[string]any{}},
		{"nil", nil, "NoneType None", nil},
		{"nil in an array", []any{nil, 1}, "list [None, 1]", []any{nil, 1}},
	})

	t.Run("i8", func(t *testing.T) {
		var seen string
		if err := client.Call(t.Context(), "describe", &seen, int64(9_999_999_999)); err != nil || seen != "int 9999999999" {
			t.Errorf("got %q, %v", seen, err)
		}
	})
	t.Run("i8 to a server that is not known to read it", func(t *testing.T) {
		var seen string
		plain := client.With(xmlrpc.WithClientFeatures(xmlrpc.Features{}))
		if err := plain.Call(t.Context(), "describe", &seen, int64(9_999_999_999)); err != nil || seen != "str '9999999999'" {
			t.Errorf("got %q, %v", seen, err)
		}
	})
	t.Run("structs with tags", func(t *testing.T) {
		type bug struct {
			ID      int       `xmlrpc:"id"`
			Summary string    `xmlrpc:"summary"`
			Changed time.Time `xmlrpc:"last_change_time"`
			Alias   *string   `xmlrpc:"alias"`
		}
		sent := []bug{{ID: 1, Summary: "Fire", Changed: moment}, {ID: 2, Changed: moment}}
		var back []bug
		if err := client.Call(t.Context(), "echo", &back, sent); err != nil || !reflect.DeepEqual(back, sent) {
			t.Errorf("got %v, %v", back, err)
		}
	})
}

func TestPythonsServerAnswersWithFaultsAndHTTPErrors(t *testing.T) {
	t.Parallel()
	url := startServerInPython(t)
	client := newServerClient(t, url)
	wantServerFault(t, client.Call(t.Context(), "fail", nil, 1001, "Größer & <kleiner>"), 1001, "Größer & <kleiner>")
	wantServerFault(t, client.Call(t.Context(), "fail", nil, -32500, ""), -32500, "")
	wantServerFault(t, client.Call(t.Context(), "no.such", nil), 1,
		`<class 'Exception'>:method "no.such" is not supported`)

	wrongPath := newServerClient(t, strings.TrimSuffix(url, "/RPC2")+"/nowhere", ownConnection())
	if e := wantHTTPStatus(t, wrongPath.Call(t.Context(), "echo", nil, 1), http.StatusNotFound); !bytes.Contains(e.Body, []byte("No such page")) {
		t.Errorf("the body of the error is %q", e.Body)
	}
}

func TestPythonsServerIsIntrospectedAndTakesMulticalls(t *testing.T) {
	t.Parallel()
	client := newServerClient(t, startServerInPython(t))
	var methods []string
	if err := client.Call(t.Context(), "system.listMethods", &methods); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"system.multicall", "echo", "a.dotted.name:with/all_that.is_allowed"} {
		if !slices.Contains(methods, name) {
			t.Errorf("%q is not among the methods %q", name, methods)
		}
	}
	var help, signature string
	if err := client.Call(t.Context(), "system.methodHelp", &help, "echo"); err != nil || help != "Returns its parameter." {
		t.Errorf("help: %q, %v", help, err)
	}
	if err := client.Call(t.Context(), "system.methodSignature", &signature, "echo"); err != nil || signature != "signatures not supported" {
		t.Errorf("signature: %q, %v", signature, err)
	}
	var back string
	if err := client.Call(t.Context(), "a.dotted.name:with/all_that.is_allowed", &back, "dotted"); err != nil || back != "dotted" {
		t.Errorf("a dotted name: %q, %v", back, err)
	}
	var params int
	if err := client.Call(t.Context(), "count", &params); err != nil || params != 0 {
		t.Errorf("no parameters: %d, %v", params, err)
	}
	if err := client.Call(t.Context(), "count", &params, 1, "two", []int{3}); err != nil || params != 3 {
		t.Errorf("three parameters: %d, %v", params, err)
	}

	type call struct {
		Method string `xmlrpc:"methodName"`
		Params []any  `xmlrpc:"params"`
	}
	var results []any
	err := client.Call(t.Context(), "system.multicall", &results, []call{
		{"echo", []any{"first"}}, {"fail", []any{7, "second"}}, {"count", nil},
	})
	want := []any{[]any{"first"}, map[string]any{"faultCode": 7, "faultString": "second"}, []any{0}}
	if err != nil || !reflect.DeepEqual(results, want) {
		t.Errorf("multicall: %v, %v", results, err)
	}
}

func TestPythonsServerCompressesKeepsConnectionsAndSetsCookies(t *testing.T) {
	t.Parallel()
	url := startServerInPython(t)
	t.Run("a long answer comes compressed", func(t *testing.T) {
		var encodings []string
		client := newServerClient(t, url, xmlrpc.WithOnResponse(func(_ int, header http.Header) {
			encodings = append(encodings, header.Get("Content-Encoding"))
		}))
		long, back := strings.Repeat("ein längerer Text ", 10_000), ""
		if err := client.Call(t.Context(), "echo", &back, long); err != nil || back != long {
			t.Errorf("%d bytes came back of %d, %v", len(back), len(long), err)
		}
		if err := client.Call(t.Context(), "echo", &back, "short"); err != nil || back != "short" {
			t.Errorf("%q, %v", back, err)
		}
		if !slices.Equal(encodings, []string{"gzip", ""}) {
			t.Errorf("the answers were encoded as %q", encodings)
		}
	})
	t.Run("calls share a connection", func(t *testing.T) {
		hc, opened := countingDialer(t)
		client := newServerClient(t, url, xmlrpc.WithHTTPClient(hc))
		for i := range 5 {
			if err := client.Call(t.Context(), "echo", nil, strings.Repeat("x", i*1000)); err != nil {
				t.Fatal(err)
			}
			wantServerFault(t, client.Call(t.Context(), "fail", nil, i, "x"), i, "x")
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("10 calls took %d connections", n)
		}
	})
	t.Run("cookies are kept by a jar only", func(t *testing.T) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		const want = "session=secret-of-python"
		for _, test := range []struct {
			name string
			opts []xmlrpc.ClientOption
			want any
		}{
			{"no jar", nil, ""},
			{"a jar", []xmlrpc.ClientOption{xmlrpc.WithHTTPClient(&http.Client{Jar: jar})}, want},
			{"given", []xmlrpc.ClientOption{xmlrpc.WithCookies(&http.Cookie{Name: "session", Value: "given"})}, "session=given"},
		} {
			client := newServerClient(t, url, test.opts...)
			if err := client.Call(t.Context(), "log_in", nil); err != nil {
				t.Fatal(err)
			}
			var cookie string
			if err := client.Call(t.Context(), "headers", &cookie, "Cookie"); err != nil || cookie != test.want {
				t.Errorf("%s: %q, %v", test.name, cookie, err)
			}
		}
	})
	t.Run("the length is sent", func(t *testing.T) {
		var length, coding *string
		client := newServerClient(t, url)
		if err := client.Call(t.Context(), "headers", &length, "Content-Length"); err != nil || length == nil {
			t.Errorf("Content-Length %v, %v", length, err)
		}
		if err := client.Call(t.Context(), "headers", &coding, "Transfer-Encoding"); err != nil || coding != nil {
			t.Errorf("Transfer-Encoding %v, %v", coding, err)
		}
	})
}

func TestACallThatPythonsServerDoesNotAnswerCanBeAbandoned(t *testing.T) {
	t.Parallel()
	checkAbandonedCall(t, newServerClient(t, startServerInPython(t)))
}
