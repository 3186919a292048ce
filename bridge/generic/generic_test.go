package generic_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/bridge"
	"github.com/trackgate/trackgate/bridge/generic"
	"github.com/trackgate/trackgate/xmlrpc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an XML-RPC server of our own making behind a door.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []*http.Request
	calls []string
}

// start serves at a path. Who does not bring want as Authorization gets a 401, if
// want is not empty.
func start(t *testing.T, path, want string) *server {
	registry := xmlrpc.NewRegistry()
	if err := registry.Register("sample.add", func(a, b int) (int, error) { return a + b, nil }, "Adds."); err != nil {
		t.Fatal(err)
	}
	if err := registry.Register("sample.login", func(string) (bool, error) { return true, nil }, "Logs in."); err != nil {
		t.Fatal(err)
	}
	handler := xmlrpc.NewHandler(registry)
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.seen = append(s.seen, r)
		if call, err := xmlrpc.ParseCall(body); err == nil {
			s.calls = append(s.calls, call.Method)
		}
		s.mu.Unlock()
		w.Header().Set("Date", "Sat, 21 Nov 2026 20:16:31 GMT")
		switch {
		case r.URL.Path != path:
			http.NotFound(w, r)
		case want != "" && r.Header.Get("Authorization") != want:
			http.Error(w, "Who are you?", http.StatusUnauthorized)
		default:
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			handler.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func open(t *testing.T, url string, secrets bridge.Secrets, opts ...bridge.Option) *bridge.Bridge {
	t.Helper()
	b, err := bridge.New([]bridge.Config{{Name: "g", URL: url, Dialect: generic.Name, Secrets: secrets, AllowPrivate: true}},
		[]bridge.Named{{Name: generic.Name, New: generic.New, Undetectable: true}}, nil, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestTheURLIsThatOfTheServerItself(t *testing.T) {
	for _, path := range []string{"/RPC2", "/", "/a/b.cgi", "/~x/rpc%2Fy"} {
		s := start(t, strings.ReplaceAll(path, "%2F", "/"), "")
		got, err := open(t, s.URL+strings.TrimSuffix(path, "/"), bridge.Secrets{}).Call(t.Context(), "g", "sample.add", []any{2, 3})
		if err != nil || got != 5 {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
}

func TestCredentialsAreSentUnasked(t *testing.T) {
	for _, tc := range []struct {
		secrets bridge.Secrets
		want    string
	}{
		{bridge.Secrets{User: "ann", Password: "p:w"}, "Basic YW5uOnA6dw=="},
		{bridge.Secrets{Token: "tok"}, "Bearer tok"},
	} {
		s := start(t, "/RPC2", tc.want)
		got, err := open(t, s.URL+"/RPC2", tc.secrets).Call(t.Context(), "g", "sample.add", []any{2, 3})
		if err != nil || got != 5 || !reflect.DeepEqual(s.calls, []string{"system.listMethods", "sample.add"}) {
			t.Errorf("%v, %v after the calls %q", got, err, s.calls)
		}
	}
}

func TestCredentialsThatCannotBeSentAreRefusedBeforeAnyCall(t *testing.T) {
	for _, secrets := range []bridge.Secrets{{User: "a", Token: "t"}, {Password: "p"}, {APIKey: "k"}, {User: "a:b", Password: "p"}} {
		s := start(t, "/RPC2", "")
		if _, err := open(t, s.URL+"/RPC2", secrets).Call(t.Context(), "g", "sample.add", []any{2, 3}); !apierror.Is(err, apierror.TrackerLoginFailed) || s.requests() != 0 {
			t.Errorf("%v after %d requests", err, s.requests())
		}
	}
}

func TestAPasswordThatIsNotTakenBeginsTheBackOff(t *testing.T) {
	s := start(t, "/RPC2", "Basic other")
	b := open(t, s.URL+"/RPC2", bridge.Secrets{User: "ann", Password: "secret-password"})
	_, err := b.Call(t.Context(), "g", "sample.add", []any{2, 3})
	if !apierror.Is(err, apierror.TrackerLoginFailed) || !strings.Contains(err.Error(), "HTTP 401 to the configured credentials") ||
		b.List()[0].Session != bridge.SessionBackoff || s.requests() != 1 {
		t.Errorf("%v, session %s after %d requests", err, b.List()[0].Session, s.requests())
	}
	p, err := b.Probe(t.Context(), "g")
	if err != nil || p.Dialect != "" || strings.Contains(p.Reason, "secret-password") || !strings.Contains(p.Reason, "does not take those") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestAProbeFindsWhateverAnswers(t *testing.T) {
	now := time.Date(2026, 11, 21, 20, 14, 31, 0, time.UTC)
	clock := bridge.WithClock(func() time.Time { return now })
	fault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.Header().Set("Date", "Sat, 21 Nov 2026 20:16:31 GMT")
		_, _ = w.Write(xmlrpc.AppendFault(nil, 1, "no introspection here"))
	}))
	defer fault.Close()
	for name, url := range map[string]string{
		"a result": start(t, "/RPC2", "").URL + "/RPC2",
		"a fault":  fault.URL,
	} {
		p, err := open(t, url, bridge.Secrets{}, clock).Probe(t.Context(), "g")
		if err != nil || p.Dialect != generic.Name || len(p.Versions) != 0 || !p.ClockKnown || p.ClockSkew != 2*time.Minute {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	locked := start(t, "/RPC2", "Bearer tok")
	if p, err := open(t, locked.URL+"/RPC2", bridge.Secrets{Token: "tok"}, clock).Probe(t.Context(), "g"); err != nil || p.Dialect != generic.Name {
		t.Errorf("a server that answers nobody without credentials: %+v, %v", p, err)
	}
	p, err := open(t, start(t, "/RPC2", "").URL+"/elsewhere", bridge.Secrets{}).Probe(t.Context(), "g")
	if err != nil || p.Dialect != "" || !strings.Contains(p.Reason, "404") {
		t.Errorf("a page that is not there: %+v, %v", p, err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := open(t, gone.URL, bridge.Secrets{}).Probe(t.Context(), "g"); !apierror.Is(err, apierror.TrackerUnavailable) {
		t.Errorf("a server that is not there: %v", err)
	}
}

func TestItHasNoCapabilitiesButCalls(t *testing.T) {
	b := open(t, start(t, "/RPC2", "").URL+"/RPC2", bridge.Secrets{})
	if got := b.List()[0].Capabilities; len(got) != 0 {
		t.Errorf("capabilities %q", got)
	}
	if _, err := b.GetBugs(t.Context(), "g", []string{"1"}, bridge.LevelIDs); !apierror.Is(err, apierror.NotSupported) {
		t.Errorf("%v, want NOT_SUPPORTED", err)
	}
}

func TestAutoNeverFindsIt(t *testing.T) {
	_, err := bridge.New([]bridge.Config{{Name: "g", URL: "http://127.0.0.1:1/", Dialect: bridge.Auto}},
		[]bridge.Named{{Name: generic.Name, New: generic.New, Undetectable: true}}, nil, nil)
	if err == nil {
		t.Error("a tracker about which it is to be found out what it speaks was given the generic dialect")
	}
}

func TestWhatLogsInAndOutIsRefusedInAnyCase(t *testing.T) {
	s := start(t, "/RPC2", "")
	b := open(t, s.URL+"/RPC2", bridge.Secrets{})
	for _, method := range []string{"login", "Login", "sample.login", "User.logout", "system.shutdown"} {
		if _, err := b.Call(t.Context(), "g", method, []any{"x"}); !apierror.Is(err, apierror.Forbidden) {
			t.Errorf("%s: %v, want FORBIDDEN", method, err)
		}
	}
	if _, err := b.Call(t.Context(), "g", "system.multicall", []any{[]any{map[string]any{"methodName": "sample.login", "params": []any{"x"}}}}); !apierror.Is(err, apierror.Forbidden) {
		t.Errorf("inside a multicall: %v, want FORBIDDEN", err)
	}
	if s.requests() != 0 {
		t.Errorf("%d requests reached the server: %q", s.requests(), s.calls)
	}
}

func TestFaultsOfTheServerAreItsOwn(t *testing.T) {
	b := open(t, start(t, "/RPC2", "").URL+"/RPC2", bridge.Secrets{})
	_, err := b.Call(t.Context(), "g", "sample.nosuch", nil)
	if !apierror.Is(err, apierror.TrackerFault) || !strings.Contains(err.Error(), "-32601") {
		t.Errorf("%v", err)
	}
	got, err := b.Call(t.Context(), "g", "system.multicall", []any{[]any{map[string]any{"methodName": "sample.add", "params": []any{1, 2}}}})
	if want := []any{[]any{3}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
}
