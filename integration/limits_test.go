package integration

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const mebibyte = 1 << 20

// arrays is a value of so many arrays inside each other.
func arrays(depth int) string {
	return strings.Repeat("<array><data><value>", depth) + "<int>1</int>" + strings.Repeat("</value></data></array>", depth)
}

// padded is a document of exactly so many bytes.
func padded(method string, size int) string {
	empty := rpcDocument(method, "<string></string>")
	return rpcDocument(method, "<string>"+strings.Repeat("x", size-len(empty))+"</string>")
}

func gzipped(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// multicallOf is a system.multicall document with so many calls.
func multicallOf(calls int) string {
	one := `<value><struct><member><name>methodName</name><value>bridge.echo</value></member>` +
		`<member><name>params</name><value><array><data/></array></value></member></struct></value>`
	return rpcDocument("system.multicall", "<array><data>"+strings.Repeat(one, calls)+"</data></array>")
}

func TestARequestBeyondALimitIsAFaultThatNamesTheLimit(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "private.echo=true")
	for _, test := range []struct {
		name     string
		document string
		args     []string
		limit    string // its value, in the fault; "" for a result
	}{
		{"a body of 1 MiB", padded("bridge.echo", mebibyte), nil, ""},
		{"a body of one byte more", padded("bridge.echo", mebibyte+1), nil, "1048576"},
		{"a larger body in chunks", padded("bridge.echo", mebibyte+1), []string{"--header", "Transfer-Encoding: chunked"}, "1048576"},
		{"a much larger body", padded("bridge.echo", 8*mebibyte), nil, "1048576"},
		{"a much larger body that asks first", padded("bridge.echo", 8*mebibyte), []string{"--header", "Expect: 100-continue"}, "1048576"},
		{"a compressed body", gzipped(t, padded("bridge.echo", 1000)), []string{"--header", "Content-Encoding: gzip"}, ""},
		{"a compressed bomb", gzipped(t, padded("bridge.echo", 8*mebibyte)), []string{"--header", "Content-Encoding: gzip"}, "1048576"},
		{"a depth of 60", rpcDocument("bridge.echo", arrays(60)), nil, ""},
		{"a depth of 65", rpcDocument("bridge.echo", arrays(65)), nil, "64"},
		{"a depth of thousands", rpcDocument("bridge.echo", arrays(20000)), nil, "64"},
		{"99,000 values", rpcDocument("bridge.echo", "<array><data>"+strings.Repeat("<value/>", 99_000)+"</data></array>"), nil, ""},
		{"100,001 values", rpcDocument("bridge.echo", "<array><data>"+strings.Repeat("<value/>", 100_001)+"</data></array>"), nil, "100000"},
		{"a multicall of 100", multicallOf(100), nil, ""},
		{"a multicall of 101", multicallOf(101), nil, "100"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := postXML(t, g, "/RPC2", test.document, test.args...)
			if test.limit != "" {
				answer.wantRawFault(t, -32600, "REQUEST_TOO_LARGE: ", test.limit)
				return
			}
			if answer.Status != http.StatusOK || strings.Contains(answer.Body, "<fault>") || !strings.Contains(answer.Body, "<methodResponse>") {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestTheLimitsAreConfigurable(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "private.echo=true", "--set", "request.max_body=2048", "--set", "request.max_depth=5",
		"--set", "request.max_values=20", "--set", "request.max_multicall=2")
	for limit, document := range map[string]string{
		"2048": padded("bridge.echo", 2049),
		"5":    rpcDocument("bridge.echo", arrays(6)),
		"20":   rpcDocument("bridge.echo", "<array><data>"+strings.Repeat("<value/>", 21)+"</data></array>"),
		"2":    multicallOf(3),
	} {
		postXML(t, g, "/RPC2", document).wantRawFault(t, -32600, "REQUEST_TOO_LARGE: ", limit)
	}
}

func TestABodyThatCannotBeDecompressedIsAFault(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	document := rpcDocument("bugs.newBugTrackerToken")
	postXML(t, g, "/RPC2", document, "--header", "Content-Encoding: gzip").wantRawFault(t, -32700, "gzip")
	cut := gzipped(t, document)
	postXML(t, g, "/RPC2", cut[:len(cut)-12], "--header", "Content-Encoding: gzip").wantRawFault(t, -32700)
	postXML(t, g, "/RPC2", document, "--header", "Content-Encoding: zstd").wantRawFault(t, -32300, "zstd")
}

func TestHeadersBeyondTheLimitAre431(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	for _, addr := range []string{g.Private, g.Public, g.Admin} {
		if answer := curl(t, "--header", "X-Padding: "+strings.Repeat("x", 15<<10), "http://"+addr+"/"); answer.Status == http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("15 KiB of headers: %s", answer)
		}
		if answer := curl(t, "--header", "X-Padding: "+strings.Repeat("x", 24<<10), "http://"+addr+"/"); answer.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("24 KiB of headers: %s", answer)
		}
		if answer := curl(t, "http://"+addr+"/"+strings.Repeat("x", 24<<10)); answer.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a path of 24 KiB: %s", answer)
		}
	}
	small := startGateway(t, "--set", "request.max_header=1024")
	if answer := curl(t, "--header", "X-Padding: "+strings.Repeat("x", 8<<10), "http://"+small.Public+"/"); answer.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("8 KiB of headers with a limit of 1 KiB: %s", answer)
	}
}

