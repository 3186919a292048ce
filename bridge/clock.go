package bridge

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dateClock is what the answers of one tracker tell of its clock, by their Date
// (RFC 9110, section 6.6.1).
//
// A Date is cut off to whole seconds, was true before the answer arrived, and is
// older still where a cache had the answer: when it arrives the tracker's clock
// shows it or more. Nothing is ever reckoned to be later than that, so that whoever
// asks for what was modified since may see something twice and misses nothing. The
// last answer counts, be it of another call: should the tracker's clock be set back,
// the next answer tells.
type dateClock struct{ last atomic.Pointer[dated] }

// dated is the Date of an answer, and our clock when the answer was there.
type dated struct{ date, at time.Time }

// see takes note of an answer. One without a Date tells nothing.
func (c *dateClock) see(header http.Header, at time.Time) {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		c.last.Store(&dated{date: date.UTC(), at: at})
	}
}

// when returns the earliest time, in whole seconds, that the tracker's clock can
// show when ours shows at.
func (c *dateClock) when(at time.Time) (time.Time, bool) {
	last := c.last.Load()
	if last == nil {
		return time.Time{}, false
	}
	return last.date.Add(at.Sub(last.at)).Truncate(time.Second), true
}

// Now is the gateway's clock.
func (r *Remote) Now() time.Time { return r.options.now() }

// Clock returns the tracker's clock, in UTC and whole seconds, at a moment of the
// gateway's: never later than the truth, and no earlier than it by more than a
// second and the time that the last answer took. It is false while no answer of the
// tracker had a Date.
//
// The time of a batch is that at a moment before its first question, taken when
// its answers are there:
//
//	begun := remote.Now()
//	...
//	batch.Time, _ = remote.Clock(begun)
func (r *Remote) Clock(at time.Time) (time.Time, bool) {
	guarded, ok := r.http.Transport.(*guardedTransport)
	if !ok {
		return time.Time{}, false
	}
	return guarded.clock.when(at)
}

// Midway asks, and returns the gateway's clock half way between question and
// answer, to compare with a clock that the answer tells.
func (r *Remote) Midway(ask func() error) (time.Time, error) {
	before := r.options.now()
	err := ask()
	return before.Add(r.options.now().Sub(before) / 2), err
}
