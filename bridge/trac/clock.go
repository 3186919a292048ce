package trac

import (
	"net/http"
	"sync"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// clockFor is how long it is taken for granted how far the tracker's clock is
// ahead of ours.
const clockFor = time.Minute

// clock knows the clock of a Trac that tells no time but the Date of its answers.
//
// Date is cut off to whole seconds, and somewhere between question and answer it
// was true. What is made of it is the earliest time that it can mean, at most the
// second and the time of the one exchange before the true one: whoever asks for
// what was modified since then may see something twice and misses nothing.
type clock struct {
	mu       sync.Mutex
	known    bool
	ahead    time.Duration // of ours; may be negative; at least so far
	measured time.Time     // by our clock
}

// time asks for a page, sets the clock by it, and returns our own clock before
// and after. A page without a Date leaves the clock as it is.
func (c *clock) time(remote *bridge.Remote, ask func() (*bridge.Page, error)) (page *bridge.Page, from, to time.Time, err error) {
	from = ourTime(remote)
	page, err = ask()
	to = ourTime(remote)
	if err != nil {
		return nil, from, to, err
	}
	if date := dateOf(page); !date.IsZero() {
		c.mu.Lock()
		c.known, c.ahead, c.measured = true, date.Sub(to), to
		c.mu.Unlock()
	}
	return page, from, to, nil
}

// at returns the earliest time, in whole seconds, that the tracker's clock can
// show when ours shows a moment. It is zero when nothing is known of the clock.
func (c *clock) at(ours time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return time.Time{}
	}
	return ours.Add(c.ahead).UTC().Truncate(time.Second)
}

// stale tells whether the clock is to be set again.
func (c *clock) stale(ours time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := ours.Sub(c.measured)
	return !c.known || age < 0 || age >= clockFor
}

// dateOf reads the Date of a page; zero when it has none.
func dateOf(page *bridge.Page) time.Time {
	date, err := http.ParseTime(page.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return date.UTC()
}

// ourTime is the gateway's clock.
func ourTime(remote *bridge.Remote) time.Time {
	now, _ := remote.Midway(func() error { return nil }) // asks nobody, so that there is no failure
	return now
}
