package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
)

const (
	eventWriters = 100
	eventReaders = 2
	// eventPatience bounds how long readers may need after the last event.
	eventPatience = 30 * time.Second
	// mostShort is how many percent fewer events a second than asked for are as good.
	mostShort = 2
)

// eventData is of the size that a tracker sends about a bug.
var eventData = []byte(`{"action":"modified","bug":{"id":1187423,"status":"RESOLVED","resolution":"FIXED"},"text":"` + strings.Repeat("x", 120) + `"}`)

// scaleEvents has events come in at a rate, each by a call of its own, as hooks do,
// while readers at other gateways follow by waiting. It fails when a reader misses
// one or sees one twice.
func scaleEvents(b *testing.B, r *scaleReport) {
	var rows []string
	for _, kind := range scaleKinds()[1:] { // those in Redis
		b.Run(kind.name, func(b *testing.B) {
			n := *scaleEventRate * int(*scaleEventTime/time.Second)
			bounds := redisstore.WithFeedBounds(feed.Bounds{MaxEvents: max(n, feed.DefaultMaxEvents)})
			s := kind.open(b)
			stream := &eventStream{accepted: make([]time.Time, n), took: make([]time.Duration, n)}
			ctx, cancel := context.WithTimeout(b.Context(), *scaleEventTime*3+eventPatience)
			defer cancel()
			var readers sync.WaitGroup
			delays := make([][]time.Duration, eventReaders)
			for i := range delays {
				f := openScaleStore(b, "redis://"+s.addr, bounds).Feed()
				readers.Go(func() {
					var err error
					if delays[i], err = stream.follow(ctx, f); err != nil {
						b.Errorf("reader %d: %v", i, err)
					}
				})
			}
			begun := time.Now()
			stream.write(b, openScaleStore(b, "redis://"+s.addr, bounds).Feed())
			perSecond := float64(n) / time.Since(begun).Seconds()
			if b.Failed() {
				cancel()
			}
			readers.Wait()
			if b.Failed() {
				b.FailNow()
			}
			slices.Sort(stream.took)
			seen := slices.Sorted(slices.Values(slices.Concat(delays...)))
			short := max(0, 100*(1-perSecond/float64(*scaleEventRate)))
			r.figure("events", kind.name, *scaleEventRate, "per_second", perSecond)
			r.goal("events", kind.name, *scaleEventRate, "short_percent", short, mostShort)
			row := fmt.Sprintf("%s\t%d\t%.0f", kind.name, n, perSecond)
			for _, of := range []struct {
				name  string
				times []time.Duration
			}{{"append", stream.took}, {"seen_after", seen}} {
				p50, p99 := quantile(of.times, 0.5), quantile(of.times, 0.99)
				r.figure("events", kind.name, *scaleEventRate, of.name+"_p50_ms", p50)
				r.figure("events", kind.name, *scaleEventRate, of.name+"_p99_ms", p99)
				row += fmt.Sprintf("\t%.1f ms\t%.1f ms", p50, p99)
			}
			rows = append(rows, row)
			progress(b, "measured")
		})
	}
	printTable(fmt.Sprintf("%d events a second asked for, one a call, %d readers that missed none", *scaleEventRate, eventReaders),
		"store\tevents\ta second\taccepted after: p50\tp99\tread after that: p50\tp99", rows)
}

// eventStream is a number of events, each known by its place.
type eventStream struct {
	took []time.Duration // from when the event was due until it was accepted

	mu       sync.Mutex
	accepted []time.Time // zero for those that are under way
}

// write appends every event at its time, or as soon after it as a writer is free.
func (s *eventStream) write(b *testing.B, f feed.Store) {
	b.Helper()
	begun := time.Now()
	inTurns(b, eventWriters, len(s.took), func(i int) error {
		due := begun.Add(time.Second * time.Duration(i) / time.Duration(*scaleEventRate))
		time.Sleep(time.Until(due))
		bug := strconv.Itoa(i)
		_, err := f.Append(b.Context(), feed.New{
			Event: feed.Event{Time: time.Now(), Source: "hook:scale", Kind: "bug.modified", Tracker: "gnome-bugs", Bug: bug, Data: eventData},
			Key:   bug,
		})
		now := time.Now()
		s.took[i] = now.Sub(due)
		s.mu.Lock()
		s.accepted[i] = now
		s.mu.Unlock()
		return err
	})
}

// follow reads until it has seen every event, and returns how long after its
// acceptance each was seen; many are seen before their writer hears that they
// were accepted, which counts as at once.
func (s *eventStream) follow(ctx context.Context, f feed.Store) ([]time.Duration, error) {
	seen := make([]bool, len(s.took))
	delays := make([]time.Duration, 0, len(seen))
	for after := ""; len(delays) < len(seen); {
		page, err := f.Read(ctx, after, feed.MaxPage)
		if err != nil {
			return nil, err
		}
		if page.Truncated {
			return nil, fmt.Errorf("events were dropped after %d of %d", len(delays), len(seen))
		}
		now := time.Now()
		s.mu.Lock()
		for _, event := range page.Events {
			i, err := strconv.Atoi(event.Bug)
			if err != nil || i < 0 || i >= len(seen) || seen[i] {
				s.mu.Unlock()
				return nil, fmt.Errorf("the event of bug %q at %s is none that was to be seen now", event.Bug, event.After)
			}
			seen[i] = true
			delay := time.Duration(0)
			if at := s.accepted[i]; !at.IsZero() {
				delay = now.Sub(at)
			}
			delays = append(delays, delay)
		}
		s.mu.Unlock()
		if after = page.After; len(page.Events) == 0 {
			if err := f.Wait(ctx, after); err != nil {
				return nil, fmt.Errorf("%d of %d events seen: %w", len(delays), len(seen), err)
			}
		}
	}
	return delays, nil
}
