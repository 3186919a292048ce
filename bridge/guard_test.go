package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/trackgate/trackgate/apierror"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyPublicAddressesAreCalledUnlessPrivateOnesAreAllowed(t *testing.T) {
	const public, private, never = "public", "private", "never"
	for address, kind := range map[string]string{
		"93.184.216.34":          public,
		"8.8.8.8":                public,
		"2606:2800:220:1::1":     public,
		"::ffff:93.184.216.34":   public,
		"64:ff9b::5db8:d822":     public, // NAT64 of 93.184.216.34
		"2002:5db8:d822::1":      public, // 6to4 of the same
		"127.0.0.1":              private,
		"127.255.255.254":        private,
		"10.0.0.1":               private,
		"172.16.0.1":             private,
		"172.31.255.255":         private,
		"192.168.1.1":            private,
		"169.254.169.254":        private, // metadata of cloud machines
		"100.64.0.1":             private,
		"100.127.255.255":        private,
		"0.1.2.3":                private,
		"192.0.0.8":              private,
		"192.0.2.1":              private,
		"192.88.99.1":            private,
		"198.18.0.1":             private,
		"198.51.100.1":           private,
		"203.0.113.1":            private,
		"240.0.0.1":              private,
		"::1":                    private,
		"fe80::1":                private,
		"fe80::1%eth0":           private,
		"fc00::1":                private,
		"fd12:3456:789a::1":      private,
		"fec0::1":                private,
		"::ffff:127.0.0.1":       private,
		"::ffff:10.0.0.1":        private,
		"::127.0.0.1":            private, // IPv4-compatible, deprecated
		"64:ff9b::7f00:1":        private,
		"64:ff9b::a00:1":         private,
		"64:ff9b:1::a00:1":       private,
		"2002:7f00:1::1":         private,
		"2002:c0a8:101::1":       private,
		"2001:0:4136:e378::1":    private, // Teredo
		"2001:db8::1":            private,
		"3fff::1":                private,
		"100::1":                 private,
		"5f00::1":                private,
		"0.0.0.0":                never,
		"::":                     never,
		"::ffff:0.0.0.0":         never,
		"224.0.0.1":              never,
		"255.255.255.255":        never,
		"ff02::1":                never,
		"::ffff:239.255.255.250": never,
	} {
		a := netip.MustParseAddr(address)
		if refused := refusedAddress(a, false) != ""; refused != (kind != public) {
			t.Errorf("%s: refused %v for a tracker without allow_private", address, refused)
		}
		if refused := refusedAddress(a, true) != ""; refused != (kind == never) {
			t.Errorf("%s: refused %v for a tracker with allow_private", address, refused)
		}
	}
	if refusedAddress(netip.Addr{}, true) == "" || checkAddress("localhost:80", true) == nil {
		t.Error("what is no address was let through")
	}
}

// nameServer answers every question for an A record with the next of its
// addresses, the last one for ever, and all others with nothing. One without
// addresses knows no name.
type nameServer struct {
	conn net.PacketConn

	mu        sync.Mutex
	addresses []netip.Addr
	asked     int
}

func newNameServer(t *testing.T, addresses ...string) (*nameServer, *net.Resolver) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	for _, a := range addresses {
		s.addresses = append(s.addresses, netip.MustParseAddr(a))
	}
	done := make(chan struct{})
	go func() { defer close(done); s.serve() }()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return s, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = s.conn.WriteTo(s.answer(buf[:n]), from)
	}
}