// TestAClientThatSendsNothingMoreIsLetGo waits for the gateway to end the
// connection, which the test's own deadline bounds.
func TestAClientThatSendsNothingMoreIsLetGo(t *testing.T) {
	t.Parallel()
	g := startGateway(t, "--set", "request.header_timeout=300ms", "--set", "request.body_timeout=700ms")
	for _, addr := range []string{g.Private, g.Public, g.Admin} {
		for name, sent := range map[string]string{
			"half a request line": "POST /RP", "half a header": "POST /RPC2 HTTP/1.1\r\nHost: local", "no end of the headers": "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\n",
		} {
			answer, err := whatComes(t, addr, sent)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 408 ") && !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
				t.Errorf("%s: %q", name, answer)
			}
		}
	}
	answer, err := whatComes(t, g.Private, "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n<?xml")
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "<int>-32700</int>") {
		t.Errorf("half a body: %q, %v", answer, err)
	}
	token := mint(t, g)
	answer, err = whatComes(t, g.Public, "POST "+callback("", token)+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nfrom=")
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.HasSuffix(answer, validatedBody) {
		t.Errorf("a callback whose body never comes: %q, %v", answer, err)
	}
}

// whatComes sends bytes and returns all that comes until the other side ends
// the connection.
func whatComes(tb testing.TB, addr, sent string) (string, error) {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(startUpLimit)); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(c, sent); err != nil {
		return "", err
	}
	text, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return string(text), fmt.Errorf("the connection was left open: %w", err)
	}
	return string(text), nil
}

func TestACallbackWithALargeBodyIsAnsweredAsOneWithout(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	file := filepath.Join(t.TempDir(), "body")
	for _, size := range []int{10_000, 200_000} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		curl(t, "--data-binary", "@"+file, "http://"+g.Public+callback("", mint(t, g))).wantText(t, http.StatusOK, validatedBody)
	}
}

func TestACallThatOutlastsTheHandlersTimeIsAFault(t *testing.T) {
	t.Parallel()
	s := startScene(t, "--set", "request.handler_timeout=1s")
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).result(t, new(any))
	s.peer.Misbehave(misbehaviour{On: "xmlrpc", Kind: "slow"})
	call(t, s.gatewayProcess, "trackers.getBugs", "gnome", []int{1}).wantFault(t, 2002, "TRACKER_TIMEOUT")
	call(t, s.gatewayProcess, "trackers.addComment", "gnome", 1, "Hello.", "").wantFault(t, 2006, "OUTCOME_UNKNOWN")
}
