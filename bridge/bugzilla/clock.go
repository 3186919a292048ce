package bugzilla

import (
	"context"
	"sync"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// clockFor is how long it is taken for granted how far the tracker's clock is
// ahead of ours. Answers about bugs do not tell the time, and to ask for it before
// each question would double the calls.
const clockFor = time.Minute

// instant is a time of the tracker's clock and the moment of ours half way
// between question and answer.
type instant struct {
	utc time.Time
	at  time.Time
	// to is our clock when the answer was there.
	to time.Time
}

// clock is what is known of the tracker's clock.
//
// The tracker tells whole seconds, and somewhere between question and answer the
// time was true. What is made of it later is the earliest that it can mean:
// whoever asks for what was modified since then may see something twice and
// misses nothing.
type clock struct {
	mu   sync.Mutex
	last instant
}

// now returns the tracker's time at the earliest, asking for it where what is
// known is too old. The lock is not held while the tracker is asked.
func (s *site) now(ctx context.Context) (time.Time, error) {
	ours := ourTime(s.remote)
	s.clock.mu.Lock()
	last := s.clock.last
	s.clock.mu.Unlock()
	if age := ours.Sub(last.to); !last.utc.IsZero() && age >= 0 && age < clockFor {
		return last.utc.Add(age).Truncate(time.Second), nil
	}
	told, err := s.wire.askTime(ctx)
	if err != nil {
		return time.Time{}, err
	}
	s.clock.mu.Lock()
	s.clock.last = told
	s.clock.mu.Unlock()
	return told.utc, nil
}

// timed asks for the time and reads it off the answer.
func (s *site) timed(ctx context.Context, method string, read func(map[string]any) (time.Time, error)) (instant, error) {
	var answer map[string]any
	at, err := s.remote.Midway(func() (err error) {
		answer, err = s.read(ctx, method, map[string]any{})
		return err
	})
	if err != nil {
		return instant{}, err
	}
	utc, err := read(answer)
	return instant{utc: utc, at: at, to: ourTime(s.remote)}, err
}

// ourTime is the gateway's clock.
func ourTime(remote *bridge.Remote) time.Time {
	now, _ := remote.Midway(func() error { return nil }) // asks nobody, so that there is no failure
	return now
}

// nativeTime reads the answer of Bugzilla.time. Before 5.1.1 it tells the
// database's time in the server's zone, and the web server's both in that zone and
// in UTC: the difference of those two is the offset. Later all are UTC, and
// web_time_utc may be missing.
func nativeTime(m map[string]any) (time.Time, error) {
	database, local, utc := timeOf(m["db_time"]), timeOf(m["web_time"]), timeOf(m["web_time_utc"])
	if database.IsZero() {
		return time.Time{}, badShape("Bugzilla.time", "there is no db_time")
	}
	if !local.IsZero() && !utc.IsZero() {
		database = database.Add(-local.Sub(utc).Round(time.Minute)) // the two were not read at once
	}
	return database, nil
}

// launchpadTime reads the answer of Launchpad.time, whose local_time is that of the
// server's zone.
func launchpadTime(m map[string]any) (time.Time, error) {
	utc := timeOf(m["utc_time"])
	if utc.IsZero() {
		return time.Time{}, badShape("Launchpad.time", "there is no utc_time")
	}
	return utc, nil
}