// answer makes a message of RFC 1035: the question, and one address if it is
// for one.
func (s *nameServer) answer(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	question := query[12 : end+5]
	msg := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if len(s.addresses) == 0 {
		msg[3] |= 3 // NXDOMAIN
		return msg
	}
	if binary.BigEndian.Uint16(query[end+1:]) != 1 {
		return msg
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.addresses[min(s.asked, len(s.addresses)-1)].As4()
	s.asked++
	msg[7] = 1
	return append(append(msg, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), a[:]...)
}

// bare is a dialect without capabilities, for tests of what is around one.
type bare struct {
	remote *Remote
	login  func(context.Context, *Credentials) (*Session, error)
}

func (*bare) Name() string                              { return "bare" }
func (*bare) Detect(context.Context) (Detection, error) { return Detection{}, nil }
func (*bare) Expired(error) bool                        { return false }

func (d *bare) About(ctx context.Context) (About, error) {
	_, err := d.remote.Get(ctx, "about")
	return About{}, err
}

func (d *bare) Login(ctx context.Context, c *Credentials) (*Session, error) {
	if d.login == nil {
		return &Session{}, nil
	}
	return d.login(ctx, c)
}

func newBare(t *testing.T, c Config, opts ...Option) (*Bridge, *bare) {
	t.Helper()
	d := &bare{}
	c.Name, c.Dialect = "t", "bare"
	b, err := New([]Config{c}, []Named{{Name: "bare", New: func(r *Remote) (Dialect, error) {
		d.remote = r
		return d, nil
	}}}, nil, nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b, d
}

func TestANameThatChangesItsAddressBetweenCheckAndUseIsNotCalled(t *testing.T) {
	called := make(chan struct{}, 1)
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer inner.Close()
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	names, resolver := newNameServer(t, "93.184.216.34", "127.0.0.1")

	if addrs, err := resolver.LookupNetIP(t.Context(), "ip4", "tracker.test"); err != nil || addrs[0].String() != "93.184.216.34" {
		t.Fatalf("whoever checks the name first sees %v, %v", addrs, err)
	}
	_, d := newBare(t, Config{URL: "http://tracker.test:" + port}, WithResolver(resolver))
	_, err := d.remote.Get(t.Context(), "x")
	if !apierror.Is(err, apierror.TrackerUnavailable) || !strings.Contains(err.Error(), "a loopback one") {
		t.Errorf("got %v, want TRACKER_UNAVAILABLE because of a loopback address", err)
	}
	if blocked := new(AddressError); !errors.As(err, &blocked) || blocked.Addr.String() != "127.0.0.1" {
		t.Errorf("the blocked address is not in %v", err)
	}
	names.mu.Lock()
	defer names.mu.Unlock()
	if len(called) != 0 || names.asked < 2 {
		t.Errorf("%d requests reached the inner service, %d questions for the name", len(called), names.asked)
	}
}

func TestPrivateAddressesAreCalledOnlyWhereTheEntryAllowsIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for _, allowed := range []bool{false, true} {
		_, d := newBare(t, Config{URL: server.URL, AllowPrivate: allowed})
		_, err := d.remote.Get(t.Context(), "x")
		if (err == nil) != allowed {
			t.Errorf("allow_private = %v: %v", allowed, err)
		}
		if !allowed && strings.Contains(apierror.From(err).FaultString(), "127.0.0.1") {
			t.Errorf("the address is shown to callers: %v", apierror.From(err).FaultString())
		}
	}
}

func TestTheProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	// net/http reads the environment once and never uses a proxy for loopback,
	// so what counts is that there is no proxy function.
	_, d := newBare(t, Config{URL: "http://tracker.test"})
	guarded, ok := d.remote.http.Transport.(*guardedTransport)
	if !ok {
		t.Fatal("the transport is not guarded")
	}
	if transport, ok := guarded.idle.(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("the transport asks for a proxy")
	}
}

func TestRedirectsAreFollowedOnlyBeneathTheTrackersURL(t *testing.T) {
	var elsewhere *httptest.Server
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/lp/inside":
			http.Redirect(w, r, "/lp/there", http.StatusFound)
		case "/lp/outside":
			http.Redirect(w, r, "/other/there", http.StatusFound)
		case "/lp/prefix":
			http.Redirect(w, r, "/lpother", http.StatusFound)
		case "/lp/dots":
			w.Header().Set("Location", "/lp/%2e%2e/other")
			w.WriteHeader(http.StatusFound)
		case "/lp/elsewhere":
			http.Redirect(w, r, elsewhere.URL+"/lp/there", http.StatusFound)
		case "/lp/user":
			http.Redirect(w, r, "http://u:p@"+r.Host+"/lp/there", http.StatusFound)
		case "/lp/loop":
			http.Redirect(w, r, "/lp/loop", http.StatusFound)
		case "/lp/there":
			w.WriteHeader(http.StatusOK)
		default:
			t.Errorf("%s was called", r.URL.Path)
		}
	})
	server := httptest.NewServer(handler)
	defer server.Close()
	elsewhere = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was called") }))
	defer elsewhere.Close()
	_, d := newBare(t, Config{URL: server.URL + "/lp", AllowPrivate: true})
	for path, want := range map[string]int{
		"inside": 200, "outside": 302, "prefix": 302, "dots": 302, "elsewhere": 302, "user": 302, "loop": 302,
	} {
		page, err := d.remote.Get(t.Context(), path)
		if err != nil || page.StatusCode != want {
			t.Errorf("%s: %+v, %v, want status %d", path, page, err, want)
		}
	}
}

