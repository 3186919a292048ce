package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func event(bug, key string) feed.New {
	return feed.New{Event: feed.Event{Time: time.Now(), Source: "hook:test", Kind: "test", Bug: bug}, Key: key}
}

// append1 adds an event, which may fail for as long as Redis is unwell.
func append1(t *testing.T, f feed.Store, bug string) (position string) {
	t.Helper()
	redistest.Until(t, "an event is added", func() bool {
		positions, err := f.Append(context.Background(), event(bug, bug))
		if err == nil {
			position = positions[0]
		}
		return err == nil
	})
	return position
}

func bugsOf(events []feed.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.Bug)
	}
	return strings.Join(all, " ")
}

func readFeed(t *testing.T, f feed.Store, after string) feed.Page {
	t.Helper()
	page, err := f.Read(context.Background(), after, 100)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func TestAnEventWhoseAnswerIsLostIsAddedOnceAndItsPositionTold(t *testing.T) {
	s, p := openThrough(t)
	f, ctx := s.Feed(), context.Background()
	append1(t, f, "0")
	held, err := f.Lease(ctx, "lease", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p.Lose(1)
	if again, err := f.Lease(ctx, "lease", "a", time.Minute); err != nil || again.Fence != held.Fence {
		t.Errorf("prolonging: %+v, error %v", again, err)
	}
	bug := 0
	for _, keys := range [][]string{{""}, {"a"}, {"", "b", "", ""}, {"c", "d", "c"}, {"a", "", "a"}} {
		var list []feed.New
		for _, key := range keys {
			bug++
			list = append(list, event(strconv.Itoa(bug), key))
		}
		p.Lose(1)
		positions, err := f.Append(ctx, list...)
		if err != nil || len(positions) != len(list) {
			t.Fatalf("%q: %q, error %v", keys, positions, err)
		}
		if p.Losing() {
			t.Errorf("%q: no answer was lost", keys)
		}
		there := map[string]string{}
		for _, e := range readFeed(t, f, "").Events {
			there[e.After] = e.Bug
		}
		for i, position := range positions {
			if keys[i] == "" && there[position] != list[i].Bug || there[position] == "" {
				t.Errorf("%q: event %d is said to be at %q, where %q is", keys, i, position, there[position])
			}
		}
	}
	if got := bugsOf(readFeed(t, f, "").Events); got != "0 1 2 3 4 5 6 7 8 11" {
		// 9 is 7 again, and a was there before 10 and 12.
		t.Errorf("the events are %s", got)
	}
	p.Lose(1)
	if err := f.Advance(ctx, held, []byte("13"), event("13", "")); err != nil || p.Losing() {
		t.Errorf("advancing: %v", err)
	}
	p.Lose(1)
	if err := f.Release(ctx, held); err != nil {
		t.Errorf("releasing: %v", err)
	}
	if next, err := f.Lease(ctx, "lease", "b", time.Minute); err != nil || next.Fence <= held.Fence || string(next.Position) != "13" {
		t.Errorf("the next lease: %+v, error %v", next, err)
	}
	if got := bugsOf(readFeed(t, f, "").Events); got != "0 1 2 3 4 5 6 7 8 11 13" {
		t.Errorf("the events are %s", got)
	}
}

func TestWhenAllAnswersAreLostTheOutcomeOfAnEventIsUnknown(t *testing.T) {
	s, p := openThrough(t)
	f, ctx := s.Feed(), context.Background()
	held, err := f.Lease(ctx, "lease", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	p.Lose(1000)
	if _, err := f.Append(ctx, event("1", "1")); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("adding: %v", err)
	}
	if err := f.Advance(ctx, held, nil, event("2", "2")); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("advancing: %v", err)
	}
	if _, err := f.Lease(ctx, "other", "a", time.Minute); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("leasing: %v", err)
	}
	if err := f.Release(ctx, held); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("releasing: %v", err)
	}
	if _, err := f.Read(ctx, "", 1); err == nil {
		t.Error("reading succeeded")
	}
	p.Lose(0)
	for _, bug := range []string{"1", "2"} {
		append1(t, f, bug) // as the sender does, until it is told
	}
	if got := bugsOf(readFeed(t, f, "").Events); got != "1 2" {
		t.Errorf("the events are %s", got)
	}
}

func TestAnEventThatTooFewReplicasHaveIsNotAcknowledged(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithReplicas(1, redisstore.DefaultReplicaLimit))
	defer func() { _ = s.Close() }()
	if _, err := s.Feed().Append(t.Context(), event("1", "1")); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("without a replica: %v", err)
	}
	redistest.Start(t).Replicate(server.Addr())
	append1(t, s.Feed(), "1")
	if got := bugsOf(readFeed(t, s.Feed(), "").Events); got != "1" {
		t.Errorf("the events are %s", got)
	}
}

// Redis' clock cannot be turned here; that the last event is of the future is the
// same.
func TestWhenRedisClockGoesBackReadersMissNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	f := s.Feed()
	first := append1(t, f, "1")
	_, number, _ := strings.Cut(first, "-")
	future := time.Now().Add(time.Hour).UnixMilli()
	id := fmt.Sprintf("%d-2", future)
	if number != "1" {
		t.Fatalf("the first event has the number %s", number)
	}
	second := event("2", "").Event
	server.Do("xadd", "trackgate:{feed}:events", id, "e", string(feed.AppendEvent(nil, &second)))
	server.Do("set", "trackgate:{feed}:last", id)
	page := readFeed(t, f, first)
	append1(t, f, "3")
	append1(t, f, "4")
	next := readFeed(t, f, page.After)
	if got := bugsOf(page.Events) + " " + bugsOf(next.Events); got != "2 3 4" || next.Truncated {
		t.Errorf("after 1 a reader sees %s, truncated %v", got, next.Truncated)
	}
}

