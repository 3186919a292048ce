package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

// Feed holds a store's feed to the contract of [feed.Store]. newBackend returns a
// new empty database, whose handles keep what the bounds say.
func Feed(t *testing.T, newBackend func(t *testing.T, bounds feed.Bounds) Backend) {
	for _, test := range []struct {
		name   string
		bounds feed.Bounds
		run    func(t *testing.T, b Backend)
	}{
		{"an event comes back as it was added", feed.Bounds{}, testEvent},
		{"events come in their order, a page at a time", feed.Bounds{}, testPages},
		{"large events come in pages of fewer", feed.Bounds{}, testLargeEvents},
		{"an event that comes again is stored once", feed.Bounds{}, testSameKey},
		{"an event that comes again from 8 senders at once is stored once", feed.Bounds{}, testSameKeyAtOnce},
		{"a key is forgotten", feed.Bounds{KeyAge: time.Millisecond}, testKeyAge},
		{"the oldest of too many keys are forgotten", feed.Bounds{MaxKeys: 10}, testKeyCount},
		{"the position of a first event that has been dropped is not told", feed.Bounds{MaxEvents: 5}, testSameKeyDropped},
		{"of too many events the oldest are dropped", feed.Bounds{MaxEvents: 10}, testEventCount},
		{"events that are too old are not shown", feed.Bounds{MaxAge: time.Millisecond}, testEventAge},
		{"readers during writes miss none", feed.Bounds{}, testReadersAndWriters},
		{"a text that is no position is refused", feed.Bounds{}, testBadPosition},
		{"what is too large is refused", feed.Bounds{}, testFeedLimits},
		{"who waits is woken", feed.Bounds{}, testWait},
		{"waiting ends with its context and with the store", feed.Bounds{}, testWaitEnds},
		{"a lease has one holder", feed.Bounds{}, testLease},
		{"a lease that has run out is taken over", feed.Bounds{}, testLeaseTakeover},
		{"events and the position of a lease are one step", feed.Bounds{}, testAdvance},
		{"of holders that follow one another none overwrites another's work", feed.Bounds{}, testLeaseRace},
		{"what was answered is there after closing and opening", feed.Bounds{}, testFeedReopen},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newBackend(t, test.bounds)) })
	}
}

// numbered returns events whose bugs are the numbers from..to.
func numbered(from, to int) []feed.New {
	var events []feed.New
	for i := from; i <= to; i++ {
		events = append(events, feed.New{Event: feed.Event{
			Time: now(), Source: "hook:test", Kind: "test", Bug: strconv.Itoa(i), Data: []byte(`{}`),
		}})
	}
	return events
}

// keyed returns an event with a key.
func keyed(source, key string) feed.New {
	return feed.New{Event: feed.Event{Time: now(), Source: source, Kind: "test"}, Key: key}
}

func add(t *testing.T, f feed.Store, events ...feed.New) []string {
	t.Helper()
	positions, err := f.Append(context.Background(), events...)
	if err != nil {
		t.Fatalf("adding %d events: %v", len(events), err)
	}
	if len(positions) != len(events) {
		t.Fatalf("%d positions for %d events", len(positions), len(events))
	}
	return positions
}

func read(t *testing.T, f feed.Store, after string, limit int) feed.Page {
	t.Helper()
	page, err := f.Read(context.Background(), after, limit)
	if err != nil {
		t.Fatalf("reading after %q: %v", after, err)
	}
	want := after
	if n := len(page.Events); n > 0 {
		want = page.Events[n-1].After
	}
	if page.After != want {
		t.Fatalf("the page after %q ends at %q, want %q", after, page.After, want)
	}
	return page
}

// bugs are the bugs of events.
func bugs(events []feed.Event) []string {
	var list []string
	for _, e := range events {
		list = append(list, e.Bug)
	}
	return list
}

// wantBugs checks that the bugs of a page are the numbers from..to, and whether
// events before them are said to be missing.
func wantBugs(t *testing.T, page feed.Page, from, to int, truncated bool) {
	t.Helper()
	var want []string
	for i := from; i <= to; i++ {
		want = append(want, strconv.Itoa(i))
	}
	if got := bugs(page.Events); !slices.Equal(got, want) || page.Truncated != truncated {
		t.Fatalf("the events are %v, truncated %v; want %d to %d, truncated %v", got, page.Truncated, from, to, truncated)
	}
}