func TestARequestOutsideTheBaseURLIsStopped(t *testing.T) {
	_, d := newBare(t, Config{URL: "http://tracker.test/lp"})
	for _, place := range []string{"http://other.test/lp/x", "https://tracker.test/lp/x", "http://tracker.test:81/lp/x", "http://tracker.test/", "http://tracker.test/lpx"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, place, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := d.remote.http.Transport.RoundTrip(req); err == nil || !strings.Contains(err.Error(), "stopped") {
			_ = resp
			t.Errorf("%s was let through: %v", place, err)
		}
	}
}

func TestURLsOfTrackersAreChecked(t *testing.T) {
	for raw, want := range map[string]string{
		"http://h":               "http://h",
		"https://H.Example:8443": "https://h.example:8443",
		"https://h/a/b/":         "https://h/a/b",
		"http://[2001:db8::1]/x": "http://[2001:db8::1]/x",
		"https://h/a%2Fb":        "https://h/a%2Fb",
	} {
		if got, err := parseBase(raw); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "h", "ftp://h", "http://", "http:///x", "http://u@h", "http://u:secret@h", "http://h?x=1", "http://h?", "http://h#f",
		"http://h/../x", "http://h/%2e%2e/x", "http://u:secret@h:bad", "file:///etc/passwd", "//h",
	} {
		if got, err := parseBase(raw); err == nil {
			t.Errorf("%q was taken as %v", raw, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows the password: %v", raw, err)
		}
	}
}

func TestSegmentsOfAURLStayBelowTheBase(t *testing.T) {
	_, d := newBare(t, Config{URL: "http://tracker.test/lp"})
	for segment, want := range map[string]string{
		"a": "a", "..": "%2E%2E", ".": "%2E", "a/b": "a%2Fb", "a?b#c": "a%3Fb%23c", "../x": "..%2Fx",
	} {
		got := d.remote.URL("p", segment)
		if got != "http://tracker.test/lp/p/"+want {
			t.Errorf("%q became %s", segment, got)
		}
		if u, err := url.Parse(got); err != nil || strings.HasPrefix(segment, "..") == beneath(d.remote.base, u) {
			t.Errorf("%q: beneath the base: %v", segment, beneath(d.remote.base, u))
		}
	}
}

func TestErrorsOfHTTPHoldNoURL(t *testing.T) {
	const token = "s3cretTokenThatMustNotBeSeen"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // answers with the request's own first line, which is no HTTP
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1024)
			n, _ := conn.Read(buf)
			_, _ = conn.Write(buf[:n])
			_ = conn.Close()
		}
	}()
	defer func() { _ = listener.Close(); <-done }()
	for name, base := range map[string]string{
		"refused":  "http://127.0.0.1:1",
		"reflects": "http://" + listener.Addr().String(),
	} {
		_, d := newBare(t, Config{URL: base, AllowPrivate: true})
		_, err := d.remote.Get(t.Context(), "launchpad-auth", token)
		if err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "://") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATrackerIsGivenNoMoreConnectionsThanTheLimit(t *testing.T) {
	const limit, calls = 2, 8
	var mu sync.Mutex
	open, most := 0, 0
	reached, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		open++
		if most = max(most, open); most == limit && open == limit {
			select {
			case <-reached:
			default:
				close(reached)
			}
		}
		mu.Unlock()
		<-release
		mu.Lock()
		open--
		mu.Unlock()
	}))
	defer server.Close()
	_, d := newBare(t, Config{URL: server.URL, AllowPrivate: true}, WithConnections(limit))
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := d.remote.Get(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	<-reached
	close(release)
	wg.Wait()
	if most != limit {
		t.Errorf("%d calls at once, want %d", most, limit)
	}
}
