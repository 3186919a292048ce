package audit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter chooses entries. Its zero value chooses all; every field that is set must
// fit.
type Filter struct {
	// Since is the earliest time, Until the first that is too late.
	Since, Until time.Time
	Subsystem    Subsystem
	// Event is the name that [Subsystem.Event] gives, Code the number of one; nil is
	// any.
	Event   string
	Code    *Code
	Outcome Outcome
	// Caller is an address or a network.
	Caller   netip.Prefix
	Listener string
	Route    string
	Subject  string
	Name     string
	Reason   string
	// Chain is the beginning of a chain's name in hexadecimal digits.
	Chain string
}

// filterKeys sets, by the name of a filter, what its text says.
var filterKeys = map[string]func(*Filter, string) error{
	"since": func(f *Filter, text string) (err error) { f.Since, err = parseTime(text); return err },
	"until": func(f *Filter, text string) (err error) { f.Until, err = parseTime(text); return err },
	"subsystem": func(f *Filter, text string) error {
		f.Subsystem = Subsystem(text)
		return among(text, slices.Sorted(maps.Keys(events)))
	},
	"event": func(f *Filter, text string) error { f.Event = text; return nil },
	"code": func(f *Filter, text string) error {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("it must be a number from 0 to %d", 1<<16-1)
		}
		code := Code(n)
		f.Code = &code
		return nil
	},
	"outcome": func(f *Filter, text string) error {
		f.Outcome = Outcome(text)
		return among(text, outcomes[1:])
	},
	"caller":   func(f *Filter, text string) (err error) { f.Caller, err = parsePrefix(text); return err },
	"listener": func(f *Filter, text string) error { f.Listener = text; return nil },
	"route":    func(f *Filter, text string) error { f.Route = text; return nil },
	"subject":  func(f *Filter, text string) error { f.Subject = strings.ToLower(text); return nil },
	"name":     func(f *Filter, text string) error { f.Name = text; return nil },
	"reason":   func(f *Filter, text string) error { f.Reason = text; return nil },
	"chain": func(f *Filter, text string) error {
		f.Chain = strings.ToLower(text)
		if len(text) > 2*chainIDSize || strings.Trim(f.Chain, "0123456789abcdef") != "" {
			return fmt.Errorf("it must be the beginning of a chain's name: %d hexadecimal digits at most", 2*chainIDSize)
		}
		return nil
	},
}

// FilterKeys returns the names that [ParseFilter] knows, sorted.
func FilterKeys() []string { return slices.Sorted(maps.Keys(filterKeys)) }

// ParseFilter reads a filter from texts by name: since and until (RFC 3339, a
// date, or seconds since 1970; UTC where no zone is given), subsystem, event,
// code, outcome, caller (an address or a network), listener, route, subject, name,
// reason, chain. An empty text is any. Errors name the key.
func ParseFilter(texts map[string]string) (Filter, error) {
	var f Filter
	for _, key := range slices.Sorted(maps.Keys(texts)) {
		set, ok := filterKeys[key]
		if !ok {
			return Filter{}, fmt.Errorf("the filter %q is not known: there are %s", clean(key, MaxText), strings.Join(FilterKeys(), ", "))
		}
		if texts[key] == "" {
			continue
		}
		if err := set(&f, texts[key]); err != nil {
			return Filter{}, fmt.Errorf("the filter %s: %w", key, err)
		}
	}
	return f, nil
}

func among[S ~string](text string, words []S) error {
	if slices.Contains(words, S(text)) {
		return nil
	}
	list := make([]string, len(words))
	for i, word := range words {
		list[i] = string(word)
	}
	return fmt.Errorf("it must be one of %s", strings.Join(list, ", "))
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil && seconds >= 0 && seconds <= maxMillis/1000 {
		return time.Unix(seconds, 0).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("it must be a time such as 2026-11-21T19:35:03Z, a date, or seconds since 1970")
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("it must be an address or a network such as 192.0.2.0/24")
	}
	return prefix.Masked(), nil
}

// matches tells whether an entry is chosen.
func (f *Filter) matches(chain ChainID, e *Entry) bool {
	text := func(want, have string) bool { return want == "" || want == have }
	return (f.Since.IsZero() || !e.Time.Before(f.Since)) &&
		(f.Until.IsZero() || e.Time.Before(f.Until)) &&
		text(string(f.Subsystem), string(e.Subsystem)) &&
		(f.Code == nil || *f.Code == e.Code) &&
		(f.Event == "" || f.Event == e.Subsystem.Event(e.Code)) &&
		text(string(f.Outcome), string(e.Outcome)) &&
		(!f.Caller.IsValid() || f.Caller.Contains(e.Caller.Unmap())) &&
		text(f.Listener, e.Listener) && text(f.Route, e.Route) && text(f.Subject, e.Subject) &&
		text(f.Name, e.Name) && text(f.Reason, e.Reason) &&
		(f.Chain == "" || strings.HasPrefix(chain.String(), f.Chain))
}