func testEvent(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	data := []byte(`{"text":"ж\u0000"}`)
	events := []feed.New{
		{Event: feed.Event{Time: now(), Source: "hook:github", Kind: "issues", Tracker: "gnome", Bug: "12", Data: data}, Key: "1"},
		{Event: feed.Event{Time: time.UnixMilli(0), Source: "watch:\x00\n ж", Kind: " ", Bug: "-0"}},
		{},
		{Event: feed.Event{
			Time: now(), Source: strings.Repeat("s", feed.MaxText), Kind: strings.Repeat("k", feed.MaxText),
			Tracker: strings.Repeat("t", feed.MaxText), Bug: strings.Repeat("b", feed.MaxText), Data: bytes.Repeat([]byte{0xff, 0, '\r', '\n'}, feed.MaxData/4),
		}, Key: strings.Repeat("\xff", feed.MaxKey)},
	}
	want := string(data)
	positions := add(t, f, events...)
	copy(data, "****") // what was given stays the caller's
	page := read(t, f, "", 10)
	if len(page.Events) != len(events) {
		t.Fatalf("%d events, want %d", len(page.Events), len(events))
	}
	for i, got := range page.Events {
		given := events[i].Event
		if i == 0 {
			given.Data = []byte(want)
		}
		if got.Source != given.Source || got.Kind != given.Kind || got.Tracker != given.Tracker || got.Bug != given.Bug ||
			!got.Time.Equal(given.Time) || got.Time.Location() != time.UTC || !bytes.Equal(got.Data, given.Data) || got.After != positions[i] {
			t.Errorf("event %d differs: %.300s", i, fmt.Sprintf("%+v", got))
		}
	}
}

func testPages(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	wantBugs(t, read(t, f, "", 10), 1, 0, false)
	var positions []string
	for _, size := range []int{1, 4, 15, 5} {
		n := len(positions)
		positions = append(positions, add(t, f, numbered(n+1, n+size)...)...)
	}
	if got := add(t, f); len(got) != 0 {
		t.Errorf("nothing has the positions %q", got)
	}
	for _, limit := range []int{1, 3, 24, 25, 26, feed.MaxPage + 1} {
		after, seen := "", 0
		for {
			page := read(t, f, after, limit)
			if len(page.Events) == 0 {
				break
			}
			wantBugs(t, page, seen+1, min(seen+limit, 25), false)
			seen, after = seen+len(page.Events), page.After
		}
		if seen != 25 || after != positions[24] {
			t.Errorf("by %d: %d events, the end is %q, want 25 and %q", limit, seen, after, positions[24])
		}
	}
	for i, position := range positions {
		wantBugs(t, read(t, f, position, 3), i+2, min(i+4, 25), false)
	}
	wantBugs(t, read(t, f, "", 0), 1, 1, false)
	wantBugs(t, read(t, f, "", -5), 1, 1, false)
}

func testLargeEvents(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	large := bytes.Repeat([]byte("x"), feed.MaxData)
	for i := range 6 {
		event := numbered(i+1, i+1)[0]
		event.Data = large
		add(t, f, event)
	}
	seen := 0
	for after := ""; ; {
		page := read(t, f, after, 100)
		if len(page.Events) == 0 {
			break
		}
		if size := len(page.Events) * feed.MaxData; size > feed.MaxPageSize {
			t.Errorf("a page has %d bytes", size)
		}
		wantBugs(t, page, seen+1, seen+len(page.Events), false)
		seen, after = seen+len(page.Events), page.After
	}
	if seen != 6 {
		t.Errorf("%d events, want 6", seen)
	}
}

func testEventCount(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	var positions []string
	for i := 1; i <= 25; i++ {
		positions = append(positions, add(t, f, numbered(i, i)...)...)
	}
	wantBugs(t, read(t, f, "", 100), 16, 25, true)
	wantBugs(t, read(t, f, positions[3], 100), 16, 25, true)
	wantBugs(t, read(t, f, positions[13], 2), 16, 17, true)
	wantBugs(t, read(t, f, positions[14], 100), 16, 25, false) // nothing is missing between 15 and 16
	wantBugs(t, read(t, f, positions[20], 100), 22, 25, false)
	wantBugs(t, read(t, f, positions[24], 100), 1, 0, false)
	// More than the feed keeps, at once.
	add(t, f, numbered(26, 26+feed.MaxAppend-1)...)
	wantBugs(t, read(t, f, "", 100), 26+feed.MaxAppend-10, 26+feed.MaxAppend-1, true)
}

func testEventAge(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	positions := add(t, f, numbered(1, 3)...)
	for len(read(t, f, "", 10).Events) > 0 {
	}
	if page := read(t, f, "", 10); !page.Truncated {
		t.Error("the beginning is not said to be missing")
	}
	if page := read(t, f, positions[1], 10); !page.Truncated {
		t.Error("the third event is not said to be missing")
	}
	if page := read(t, f, positions[2], 10); page.Truncated {
		t.Error("after the last event something is said to be missing")
	}
	// Waiting is for what comes, not for what has been hidden.
	ctx, cancel := context.WithCancel(context.Background())
	waited := make(chan error)
	go func() { waited <- f.Wait(ctx, "") }()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting gave %v", err)
	}
}

