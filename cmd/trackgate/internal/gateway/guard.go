package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/trackgate/trackgate/apierror"
	"github.com/trackgate/trackgate/ratelimit"
)

// guard refuses, before anything else looks at a request, what a web page
// could make a browser send to a listener that is not meant for the public:
//
//   - any Origin header, and any Sec-Fetch-Site but none (Fetch Metadata);
//   - a Host that is neither an IP address, nor localhost, nor listed: a name
//     that an attacker rebinds to this address. Old clients send no Host at
//     all, and browsers always do, so none passes;
//   - an address outside allow. A nil allow lets everybody in.
type guard struct {
	next  http.Handler
	hosts []string
	allow []netip.Prefix
	// refused is told of each refusal and its reason.
	refused func(r *http.Request, reason string)
	// passed is the Host that was found to be allowed last. Nearly all requests have
	// the same, which needs no second look.
	passed atomic.Pointer[string]
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := g.refusal(r); reason != "" {
		g.refused(r, reason)
		apierror.Write(w, r, apierror.New(apierror.Forbidden).WithExtra("reason", reason))
		return
	}
	g.next.ServeHTTP(w, r)
}

// The reasons of refusals: a closed set, which is also a metric's label.
const (
	refusedOrigin  = "origin"
	refusedSite    = "sec-fetch-site"
	refusedHost    = "host"
	refusedAddress = "address"
)

func (g *guard) refusal(r *http.Request) string {
	if g.allow != nil && !contains(g.allow, ratelimit.Callers{}.CallerAddr(r)) {
		return refusedAddress
	}
	if len(r.Header["Origin"]) > 0 {
		return refusedOrigin
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "none" {
			return refusedSite
		}
	}
	if last := g.passed.Load(); r.Host == "" || last != nil && *last == r.Host {
		return ""
	}
	if !g.hostAllowed(r.Host) {
		return refusedHost
	}
	host := strings.Clone(r.Host)
	g.passed.Store(&host)
	return ""
}

func (g *guard) hostAllowed(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	for _, name := range g.hosts {
		if strings.EqualFold(host, strings.TrimSuffix(name, ".")) {
			return true
		}
	}
	return false
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
