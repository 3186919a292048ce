package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestThePrivateSideRefusesWhatAWebPageCouldSend(t *testing.T) {
	for _, tc := range []struct {
		name    string
		headers string
		reason  string
	}{
		{"an old client without Host", "", ""},
		{"an address", "Host: 127.0.0.1:8087\r\n", ""},
		{"an address without port", "Host: 10.1.2.3\r\n", ""},
		{"an IPv6 address", "Host: [::1]:8087\r\n", ""},
		{"localhost", "Host: localhost:8087\r\n", ""},
		{"LOCALHOST with a final dot", "Host: LocalHost.:8087\r\n", ""},
		{"a listed name", "Host: gate.corp.example:8087\r\n", ""},
		{"a typed address (no site)", "Host: localhost\r\nSec-Fetch-Site: none\r\n", ""},
		{"a rebound name", "Host: evil.example:8087\r\n", refusedHost},
		{"a name that begins like a listed one", "Host: gate.corp.example.evil.example\r\n", refusedHost},
		{"localhost as a subdomain", "Host: localhost.evil.example\r\n", refusedHost},
		{"an address as a subdomain", "Host: 127.0.0.1.evil.example\r\n", refusedHost},
		{"a form of another site", "Host: localhost\r\nOrigin: https://evil.example\r\n", refusedOrigin},
		{"a sandboxed frame", "Host: localhost\r\nOrigin: null\r\n", refusedOrigin},
		{"an empty Origin", "Host: localhost\r\nOrigin:\r\n", refusedOrigin},
		{"an image of another site", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", refusedSite},
		{"a page of the same site", "Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", refusedSite},
		{"two sites", "Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", refusedSite},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var reason string
			srv := httptest.NewServer(&guard{
				next:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
				hosts:   []string{"gate.corp.example"},
				refused: func(_ *http.Request, why string) { reason = why },
			})
			defer srv.Close()
			version := "1.1"
			if tc.headers == "" {
				version = "1.0"
			}
			status := rawStatus(t, srv.Listener.Addr().String(), fmt.Sprintf("POST /RPC2 HTTP/%s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n", version, tc.headers))
			want := http.StatusNoContent
			if tc.reason != "" {
				want = http.StatusForbidden
			}
			if status != want || reason != tc.reason {
				t.Errorf("status %d, reason %q; want %d, %q", status, reason, want, tc.reason)
			}
		})
	}
}

func rawStatus(t *testing.T, addr, request string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func TestAddressesOutsideTheAllowedNetworksAreRefused(t *testing.T) {
	g := &guard{
		next:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		allow:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		refused: func(*http.Request, string) {},
	}
	for remote, want := range map[string]int{
		"10.1.2.3:5":          http.StatusNoContent,
		"[::ffff:10.1.2.3]:5": http.StatusNoContent,
		"[::1]:5":             http.StatusNoContent,
		"11.1.2.3:5":          http.StatusForbidden,
		"[::2]:5":             http.StatusForbidden,
		"nonsense":            http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/RPC2", nil)
		r.RemoteAddr = remote
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", remote, w.Code, want)
		}
	}
	g.allow = []netip.Prefix{}
	r := httptest.NewRequest(http.MethodPost, "http://localhost/RPC2", nil)
	r.RemoteAddr = "127.0.0.1:5"
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("an empty list of networks let somebody in: status %d", w.Code)
	}
}

func TestAHostThatPassedOpensTheGuardToNoOther(t *testing.T) {
	g := &guard{
		next:    http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
		hosts:   []string{"gate.corp.example"},
		refused: func(*http.Request, string) {},
	}
	for i, tc := range []struct {
		host string
		want int
	}{
		{"evil.example", http.StatusForbidden},
		{"127.0.0.1:8087", http.StatusNoContent},
		{"127.0.0.1:8087", http.StatusNoContent},
		{"evil.example", http.StatusForbidden},
		{"evil.example", http.StatusForbidden},
		{"127.0.0.1.evil.example:8087", http.StatusForbidden},
		{"gate.corp.example", http.StatusNoContent},
		{"", http.StatusNoContent},
		{"evil.example", http.StatusForbidden},
	} {
		r := httptest.NewRequest(http.MethodPost, "/RPC2", nil)
		r.Host = tc.host
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("request %d, to %q: status %d, want %d", i, tc.host, w.Code, tc.want)
		}
	}
}
