package ratelimit

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// By says what a policy counts by: each address, each user at an address, each
// tracker, or each pair of one of the first two and a tracker.
type By uint8

// What can be counted by. [ByUser] is always a user at an address: the name is
// what the caller says it is, so that it may only divide what its address has.
const (
	ByAddress By = 1 << iota
	ByUser
	ByTracker
)

// byNames are the texts of a By.
var byNames = map[By]string{
	ByAddress:             "address",
	ByUser:                "user",
	ByTracker:             "tracker",
	ByAddress | ByTracker: "address+tracker",
	ByUser | ByTracker:    "user+tracker",
}

// ParseBy reads "address", "user", "tracker", "address+tracker" or
// "user+tracker".
func ParseBy(text string) (By, error) {
	for by, name := range byNames {
		if name == text {
			return by, nil
		}
	}
	return 0, fmt.Errorf(`ratelimit: %.40q is nothing to count by: write "address", "user", "tracker", "address+tracker" or "user+tracker"`, text)
}

// String returns the text that [ParseBy] reads.
func (b By) String() string { return byNames[b] }

// Prefix lengths by which addresses are told apart unless a [Rule] says
// otherwise.
const (
	DefaultIPv4Bits = 32
	DefaultIPv6Bits = 64
)

// Subject is whom a question about limits is about. What is not known is empty.
type Subject struct {
	Addr netip.Addr
	// User is the name that the caller gave, unverified.
	User string
	// Tracker is the name of a configured tracker, never a caller's own text.
	Tracker string
}

// SubjectOf returns whoever made r: its address, and the user of HTTP Basic
// authentication, whose password nobody looks at.
func (c Callers) SubjectOf(r *http.Request) Subject {
	s := Subject{Addr: c.CallerAddr(r)}
	if len(r.Header["Authorization"]) > 0 {
		s.User, _, _ = r.BasicAuth()
	}
	return s
}

// Rule is a policy and what it counts by.
type Rule struct {
	Policy Policy
	// By is what is counted by; zero means [ByAddress].
	By By
	// IPv4Bits and IPv6Bits are the prefix lengths by which addresses are told
	// apart; zero means [DefaultIPv4Bits] and [DefaultIPv6Bits].
	IPv4Bits, IPv6Bits int
}

// Validate tells what is wrong with the rule, and what to do.
func (r Rule) Validate() error {
	if err := r.Policy.Validate(); err != nil {
		return err
	}
	switch {
	case r.By != 0 && byNames[r.By] == "":
		return r.Policy.errorf("it counts by nothing that there is")
	case r.IPv4Bits < 0 || r.IPv4Bits > 32:
		return r.Policy.errorf("its prefix length for IPv4 is %d: it must be from 1 to 32", r.IPv4Bits)
	case r.IPv6Bits < 0 || r.IPv6Bits > 128:
		return r.Policy.errorf("its prefix length for IPv6 is %d: it must be from 1 to 128", r.IPv6Bits)
	}
	return nil
}

// Caller returns who a subject is to the rule, and false when the rule says
// nothing about it because the user or tracker that it counts by is not known.
//
// A user stands in it as the first 16 hex digits of a SHA-256, since the name
// can be any text: "192.0.2.7;user=8c6976e5b5410415".
func (r Rule) Caller(s Subject) (Caller, bool) {
	by := defaulted(r.By, ByAddress)
	if by&ByUser != 0 && s.User == "" || by&ByTracker != 0 && s.Tracker == "" {
		return "", false
	}
	if by == ByTracker {
		return Caller("tracker=" + s.Tracker), true
	}
	caller := callerWithin(s.Addr, defaulted(r.IPv4Bits, DefaultIPv4Bits), defaulted(r.IPv6Bits, DefaultIPv6Bits))
	if by&ByUser != 0 {
		sum := sha256.Sum256([]byte(s.User))
		caller += Caller(";user=" + hex.EncodeToString(sum[:8]))
	}
	if by&ByTracker != 0 {
		caller += Caller(";tracker=" + s.Tracker)
	}
	return caller, true
}

// validAll checks rules that hold together, whose names must differ.
func validAll(rules []Rule) error {
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return err
		}
		if slices.ContainsFunc(rules[:i], func(other Rule) bool { return other.Policy.Name == r.Policy.Name }) {
			return r.Policy.errorf("there are two of that name: give one another")
		}
	}
	return nil
}

// ParseSubject reads how operators name a subject: an address, USER@ADDRESS, the
// name of a tracker, or one of the first two with +TRACKER after it. known tells
// which trackers there are. A text that is an address as well as the name of a
// tracker is both.
func ParseSubject(text string, known func(tracker string) bool) (Subject, error) {
	var s Subject
	if known(text) {
		s.Tracker = text
	}
	rest := text
	if plus := strings.LastIndexByte(text, '+'); plus >= 0 && known(text[plus+1:]) {
		rest, s.Tracker = text[:plus], text[plus+1:]
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		s.User, rest = rest[:at], rest[at+1:]
	}
	addr, ok := parseHost(rest)
	switch {
	case ok:
		s.Addr = addr
	case s.Tracker != text || text == "":
		return Subject{}, fmt.Errorf("ratelimit: %.100q names nobody: write an address, USER@ADDRESS, the name of a configured tracker, or one of the first two with +TRACKER after it", text)
	}
	return s, nil
}

// Names tells whether the rule counts by just what a subject that was read by
// [ParseSubject] names.
func (r Rule) Names(s Subject) bool {
	switch defaulted(r.By, ByAddress) {
	case ByAddress:
		return s.Addr.IsValid() && s.User == ""
	case ByUser:
		return s.Addr.IsValid() && s.User != ""
	case ByTracker:
		return s.Tracker != ""
	case ByAddress | ByTracker:
		return s.Addr.IsValid() && s.User == "" && s.Tracker != ""
	}
	return s.Addr.IsValid() && s.User != "" && s.Tracker != ""
}
