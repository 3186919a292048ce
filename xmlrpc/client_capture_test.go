package xmlrpc_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/xmlrpc"
)

// rawServer is a server made of bytes: each connection is handed to serve, after
// one request has been read from it.
type rawServer struct {
	url string

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

// serveRaw starts a raw server that answers each connection's first request with
// serve and then closes it.
func serveRaw(t *testing.T, serve func(conn net.Conn, r *bufio.Reader)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + listener.Addr().String() + "/rpc"}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				if s.read(r) {
					serve(conn, r)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return s
}

// read takes one request off the connection and remembers it.
func (s *rawServer) read(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	s.bodies = append(s.bodies, string(body))
	return true
}

// count returns how many whole requests have arrived.
func (s *rawServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.bodies)
}

// serveBytes starts a raw server whose answer is always the same.
func serveBytes(t *testing.T, answer string) *rawServer {
	t.Helper()
	return serveRaw(t, func(conn net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(conn, answer)
	})
}

func newClient(t *testing.T, url string, opts ...xmlrpc.ClientOption) *xmlrpc.Client {
	t.Helper()
	c, err := xmlrpc.NewClient(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// unkept uses each connection for one call, like the recorded answers do, and
// follows no redirect.
var unkept = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// outcome is a line of testdata/answers/outcomes.jsonl: what Python's xmlrpc
// reads in the answer, which is independent of this package. Of kind "repair" are
// documents with raw control characters, read by Python after they were replaced
// by U+FFFD; of kind "page" are answers that are not XML at all.
type outcome struct {
	File     string
	Kind     string
	Status   int
	Code     int
	CodeText string
	String   string
	Value    any
}

func TestEveryRecordedAnswerOfATrackerIsReadAsPythonReadsIt(t *testing.T) {
	f, err := os.Open("testdata/answers/outcomes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var want outcome
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		t.Run(want.File, func(t *testing.T) {
			answer, err := os.ReadFile(filepath.Join("testdata/answers", filepath.FromSlash(want.File)))
			if err != nil {
				t.Fatal(err)
			}
			server := serveBytes(t, string(answer))
			var got any
			err = newClient(t, server.url, xmlrpc.WithHTTPClient(unkept)).Call(t.Context(), "some.method", &got)
			want.check(t, server, got, err)
		})
	}
	if err := lines.Err(); err != nil || n < 150 {
		t.Fatalf("%d answers, error %v", n, err)
	}
}

func (want outcome) check(t *testing.T, server *rawServer, got any, err error) {
	t.Helper()
	switch want.Kind {
	case "value":
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, got, want.Value)
	case "fault":
		var fault *xmlrpc.Fault
		if !errors.As(err, &fault) {
			t.Fatalf("got %v and error %v, want a fault", got, err)
		}
		if fault.Code != want.Code || fault.CodeText != want.CodeText || fault.String != want.String {
			t.Errorf("got %+v, want %+v", fault, want)
		}
	case "http":
		var status *xmlrpc.HTTPError
		if !errors.As(err, &status) || status.StatusCode != want.Status || len(status.Body) > 512 {
			t.Errorf("got %v and error %v, want status %d", got, err, want.Status)
		}
	case "page", "repair":
		var answer *xmlrpc.AnswerError
		if !errors.As(err, &answer) || answer.StatusCode/100 != 2 {
			t.Errorf("got %v and error %v, want an answer that is none", got, err)
		}
		if want.Kind == "repair" {
			client := newClient(t, server.url, xmlrpc.WithHTTPClient(unkept), xmlrpc.WithClientRepair())
			if err := client.Call(t.Context(), "some.method", &got); err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, want.Value)
		}
	default:
		t.Fatalf("unknown kind %q", want.Kind)
	}
}

// wantSame compares a decoded value with one in the form of outcomes.jsonl.
func wantSame(t *testing.T, got, want any) {
	t.Helper()
	text, err := json.Marshal(plain(got))
	if err != nil {
		t.Fatal(err)
	}
	var same any
	if err := json.Unmarshal(text, &same); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(same, want) {
		t.Errorf("got  %v\nwant %v", same, want)
	}
}

// plain writes the types that JSON lacks as outcomes.jsonl does.
func plain(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, item := range v {
			members[name] = plain(item)
		}
		return members
	case float64:
		return map[string]any{"double": v}
	case []byte:
		return map[string]any{"base64": base64.StdEncoding.EncodeToString(v)}
	case xmlrpc.DateTime:
		return map[string]any{"dateTime": strings.TrimSuffix(v.String(), "Z")}
	}
	return value
}
