package bridge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Limits of the connections to a tracker.
const (
	dialTimeout         = 10 * time.Second
	tlsHandshakeTimeout = 10 * time.Second
	// idleTimeout is shorter than the five seconds after which a default Apache
	// closes an idle connection: a write that meets a connection just being
	// closed has an unknown outcome.
	idleTimeout    = 4 * time.Second
	maxHeaderBytes = 64 << 10
	// maxRedirects bounds the redirects within the tracker that one call follows.
	maxRedirects = 3
)

// AddressError says that a tracker's host name led to an address that must not
// be called.
type AddressError struct {
	Addr   netip.Addr
	Reason string
	// Private is true when allow_private would permit the address.
	Private bool
}

// Error names the reason and not the address, which is not every caller's
// business.
func (e *AddressError) Error() string {
	return "the address that the tracker's host name resolves to is " + e.Reason
}

// parseBase checks a tracker's URL and brings it to one form, without a slash at
// its end.
func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		var ue *url.Error // its text repeats the URL, which may hold a password
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("its url cannot be parsed: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("its url must begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("its url must hold no user and no password: those stand in files or the environment")
	case u.Hostname() == "":
		return nil, errors.New("its url names no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("its url must have neither a query nor a fragment")
	}
	for _, segment := range strings.Split(u.Path, "/") {
		if segment == "." || segment == ".." {
			return nil, errors.New("its url must have no . and no .. in its path")
		}
	}
	return url.Parse(u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/"))
}

// newHTTPClient makes the client of one tracker: it calls nothing but that
// tracker, and shares no connection with another.
func newHTTPClient(c Config, base *url.URL, o *options) (*http.Client, *politeTransport) {
	dialer := &net.Dialer{
		Timeout:  dialTimeout,
		Resolver: o.resolver,
		// Control runs after the name was resolved, for every address that is
		// tried: there is no time between check and use in which the name
		// could be given another address.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return checkAddress(address, c.AllowPrivate)
		},
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // the number of connections is then the number of calls at once
	connections := o.connections
	if c.Connections > 0 {
		connections = c.Connections
	}
	security := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		security.RootCAs, security.Certificates = c.TLS.RootCAs, c.TLS.Certificates
	}
	dial := dialFunc(dialer.DialContext)
	transport := &http.Transport{
		Proxy:                  nil, // a proxy of the environment would dial in our place
		DialContext:            dial.watched(),
		DialTLSContext:         dial.secured(security, min(tlsHandshakeTimeout, o.timeLimit)).watched(),
		Protocols:              protocols,
		ResponseHeaderTimeout:  o.timeLimit,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxConnsPerHost:        connections,
		MaxIdleConnsPerHost:    connections,
		IdleConnTimeout:        idleTimeout,
	}
	polite := newPoliteTransport(transport, c, o)
	return &http.Client{
		Transport: &guardedTransport{base: base, next: polite, idle: transport, now: o.now},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			return checkRedirect(base, req, via)
		},
	}, polite
}

