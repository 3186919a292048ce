package ratelimit

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Caller is who is counted as one. For an IPv4 address it is the address
// ("192.0.2.7"), for an IPv6 address its /64 network ("2001:db8:0:7::/64"),
// since one customer usually has as much, and [Unknown] for none; a [Rule] can
// count otherwise. It is the last part of the key in Redis.
type Caller string

// Unknown is the caller of requests that have no address, such as those of a
// Unix socket. All of them share one bucket.
const Unknown Caller = "unknown"

// mappedBits is how many bits come before the IPv4 address in a mapped one
// (RFC 4291, section 2.5.5.2).
const mappedBits = 96

// CallerOf returns the caller of an address. IPv4-mapped addresses count as
// IPv4, and zones are dropped.
func CallerOf(addr netip.Addr) Caller { return callerWithin(addr, DefaultIPv4Bits, DefaultIPv6Bits) }

// callerWithin is CallerOf with other prefix lengths. A whole IPv4 address is
// written without its length.
func callerWithin(addr netip.Addr, ipv4Bits, ipv6Bits int) Caller {
	addr = plain(addr)
	bits := ipv6Bits
	switch {
	case !addr.IsValid():
		return Unknown
	case addr.Is4() && ipv4Bits == addr.BitLen():
		return Caller(addr.String())
	case addr.Is4():
		bits = ipv4Bits
	}
	return Caller(netip.PrefixFrom(addr, bits).Masked().String())
}

func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// Callers tells who made a request. Its zero value trusts no proxy: the caller
// is the peer.
type Callers struct {
	trusted []netip.Prefix
}

// NewCallers returns a Callers that believes what peers within trusted write
// into X-Forwarded-For. Trust only proxies that append to that field, or replace
// it, for every request: one that passes it on unchanged lets its clients choose
// their own address.
func NewCallers(trusted []netip.Prefix) (Callers, error) {
	networks, err := plainNetworks(trusted)
	if err != nil {
		return Callers{}, fmt.Errorf("ratelimit: trusted proxies: %w", err)
	}
	return Callers{trusted: networks}, nil
}

// plainNetworks writes networks as the addresses that are looked for in them are
// written: without IPv4-mapped form.
func plainNetworks(networks []netip.Prefix) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(networks))
	for _, p := range networks {
		if !p.IsValid() {
			return nil, fmt.Errorf("%s is not a network", p)
		}
		if p.Addr().Is4In6() && p.Bits() >= mappedBits {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

func within(networks []netip.Prefix, addr netip.Addr) bool {
	for _, p := range networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// CallerAddr returns the address of whoever made r: the peer or, when the peer
// is a trusted proxy, the rightmost address of X-Forwarded-For that is not one.
// When all are, it is the leftmost.
//
// The field is read from the right, several lines of it as one list in their
// order, because only what trusted proxies appended is believed. An element
// that is no address ends the reading at the last good one: what stands left of
// it was not vouched for by a proxy that we understand, so nobody gets another
// address by sending garbage. A port after an address is ignored.
//
// The address has neither zone nor IPv4-mapped form. It is the zero Addr when
// the peer has none.
func (c Callers) CallerAddr(r *http.Request) netip.Addr {
	addr, ok := parseHost(r.RemoteAddr)
	if !ok {
		return netip.Addr{}
	}
	if !c.trusts(addr) {
		return addr
	}
	return c.forwardedFor(addr, r.Header["X-Forwarded-For"])
}

// forwardedFor walks lines from the right, from the trusted address addr.
func (c Callers) forwardedFor(addr netip.Addr, lines []string) netip.Addr {
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, more := lines[i], true; more; {
			var element string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				element, rest = rest[comma+1:], rest[:comma]
			} else {
				element, more = rest, false
			}
			next, ok := parseHost(strings.Trim(element, " \t"))
			if !ok {
				return addr
			}
			addr = next
			if !c.trusts(addr) {
				return addr
			}
		}
	}
	return addr
}

func (c Callers) trusts(addr netip.Addr) bool { return within(c.trusted, addr) }

// parseHost reads an address with or without a port: "192.0.2.7",
// "192.0.2.7:80", "2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:80".
func parseHost(s string) (netip.Addr, bool) {
	bracketed := len(s) > 2 && s[0] == '['
	switch {
	case bracketed && s[len(s)-1] == ']':
		addr, err := netip.ParseAddr(s[1 : len(s)-1])
		return plain(addr), err == nil && addr.Is6()
	case bracketed || strings.Count(s, ":") == 1:
		ap, err := netip.ParseAddrPort(s)
		return plain(ap.Addr()), err == nil
	}
	addr, err := netip.ParseAddr(s)
	return plain(addr), err == nil
}