func TestAReaderIsToldThatRedisHasLostEventsAndGoesOn(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	f := s.Feed()
	append1(t, f, "1")
	append1(t, f, "2")
	after := append1(t, f, "3")
	server.Do("flushall")
	if page := readFeed(t, f, after); len(page.Events) > 0 || page.After != "" || !page.Truncated {
		t.Errorf("an empty feed gives %+v", page)
	}
	waited := make(chan error)
	go func() { waited <- f.Wait(context.Background(), after) }()
	append1(t, f, "4")
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if page := readFeed(t, f, after); bugsOf(page.Events) != "4" || !page.Truncated {
		t.Errorf("after the loss: %s, truncated %v", bugsOf(page.Events), page.Truncated)
	}
	// Only what stands beside the events is lost: they go on being numbered.
	server.Do("del", "trackgate:{feed}:last")
	append1(t, f, "5")
	if page := readFeed(t, f, after); bugsOf(page.Events) != "4 5" {
		t.Errorf("in the end: %s", bugsOf(page.Events))
	}
}

// That of a server that takes over without the last events can be behind.
func TestAReaderWhoseEventsAreLostAndWhoseClockWentBackIsToldAndGoesOn(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	f := s.Feed()
	last := append1(t, f, "1")
	future := fmt.Sprintf("%d-3", time.Now().Add(time.Hour).UnixMilli())
	page := readFeed(t, f, future)
	if len(page.Events) != 0 || page.After != last || !page.Truncated {
		t.Errorf("%s, after %s, truncated %v; want to go on at the end, %s", bugsOf(page.Events), page.After, page.Truncated, last)
	}
	append1(t, f, "2")
	if page := readFeed(t, f, page.After); bugsOf(page.Events) != "2" || page.Truncated {
		t.Errorf("then %s, truncated %v", bugsOf(page.Events), page.Truncated)
	}
}

// The key is made old in Redis: nobody here waits for three days.
func TestAKeyThatComesAgainAfterItsAgeIsRecognisedFromThenOn(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	first := append1(t, s.Feed(), "1")
	digest := server.Do("hkeys", "trackgate:{feed}:keys")
	server.Do("hset", "trackgate:{feed}:keys", digest, "1000-1")
	server.Do("lset", "trackgate:{feed}:key-order", 0, digest+"1000-1")
	second := append1(t, s.Feed(), "1")
	if second == first {
		t.Error("an old key is recognised")
	}
	for range 3 {
		append1(t, s.Feed(), "2")
		if again := append1(t, s.Feed(), "1"); again != second {
			t.Errorf("a key that came again is at %q, want %q", again, second)
		}
	}
	if n := server.Do("llen", "trackgate:{feed}:key-order"); n != "2" {
		t.Errorf("%s keys are listed, want 2", n)
	}
}

func TestADamagedEventIsAnError(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	for _, value := range []string{"", "x", "\x01", "\x02\x00", "\x01\x00\xff"} {
		server.Do("flushall")
		server.Do("xadd", "trackgate:{feed}:events", "1999999999999-1", "e", value)
		if _, err := s.Feed().Read(t.Context(), "", 10); err == nil {
			t.Errorf("%q: no error", value)
		}
	}
	server.Do("set", "trackgate:{feed}:last", "x")
	if _, err := s.Feed().Read(t.Context(), "", 10); err == nil {
		t.Error("a damaged last position: no error")
	}
	if _, err := s.Feed().Append(t.Context(), event("1", "")); err == nil {
		t.Error("a damaged last position: an event was added")
	}
}

func TestMoreAppendsThanTheQueueHoldsAreRefused(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithQueue(2))
	defer func() { _ = s.Close() }()
	server.Pause()
	defer server.Resume()
	const senders = 6
	outcomes := make(chan error, senders)
	for range senders {
		go func() {
			_, err := s.Feed().Append(context.Background(), event("1", ""))
			outcomes <- err
		}()
	}
	busy := 0
	for range senders {
		err := <-outcomes
		switch {
		case errors.Is(err, handshake.ErrBusy):
			busy++
		case !errors.Is(err, handshake.ErrOutcomeUnknown):
			t.Errorf("adding gave %v", err)
		}
	}
	if busy == 0 {
		t.Error("nobody was refused")
	}
}

func TestAUserNeedsTheRightsForTheFeedThatAreDocumented(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "everysec")
	server.Do("acl", "setuser", "gateway", "on", ">secret", "~trackgate:*", "resetchannels", "-@all",
		"+set", "+get", "+evalsha", "+eval", "+scan", "+info", "+ping", "+wait", "+config|get", "+hello",
		"+time", "+hget", "+hset", "+hmget", "+hdel", "+lindex", "+llen", "+lrange", "+ltrim", "+rpush",
		"+xadd", "+xlen", "+xrange", "+xrevrange", "+xtrim", "+xread")
	s := open(t, "redis://gateway:secret@"+server.Addr(), redisstore.WithFeedBounds(feed.Bounds{MaxEvents: 2, MaxKeys: 2}))
	defer func() { _ = s.Close() }()
	f := s.Feed()
	waited := make(chan error)
	go func() { waited <- f.Wait(context.Background(), "") }()
	held, err := f.Lease(t.Context(), "lease", "a", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for bug := range 5 {
		if _, err := f.Append(t.Context(), event(strconv.Itoa(bug), strconv.Itoa(bug))); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(f.Advance(t.Context(), held, []byte("x"), event("5", "")), f.Release(t.Context(), held), <-waited); err != nil {
		t.Error(err)
	}
	if got := bugsOf(readFeed(t, f, "").Events); got != "4 5" {
		t.Errorf("the events are %s", got)
	}
}
