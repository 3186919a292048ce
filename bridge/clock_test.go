package bridge

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// dateServer answers with a Date of our choice; "" for none.
func dateServer(t *testing.T, next func() string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil
		if date := next(); date != "" {
			w.Header().Set("Date", date)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestTheTrackersClockIsNeverReckonedLaterThanItsAnswersSay(t *testing.T) {
	ours := time.Date(2030, 1, 1, 0, 0, 0, 500e6, time.FixedZone("", 3600))
	var date string
	s := dateServer(t, func() string { ours = ours.Add(1700 * time.Millisecond); return date })
	_, d := newBare(t, Config{URL: s.URL, AllowPrivate: true}, WithClock(func() time.Time { return ours }))
	if at, ok := d.remote.Clock(ours); ok || !at.IsZero() {
		t.Errorf("before any answer the clock is %v", at)
	}
	for _, tc := range []struct {
		date string
		want time.Time // when the question began, 1.7 seconds before the answer
	}{
		{"", time.Time{}},
		{"today", time.Time{}},
		{"Sat, 21 Nov 2026 20:16:31 GMT", time.Date(2026, 11, 21, 20, 16, 29, 0, time.UTC)},
		{"Saturday, 21-Nov-26 20:16:33 GMT", time.Date(2026, 11, 21, 20, 16, 31, 0, time.UTC)}, // of RFC 850
		{"Sat, 21 Nov 2026 19:00:00 GMT", time.Date(2026, 11, 21, 18, 59, 58, 0, time.UTC)},    // set back, or from a cache
		{"Thu, 01 Jan 1970 00:00:00 GMT", time.Date(1969, 12, 31, 23, 59, 58, 0, time.UTC)},
		{"", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}, // the last one that was told goes on
	} {
		date = tc.date
		begun := d.remote.Now()
		if _, err := d.remote.Get(t.Context(), "page"); err != nil {
			t.Fatal(err)
		}
		at, ok := d.remote.Clock(begun)
		if !at.Equal(tc.want) || ok == tc.want.IsZero() || ok && at.Location() != time.UTC {
			t.Errorf("after the date %q the clock was %v, %v, want %v", tc.date, at, ok, tc.want)
		}
	}
}

func TestEveryAnswerTellsTheClockWhateverItsStatus(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Sat, 21 Nov 2026 20:16:31 GMT")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer s.Close()
	_, d := newBare(t, Config{URL: s.URL, AllowPrivate: true}, WithClock(func() time.Time { return now }))
	rpc, err := d.remote.Endpoint("rpc")
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Call(t.Context(), Read, "any", nil); err == nil {
		t.Error("HTTP 503 is no failure")
	}
	if at, ok := d.remote.Clock(now.Add(time.Hour)); !ok || !at.Equal(time.Date(2026, 11, 21, 21, 16, 31, 0, time.UTC)) {
		t.Errorf("the clock is %v, %v", at, ok)
	}
}

func TestTheClockIsReadWhileOtherAnswersCome(t *testing.T) {
	date := time.Date(2026, 11, 21, 20, 16, 31, 0, time.UTC)
	var c dateClock
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				passed := time.Duration(100*i+j) * time.Second
				c.see(http.Header{"Date": {date.Add(passed).Format(http.TimeFormat)}}, time.Unix(0, 0).Add(passed))
				if at, ok := c.when(time.Unix(0, 0)); !ok || !at.Equal(date) {
					t.Errorf("the clock is %v, %v", at, ok)
				}
			}
		})
	}
	wg.Wait()
}

func TestWhatIsKeptIsAskedForOnceByAllWhoNeedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKept[int64](&Remote{options: &options{now: time.Now}}, time.Minute)
		var asked atomic.Int64
		get := func() {
			t.Helper()
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					n, err := k.Get(t.Context(), func() (int64, error) { time.Sleep(time.Second); return asked.Add(1), nil })
					if err != nil || n != asked.Load() {
						t.Errorf("%d, %v", n, err)
					}
				})
			}
			wg.Wait()
		}
		if _, err := k.Get(t.Context(), func() (int64, error) { return 0, errors.New("no") }); err == nil {
			t.Error("a failure was kept from who asked")
		}
		get()
		get()
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times within the life", n)
		}
		time.Sleep(time.Minute)
		get()
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times after it", n)
		}
	})
}

func TestWaitingForWhatIsKeptEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := NewKept[int](&Remote{options: &options{now: time.Now}}, time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = k.Get(t.Context(), func() (int, error) { time.Sleep(time.Hour); return 1, nil })
		})
		synctest.Wait()
		if _, err := k.Get(ctx, func() (int, error) { return 2, nil }); !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
			t.Errorf("%v", err)
		}
		wg.Wait()
	})
}