// checkRedirect stops at every redirect but one that repeats the same request
// beneath the tracker's own URL. What stops is not followed: the redirect itself
// is then the answer.
func checkRedirect(base *url.URL, req *http.Request, via []*http.Request) error {
	sameMethod := req.Method == via[0].Method // 301, 302 and 303 turn a POST into a GET
	wanted := via[0].Context().Value(noRedirects{}) == nil
	if !wanted || !beneath(base, req.URL) || !sameMethod || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// beneath tells whether u is the tracker's base URL or below it. Another
// scheme, host or port is another place, and so is another path of the same
// host: it may belong to somebody else.
func beneath(base, u *url.URL) bool {
	path, root := u.EscapedPath(), strings.TrimRight(base.EscapedPath(), "/")
	return u.Scheme == base.Scheme && strings.EqualFold(u.Host, base.Host) && u.User == nil &&
		(path == root || strings.HasPrefix(path, root+"/")) && !strings.Contains(u.Path, "/..")
}

// guardedTransport refuses, whatever the code above it does, every request that
// is not beneath the base URL. Since it sees every answer it reads the clock.
type guardedTransport struct {
	base  *url.URL
	next  http.RoundTripper
	idle  interface{ CloseIdleConnections() }
	now   func() time.Time
	clock dateClock
}

var _ http.RoundTripper = (*guardedTransport)(nil)

// RoundTrip lets a request through to the tracker.
func (g *guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !beneath(g.base, req.URL) {
		return nil, errors.New("bridge: a request outside the tracker's base URL was stopped")
	}
	resp, err := g.next.RoundTrip(repeatable(req))
	if err == nil {
		g.clock.see(resp.Header, g.now())
	}
	return resp, err
}

// repeatable lets net/http send a request on another connection when it has
// written nothing of it to the first. It needs a GetBody for that, which
// http.Client must not see: it would follow more redirects.
func repeatable(req *http.Request) *http.Request {
	body, ok := req.Body.(interface{ Rewind() (io.ReadCloser, error) })
	if !ok || req.GetBody != nil {
		return req
	}
	again := req.WithContext(req.Context())
	again.GetBody = body.Rewind
	return again
}

// CloseIdleConnections lets http.Client reach the transport's method.
func (g *guardedTransport) CloseIdleConnections() { g.idle.CloseIdleConnections() }

// checkAddress decides about the address, "host:port", of a connection about to
// be opened.
func checkAddress(address string, allowPrivate bool) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("bridge: the address of a connection cannot be parsed: %w", err)
	}
	if reason := refusedAddress(ap.Addr(), allowPrivate); reason != "" {
		return &AddressError{Addr: ap.Addr(), Reason: reason, Private: refusedAddress(ap.Addr(), true) == ""}
	}
	return nil
}

// notPublic are the IPv4 networks of the IANA special-purpose registry that
// netip has no method for. They are refused unless private addresses are allowed.
var notPublic = []struct {
	network netip.Prefix
	reason  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "one of \"this network\""},
	{netip.MustParsePrefix("100.64.0.0/10"), "one of a carrier's shared space"},
	{netip.MustParsePrefix("192.0.0.0/24"), "one of protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "one for documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "one of 6to4 relays"},
	{netip.MustParsePrefix("198.18.0.0/15"), "one for benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "one for documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "one for documentation"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved one"},
}

// Networks of IPv6 that need looking at.
var (
	globalUnicast    = netip.MustParsePrefix("2000::/3")
	protocolSpace    = netip.MustParsePrefix("2001::/23") // Teredo and ORCHID among them
	documentation    = netip.MustParsePrefix("2001:db8::/32")
	documentation2   = netip.MustParsePrefix("3fff::/20")
	sixToFour        = netip.MustParsePrefix("2002::/16")
	nat64            = netip.MustParsePrefix("64:ff9b::/96")
	limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// refusedAddress says why an address must not be called, and "" when it may be.
func refusedAddress(a netip.Addr, allowPrivate bool) string {
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	switch {      // what no tracker can ever be at
	case !a.IsValid():
		return "not valid"
	case a.IsUnspecified():
		return "the unspecified one"
	case a.IsMulticast() || a == limitedBroadcast:
		return "one of many machines"
	}
	if allowPrivate {
		return ""
	}
	switch {
	case a.IsLoopback():
		return "a loopback one"
	case a.IsPrivate():
		return "a private one"
	case a.IsLinkLocalUnicast():
		return "a link-local one"
	}
	if a.Is4() {
		for _, n := range notPublic {
			if n.network.Contains(a) {
				return n.reason
			}
		}
		return ""
	}
	bytes := a.As16()
	switch {
	case nat64.Contains(a):
		return refusedAddress(netip.AddrFrom4([4]byte(bytes[12:16])), false)
	case sixToFour.Contains(a):
		return refusedAddress(netip.AddrFrom4([4]byte(bytes[2:6])), false)
	case !globalUnicast.Contains(a) || protocolSpace.Contains(a) || documentation.Contains(a) || documentation2.Contains(a):
		return "not one of the public Internet"
	}
	return ""
}
