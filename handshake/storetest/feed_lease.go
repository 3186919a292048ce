package storetest

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
)

func lease(t *testing.T, f feed.Store, name, holder string, ttl time.Duration) feed.Lease {
	t.Helper()
	l, err := f.Lease(context.Background(), name, holder, ttl)
	if err != nil {
		t.Fatalf("leasing %q for %q: %v", name, holder, err)
	}
	if l.Name != name || l.Holder != holder || l.Fence == 0 {
		t.Fatalf("the lease is %+v", l)
	}
	return l
}

func wantLeased(t *testing.T, f feed.Store, name, holder string) {
	t.Helper()
	if l, err := f.Lease(context.Background(), name, holder, ttl); !errors.Is(err, feed.ErrLeased) {
		t.Fatalf("leasing %q for %q gave %+v, %v, want ErrLeased", name, holder, l, err)
	}
}

func wantLost(t *testing.T, f feed.Store, l feed.Lease) {
	t.Helper()
	if err := f.Advance(context.Background(), l, []byte("lost"), numbered(0, 0)...); !errors.Is(err, feed.ErrLeaseLost) {
		t.Fatalf("advancing %+v gave %v, want ErrLeaseLost", l, err)
	}
}

func advance(t *testing.T, f feed.Store, l feed.Lease, position string, events ...feed.New) {
	t.Helper()
	if err := f.Advance(context.Background(), l, []byte(position), events...); err != nil {
		t.Fatalf("advancing %+v: %v", l, err)
	}
}

func release(t *testing.T, f feed.Store, l feed.Lease) {
	t.Helper()
	if err := f.Release(context.Background(), l); err != nil {
		t.Fatalf("releasing %+v: %v", l, err)
	}
}

func testLease(t *testing.T, b Backend) {
	handles := startAll(t, b)
	f, other := handles[0].Feed(), handles[len(handles)-1].Feed()
	first := lease(t, f, "gnome", "a", ttl)
	if first.Position != nil {
		t.Errorf("a new lease has the position %q", first.Position)
	}
	wantLeased(t, other, "gnome", "b")
	lease(t, other, "kde", "b", ttl) // another lease is another matter
	advance(t, f, first, "1")
	again := lease(t, f, "gnome", "a", ttl)
	if again.Fence != first.Fence || string(again.Position) != "1" {
		t.Errorf("prolonged, the lease is %+v, before it was %+v", again, first)
	}
	release(t, f, again)
	release(t, f, again)
	wantLost(t, f, again)
	second := lease(t, other, "gnome", "b", ttl)
	if second.Fence <= first.Fence || string(second.Position) != "1" {
		t.Errorf("after %+v comes %+v", first, second)
	}
	release(t, f, first) // is not the first holder's any more
	wantLeased(t, f, "gnome", "a")
	wantLost(t, f, first)
	stolen := second
	stolen.Holder = "a"
	wantLost(t, f, stolen)
	wantLost(t, f, feed.Lease{})
	wantLost(t, f, feed.Lease{Name: "nobody's", Holder: "a", Fence: 1})
	advance(t, other, second, "2")
	release(t, other, second)
	if third := lease(t, other, "gnome", "b", ttl); third.Fence <= second.Fence || string(third.Position) != "2" {
		t.Errorf("the same holder again, after a release: %+v after %+v", third, second)
	}
	wantLost(t, f, second) // which was the same holder's, and is not the latest
	release(t, f, second)
	wantLeased(t, f, "gnome", "a")
	if page := read(t, f, "", 10); len(page.Events) > 0 {
		t.Errorf("%d events were added", len(page.Events))
	}
}

func testLeaseTakeover(t *testing.T, b Backend) {
	handles := startAll(t, b)
	f, other := handles[0].Feed(), handles[len(handles)-1].Feed()
	ctx := context.Background()
	last := lease(t, f, "gnome", "0", time.Millisecond)
	// Nobody else has taken it: what is late is not too late.
	advance(t, f, last, "0", numbered(0, 0)...)
	if again := lease(t, f, "gnome", "0", time.Millisecond); again.Fence != last.Fence {
		t.Errorf("the fence has become %d from %d without another holder", again.Fence, last.Fence)
	}
	for i := 1; i <= 5; i++ {
		holder := strconv.Itoa(i)
		next, err := other.Lease(ctx, "gnome", holder, time.Millisecond)
		for errors.Is(err, feed.ErrLeased) {
			next, err = other.Lease(ctx, "gnome", holder, time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		if next.Fence <= last.Fence || string(next.Position) != strconv.Itoa(i-1) {
			t.Fatalf("after %+v comes %+v", last, next)
		}
		wantLost(t, f, last)
		release(t, f, last)
		advance(t, other, next, holder, numbered(i, i)...)
		last = next
	}
	wantBugs(t, read(t, f, "", 100), 0, 5, false)
}

func testAdvance(t *testing.T, b Backend) {
	f := start(t, b).Feed()
	l := lease(t, f, "gnome", "a", ttl)
	advance(t, f, l, "no events")
	advance(t, f, l, "\x00\xff+- \r\n", numbered(1, 2)...)
	again := keyed("watch:gnome", "1")
	again.Bug = "3"
	advance(t, f, l, "three", again)
	advance(t, f, l, "three and four", again, numbered(4, 4)[0])
	wantBugs(t, read(t, f, "", 10), 1, 4, false)
	if got := lease(t, f, "gnome", "a", ttl); string(got.Position) != "three and four" {
		t.Errorf("the position is %q", got.Position)
	}
	advance(t, f, l, "")
	if got := lease(t, f, "gnome", "a", ttl); got.Position != nil {
		t.Errorf("an empty position is %q", got.Position)
	}
}

// testLeaseRace lets holders take a lease from each other at every moment. Each
// adds the number after the one that the last has left; with every step atomic and
// every late one refused, the numbers are in order, and each is there once.
func testLeaseRace(t *testing.T, b Backend) {
	const holders, steps = 8, 25
	handles := startAll(t, b)
	together(holders, func(i int) {
		f, ctx := handles[i%len(handles)].Feed(), context.Background()
		for done := 0; done < steps; {
			l, err := f.Lease(ctx, "race", strconv.Itoa(i), time.Millisecond)
			if errors.Is(err, feed.ErrLeased) {
				continue
			}
			if err != nil {
				t.Errorf("leasing: %v", err)
				return
			}
			count, _ := strconv.Atoi(string(l.Position))
			err = f.Advance(ctx, l, []byte(strconv.Itoa(count+1)), numbered(count+1, count+1)...)
			switch {
			case err == nil:
				done++
			case !errors.Is(err, feed.ErrLeaseLost):
				t.Errorf("advancing: %v", err)
				return
			}
		}
	})
	wantBugs(t, read(t, handles[0].Feed(), "", feed.MaxPage), 1, holders*steps, false)
}
