package bugzilla

import (
	"context"
	"time"

	"github.com/trackgate/trackgate/bridge"
)

// clockFor is how long it is taken for granted how far the tracker's clock is
// ahead of ours. Times of change are those of the database, which Date does not tell
// where that is another machine, or a proxy answers: Bugzilla's manual says to go by
// db_time. To ask for it before each question would double the calls.
const clockFor = time.Minute

// instant is a time of the tracker's clock, told between question and answer.
type instant struct {
	utc time.Time // in whole seconds
	at  time.Time // our clock half way between them
	to  time.Time // our clock when the answer was there
}

// now returns the tracker's time at the earliest: whoever asks for what was modified
// since then may see something twice and misses nothing.
func (s *site) now(ctx context.Context) (time.Time, error) {
	told, err := s.clock.Get(ctx, func() (instant, error) { return s.wire.askTime(ctx) })
	if err != nil {
		return time.Time{}, err
	}
	return told.utc.Add(s.remote.Now().Sub(told.to)).Truncate(time.Second), nil
}

// askAnew asks for the time and keeps it, so that a clock that was set is known.
func (s *site) askAnew(ctx context.Context) (instant, error) {
	told, err := s.wire.askTime(ctx)
	if err == nil {
		s.clock.Put(told)
	}
	return told, err
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
	return instant{utc: utc, at: at, to: s.remote.Now()}, err
}

// nativeTime reads the answer of Bugzilla.time. Before 5.1.1 it tells the
// database's time in the server's zone, and the web server's both in that zone and
// in UTC: the difference of those two is the offset. Later all are UTC, and
// web_time_utc may be missing.
func nativeTime(m map[string]any) (time.Time, error) {
	database, local, utc := timeOf(m["db_time"]), timeOf(m["web_time"]), timeOf(m["web_time_utc"])
	if database.IsZero() {
		return time.Time{}, bridge.BadShape("Bugzilla.time", "there is no db_time")
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
		return time.Time{}, bridge.BadShape("Launchpad.time", "there is no utc_time")
	}
	return utc, nil
}
