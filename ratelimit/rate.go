package ratelimit

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxEvents is the highest number of events that a [Rate] may allow in its
// unit of time. Beyond a million a second, Redis' clock (microseconds) cannot
// tell two events apart.
const MaxEvents = 1_000_000

// Rate is how many events are allowed in how much time, or that there is no
// limit. Its text is "60/m", "5/s", "1000/h" or "off". The zero value is not a
// rate: it stands for one that was never given, and [Policy.Validate] refuses
// it, so that a forgotten setting does not open a limit.
type Rate struct {
	events int
	per    time.Duration
	off    bool
}

// Off is the rate that limits nothing.
var Off = Rate{off: true}

var (
	_ encoding.TextMarshaler   = Rate{}
	_ encoding.TextUnmarshaler = (*Rate)(nil)
)

var errRateForm = errors.New(`write a number of events and a unit, like "60/m" (/s, /m or /h), or "off" for no limit`)

// ParseRate reads a rate from its text. The number has no sign and is between
// 1 and [MaxEvents].
func ParseRate(text string) (Rate, error) {
	if text == "off" {
		return Off, nil
	}
	number, unit, found := strings.Cut(text, "/")
	if !found {
		return Rate{}, rateError(text, errRateForm)
	}
	per, known := units[unit]
	if !known {
		return Rate{}, rateError(text, errRateForm)
	}
	for _, c := range []byte(number) {
		if c < '0' || c > '9' {
			return Rate{}, rateError(text, errRateForm)
		}
	}
	if number == "" {
		return Rate{}, rateError(text, errRateForm)
	}
	events, err := strconv.Atoi(number)
	switch {
	case err != nil || events > MaxEvents:
		return Rate{}, rateError(text, fmt.Errorf("the number of events is at most %d", MaxEvents))
	case events == 0:
		return Rate{}, rateError(text, errors.New(`no events at all would refuse everything; write "off" for no limit`))
	}
	return Rate{events: events, per: per}, nil
}

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

// shownRate bounds how much of a wrong text an error repeats.
const shownRate = 40

func rateError(text string, cause error) error {
	if len(text) > shownRate {
		text = text[:shownRate] + "..."
	}
	return fmt.Errorf("ratelimit: rate %q: %w", text, cause)
}

// IsOff tells whether the rate limits nothing.
func (r Rate) IsOff() bool { return r.off }

// IsZero tells whether no rate was given.
func (r Rate) IsZero() bool { return r == Rate{} }

// String returns the text of the rate. A rate that was divided and is no whole
// number of events in one unit is shown over several units, like "10/3m".
func (r Rate) String() string {
	switch {
	case r.off:
		return "off"
	case r.IsZero():
		return ""
	}
	for _, u := range []struct {
		name string
		per  time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		if r.per%u.per != 0 {
			continue
		}
		text := strconv.Itoa(r.events) + "/"
		if many := r.per / u.per; many > 1 {
			text += strconv.FormatInt(int64(many), 10)
		}
		return text + u.name
	}
	return fmt.Sprintf("%d/%s", r.events, r.per)
}

// MarshalText returns the text that [ParseRate] reads. The zero value and a
// rate over several units have none.
func (r Rate) MarshalText() ([]byte, error) {
	text := r.String()
	if parsed, err := ParseRate(text); err != nil || parsed != r {
		return nil, rateError(text, errors.New("this rate has no text of its own"))
	}
	return []byte(text), nil
}

// UnmarshalText is [ParseRate]; on an error the rate stays as it was.
func (r *Rate) UnmarshalText(text []byte) error {
	parsed, err := ParseRate(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// interval returns the time between two events, in seconds.
func (r Rate) interval() float64 { return r.per.Seconds() / float64(r.events) }

// divided returns the n-th part of the rate, exactly.
func (r Rate) divided(n int) Rate {
	switch {
	case r.off || n <= 1:
		return r
	case r.events%n == 0:
		r.events /= n
	default:
		r.per *= time.Duration(n)
	}
	return r
}
