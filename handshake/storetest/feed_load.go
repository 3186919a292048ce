package storetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
)

// loadSenders is how many senders share the events of a [FeedLoad].
const loadSenders = 128

// FeedLoad is a benchmark of a feed: senders add b.N events, one at a time, each with
// a key and 150 bytes of data, while the readers follow from the beginning and wait
// where there is nothing. It ends when every reader has seen every event, reports
// events/s, and fails when a reader has missed one. The feed must be empty and keep
// b.N events.
func FeedLoad(b *testing.B, writer feed.Store, readers ...feed.Store) {
	b.Helper()
	data := fmt.Appendf(nil, `{"action":"modified","bug":{"id":1,"title":%q}}`, fmt.Sprintf("%0100d", 0))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var following, sending sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for _, reader := range readers {
		following.Go(func() {
			if missed, err := missedOf(ctx, reader, b.N); err != nil || missed > 0 {
				b.Errorf("a reader has missed %d of %d events: %v", missed, b.N, err)
			}
		})
	}
	var next atomic.Int64
	for range loadSenders {
		sending.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				bug := strconv.FormatInt(i-1, 10)
				event := feed.Event{Time: time.Now(), Source: "hook:load", Kind: "bug.modified", Tracker: "gnome", Bug: bug, Data: data}
				if _, err := writer.Append(ctx, feed.New{Event: event, Key: bug}); err != nil {
					b.Error(err)
					cancel()
					return
				}
			}
		})
	}
	sending.Wait()
	following.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// missedOf reads as many events as were added, and returns how many of them have not
// come.
func missedOf(ctx context.Context, f feed.Store, events int) (int, error) {
	seen := make([]bool, events)
	missed, after := events, ""
	for got := 0; got < events; {
		page, err := f.Read(ctx, after, feed.MaxPage)
		switch {
		case err != nil:
			return missed, err
		case page.Truncated:
			return missed, fmt.Errorf("after %q something is missing", after)
		case len(page.Events) == 0:
			if err := f.Wait(ctx, after); err != nil {
				return missed, err
			}
		}
		for _, e := range page.Events {
			i, err := strconv.Atoi(e.Bug)
			if err != nil || i < 0 || i >= events {
				return missed, fmt.Errorf("event %q was never added", e.Bug)
			}
			if !seen[i] {
				seen[i], missed = true, missed-1
			}
		}
		got, after = got+len(page.Events), page.After
	}
	return missed, nil
}
