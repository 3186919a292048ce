package audit

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// crowdWindow is the time over which refusals of a caller are counted.
	crowdWindow = time.Minute
	// maxTallied is how many kinds of entries a tally tells apart; the rest is "other".
	maxTallied = 16
	// maxTallyWord bounds a word of a tally in bytes.
	maxTallyWord = 24
	// ipv6Caller is the length of the prefix that one caller has for himself.
	ipv6Caller = 64
)

// crowd decides which entries about strangers are listed: so many of one caller,
// of so many callers. It forgets whom it knows every minute.
type crowd struct {
	perCaller, maxCallers int

	mu      sync.Mutex
	since   time.Time
	callers map[netip.Prefix]int
	counted tally
}

// strange tells whether an entry is one that strangers can cause at will.
func strange(e *Entry) bool {
	return e.Outcome == Refused || e.Subsystem == SubsystemHook && e.Code == HookAuthentication
}

// callerOf returns what is counted as one caller: an IPv4 address, the /64 of an
// IPv6 address; those without an address are one.
func callerOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = ipv6Caller
	}
	// Neither number of bits is too large for its kind of address.
	prefix, _ := addr.Prefix(bits)
	return prefix
}

// admit tells whether an entry is to be listed, and counts it when not.
func (c *crowd) admit(e *Entry, now time.Time) bool {
	if !strange(e) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	caller := callerOf(e.Caller)
	if c.crowded(caller) {
		c.counted.add(e)
		return false
	}
	c.callers[caller]++
	return true
}

// full tells whether a further entry of a caller would be counted only.
func (c *crowd) full(caller netip.Addr, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(now)
	return c.crowded(callerOf(caller))
}

func (c *crowd) crowded(caller netip.Prefix) bool {
	n, known := c.callers[caller]
	return n >= c.perCaller || !known && len(c.callers) >= c.maxCallers
}

// turn begins a new minute, also when the clock was set back.
func (c *crowd) turn(now time.Time) {
	if age := now.Sub(c.since); c.callers == nil || age >= crowdWindow || age < 0 {
		c.since = now
		c.callers = map[netip.Prefix]int{}
	}
}

// take returns what was counted, and begins anew.
func (c *crowd) take() tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted := c.counted
	c.counted = tally{}
	return counted
}

// tally counts entries that are not listed, by subsystem and reason.
type tally struct {
	total uint64
	kinds map[string]uint64
	other uint64
}

func (t *tally) add(e *Entry) {
	word := e.Reason
	if word == "" {
		word = e.Subsystem.Event(e.Code)
	}
	word = strings.ReplaceAll(clean(word, maxTallyWord), " ", "_")
	t.count(clean(string(e.Subsystem), maxTallyWord)+"/"+word, 1)
}

func (t *tally) count(kind string, n uint64) {
	t.total += n
	if _, known := t.kinds[kind]; !known && len(t.kinds) >= maxTallied {
		t.other += n
		return
	}
	if t.kinds == nil {
		t.kinds = map[string]uint64{}
	}
	t.kinds[kind] += n
}

// join adds what another tally counted.
func (t *tally) join(more tally) {
	for kind, n := range more.kinds {
		t.count(kind, n)
	}
	t.total += more.other
	t.other += more.other
}

// entry says what was counted. The reason is why it was not listed.
func (t *tally) entry(reason string, now time.Time) Entry {
	var b strings.Builder
	fmt.Fprintf(&b, "%d entries:", t.total)
	kinds := slices.SortedFunc(maps.Keys(t.kinds), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.kinds[b], t.kinds[a]), cmp.Compare(a, b))
	})
	for _, kind := range kinds {
		fmt.Fprintf(&b, " %s=%d", kind, t.kinds[kind])
	}
	if t.other > 0 {
		fmt.Fprintf(&b, " other=%d", t.other)
	}
	return Entry{Time: now, Subsystem: SubsystemTrail, Code: TrailSuppressed, Outcome: Done, Reason: reason, Detail: b.String()}
}
