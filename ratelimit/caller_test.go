package ratelimit_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/ratelimit"
)

func prefixes(tb testing.TB, texts ...string) []netip.Prefix {
	tb.Helper()
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

func newCallers(tb testing.TB, trusted ...string) ratelimit.Callers {
	tb.Helper()
	c, err := ratelimit.NewCallers(prefixes(tb, trusted...))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func TestCallersAreIPv4AddressesAndIPv6Networks(t *testing.T) {
	for addr, want := range map[string]ratelimit.Caller{
		"192.0.2.7":               "192.0.2.7",
		"::ffff:192.0.2.7":        "192.0.2.7",
		"2001:db8:0:7::1":         "2001:db8:0:7::/64",
		"2001:db8:0:7:ffff::":     "2001:db8:0:7::/64",
		"2001:db8:0:8::1":         "2001:db8:0:8::/64",
		"::1":                     "::/64",
		"fe80::1%eth0":            "fe80::/64",
		"::ffff:192.0.2.7%zone":   "192.0.2.7",
		"2001:0db8:0000:0007::00": "2001:db8:0:7::/64",
	} {
		if got := ratelimit.CallerOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if got := ratelimit.CallerOf(netip.Addr{}); got != ratelimit.Unknown {
		t.Errorf("no address: %q", got)
	}
}

func TestTheCallerIsThePeerOrWhatTrustedProxiesVouchFor(t *testing.T) {
	trusted := []string{"10.0.0.0/8", "fd00::/8", "::ffff:172.16.0.0/108"}
	for _, tc := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a peer without the field", "192.0.2.7:99", nil, "192.0.2.7"},
		{"a stranger's field is not believed", "192.0.2.7:99", []string{"198.51.100.1"}, "192.0.2.7"},
		{"a proxy without the field", "10.0.0.1:99", nil, "10.0.0.1"},
		{"a proxy's client", "10.0.0.1:99", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy by IPv4-mapped address", "[::ffff:10.0.0.1]:99", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy of an IPv4-mapped network", "172.16.3.4:99", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a proxy by IPv6 address with zone", "[fd00::1%eth0]:99", []string{"2001:db8::1"}, "2001:db8::1"},
		{"what the client wrote itself stands left", "10.0.0.1:99", []string{"203.0.113.66, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:99", []string{"203.0.113.66, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"several lines are one list", "10.0.0.1:99", []string{"203.0.113.66", "198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		{"the last line counts first", "10.0.0.1:99", []string{"198.51.100.1, 10.0.0.2", "203.0.113.9"}, "203.0.113.9"},
		{"only proxies", "10.0.0.1:99", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no spaces", "10.0.0.1:99", []string{"198.51.100.1,10.0.0.2"}, "198.51.100.1"},
		{"tabs and spaces", "10.0.0.1:99", []string{"\t198.51.100.1 \t, 10.0.0.2 "}, "198.51.100.1"},
		{"a port after an IPv4 address", "10.0.0.1:99", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"a port after an IPv6 address", "10.0.0.1:99", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"an IPv6 address in brackets", "10.0.0.1:99", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"an IPv4 address in brackets is none", "10.0.0.1:99", []string{"[198.51.100.1]"}, "10.0.0.1"},
		{"a mapped address is IPv4", "10.0.0.1:99", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"garbage at the right", "10.0.0.1:99", []string{"198.51.100.1, unknown"}, "10.0.0.1"},
		{"garbage after a proxy", "10.0.0.1:99", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"garbage left of the client", "10.0.0.1:99", []string{"<script>, 198.51.100.1"}, "198.51.100.1"},
		{"an empty element", "10.0.0.1:99", []string{"198.51.100.1, , 10.0.0.2"}, "10.0.0.2"},
		{"an empty field", "10.0.0.1:99", []string{""}, "10.0.0.1"},
		{"an obfuscated identifier", "10.0.0.1:99", []string{"_hidden"}, "10.0.0.1"},
		{"a peer without a port", "192.0.2.7", nil, "192.0.2.7"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		if tc.forwarded != nil {
			r.Header["X-Forwarded-For"] = tc.forwarded
		}
		c := newCallers(t, trusted...)
		if got := c.CallerAddr(r); got != netip.MustParseAddr(tc.want) {
			t.Errorf("%s: %v, want %s", tc.name, got, tc.want)
		}
	}
}

func TestARequestWithoutAnAddressIsOfTheUnknownCaller(t *testing.T) {
	c := newCallers(t, "0.0.0.0/0", "::/0")
	for _, peer := range []string{"", "@", "/run/socket", "example.org:80"} {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {"198.51.100.1"}}}
		if addr := c.CallerAddr(r); addr.IsValid() {
			t.Errorf("%q: address %v", peer, addr)
		}
		if got := ratelimit.CallerOf(c.CallerAddr(r)); got != ratelimit.Unknown {
			t.Errorf("%q: caller %q", peer, got)
		}
	}
}

func TestATrustedProxyThatIsNoNetworkIsRefused(t *testing.T) {
	if _, err := ratelimit.NewCallers([]netip.Prefix{{}}); err == nil {
		t.Error("the zero prefix is taken")
	}
}

// FuzzForwardedFor holds that whatever clients write left of what the trusted
// proxy appended, the caller is the one that the proxy saw.
func FuzzForwardedFor(f *testing.F) {
	f.Add("203.0.113.66", "", true)
	f.Add("10.0.0.1, 10.0.0.2", "10.9.9.9", false)
	f.Add(",,,", "\x00", true)
	f.Add("[::1]:1, [fe80::1%eth0]", "::ffff:1.2.3.4", true)
	f.Fuzz(func(t *testing.T, first, second string, oneLine bool) {
		c := newCallers(t, "10.0.0.0/8")
		lines := []string{first, second, "198.51.100.1"}
		if oneLine {
			lines = []string{strings.Join(lines, ",")}
		}
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": lines}}
		if got := ratelimit.CallerOf(c.CallerAddr(r)); got != "198.51.100.1" {
			t.Errorf("%q: caller %q", lines, got)
		}
		r.Header["X-Forwarded-For"] = []string{first, second}
		addr := c.CallerAddr(r)
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("%q, %q: address %v", first, second, addr)
		}
		if caller := ratelimit.CallerOf(c.CallerAddr(r)); strings.ContainsAny(string(caller), "{} \r\n") {
			t.Errorf("%q, %q: caller %q", first, second, caller)
		}
	})
}