func testBadPosition(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	position := add(t, f, numbered(1, 1)...)[0]
	for _, text := range []string{
		"x", " ", "0", "-", position + " ", " " + position, position + "0000000000000000000", "0" + position, position + "-1", strings.ToUpper("\x00" + position),
		"-1-1", "1-", "18446744073709551616-1", "9007199254740992-1", strings.Repeat("1", 1<<16),
	} {
		_, err := f.Read(context.Background(), text, 10)
		waitErr := f.Wait(context.Background(), text)
		if !errors.Is(err, feed.ErrPosition) || !errors.Is(waitErr, feed.ErrPosition) || len(err.Error()) > 300 {
			t.Errorf("%.40q: reading %.300v, waiting %.300v, want ErrPosition", text, err, waitErr)
		}
	}
	// A position of the future is one; whoever has it is sent back to the end.
	page, err := f.Read(context.Background(), "9007199254740991-9007199254740991", 10)
	if err != nil || len(page.Events) > 0 || page.After != position || !page.Truncated {
		t.Errorf("behind everything are %v; after %s, truncated %v, error %v", bugs(page.Events), page.After, page.Truncated, err)
	}
}

func testFeedLimits(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	ctx := context.Background()
	held, err := f.Lease(ctx, "lease", "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", feed.MaxText+1)
	large := make([]feed.New, 9)
	for i := range large {
		large[i].Data = make([]byte, feed.MaxData)
	}
	for name, events := range map[string][]feed.New{
		"source":  {{Event: feed.Event{Source: long}}},
		"kind":    {{Event: feed.Event{Kind: long}}},
		"tracker": {{Event: feed.Event{Tracker: long}}},
		"bug":     {{}, {Event: feed.Event{Bug: long}}},
		"data":    {{Event: feed.Event{Data: make([]byte, feed.MaxData+1)}}},
		"key":     {{Key: strings.Repeat("k", feed.MaxKey+1)}},
		"number":  make([]feed.New, feed.MaxAppend+1),
		"all":     large,
	} {
		if _, err := f.Append(ctx, events...); !errors.Is(err, feed.ErrTooLarge) {
			t.Errorf("%s: adding gave %v, want ErrTooLarge", name, err)
		}
		if err := f.Advance(ctx, held, nil, events...); !errors.Is(err, feed.ErrTooLarge) {
			t.Errorf("%s: advancing gave %v, want ErrTooLarge", name, err)
		}
	}
	if err := f.Advance(ctx, held, make([]byte, feed.MaxLeasePosition+1)); !errors.Is(err, feed.ErrTooLarge) {
		t.Errorf("a large position: %v, want ErrTooLarge", err)
	}
	longName := strings.Repeat("n", feed.MaxKey+1)
	for _, bad := range []struct {
		name, holder string
		ttl          time.Duration
	}{{"", "a", ttl}, {"lease", "", ttl}, {longName, "a", ttl}, {"lease", longName, ttl}, {"lease", "a", 0}, {"lease", "a", -ttl}} {
		if _, err := f.Lease(ctx, bad.name, bad.holder, bad.ttl); err == nil {
			t.Errorf("%.9q, %.9q, %v: a lease", bad.name, bad.holder, bad.ttl)
		}
	}
	if page := read(t, f, "", 10); len(page.Events) > 0 {
		t.Errorf("%d events were added", len(page.Events))
	}
	if err := f.Advance(ctx, held, make([]byte, feed.MaxLeasePosition)); err != nil {
		t.Errorf("the largest position: %v", err)
	}
}

func testFeedReopen(t *testing.T, b Backend) {
	s := b.Open(t)
	ctx := context.Background()
	positions := add(t, s.Feed(), numbered(1, 3)...)
	again := add(t, s.Feed(), keyed("hook:a", "key"))[0]
	held, err := s.Feed().Lease(ctx, "lease", "a", ttl)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Feed().Advance(ctx, held, []byte("here"), numbered(5, 5)...); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Feed().Append(ctx, numbered(9, 9)...); !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("adding to a closed store: %v", err)
	}
	if _, err := s.Feed().Read(ctx, "", 1); !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("reading a closed store: %v", err)
	}
	f := start(t, b).Feed()
	if page := read(t, f, positions[1], 10); len(page.Events) != 3 || page.Events[0].Bug != "3" || page.Events[2].Bug != "5" || page.Truncated {
		t.Errorf("%v, truncated %v", bugs(page.Events), page.Truncated)
	}
	if got := add(t, f, keyed("hook:a", "key"))[0]; got != again {
		t.Errorf("the key leads to %q, want %q", got, again)
	}
	if _, err := f.Lease(ctx, "lease", "b", ttl); !errors.Is(err, feed.ErrLeased) {
		t.Errorf("another holder: %v, want ErrLeased", err)
	}
	if got, err := f.Lease(ctx, "lease", "a", ttl); err != nil || got.Fence != held.Fence || string(got.Position) != "here" {
		t.Errorf("the lease is %+v, error %v", got, err)
	}
}
