package storetest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/feed"
)

func testWait(t *testing.T, b Backend) {
	handles := startAll(t, b)
	ctx := context.Background()
	writer, reader := handles[len(handles)-1].Feed(), handles[0].Feed()
	after := ""
	for i := 1; i <= 20; i++ {
		// Some begin to wait before the event is there and some after it.
		const waiters = 8
		woken := make(chan error, waiters)
		for range waiters {
			go func() { woken <- reader.Wait(ctx, after) }()
		}
		add(t, writer, numbered(i, i)...)
		for range waiters {
			if err := <-woken; err != nil {
				t.Fatalf("waiting: %v", err)
			}
		}
		page := read(t, reader, after, 10)
		wantBugs(t, page, i, i, false)
		after = page.After
	}
	if err := reader.Wait(ctx, ""); err != nil {
		t.Errorf("waiting for what is there: %v", err)
	}
}

func testWaitEnds(t *testing.T, b Backend) {
	s := b.Open(t)
	position := add(t, s.Feed(), numbered(1, 1)...)[0]
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Feed().Wait(ctx, position) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting gave %v, want the context's error", err)
	}
	go func() { ended <- s.Feed().Wait(context.Background(), position) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("waiting gave %v, want ErrClosed", err)
	}
}

// testReadersAndWriters lets 8 writers add events and two readers follow, each by
// waiting. Every reader must see each writer's events in their order, once, and all
// in the same order.
func testReadersAndWriters(t *testing.T, b Backend) {
	const writers, readers, each = 8, 2, 60
	handles := startAll(t, b)
	var failed atomic.Bool
	seen := make([][]string, readers)
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for i := range readers {
		group.Go(func() {
			var err error
			if seen[i], err = follow(ctx, handles[i%len(handles)].Feed(), writers*each); err != nil && !failed.Load() {
				t.Errorf("reader %d after %d events: %v", i, len(seen[i]), err)
			}
		})
	}
	together(writers, func(writer int) {
		f := handles[writer%len(handles)].Feed()
		for n := 0; n < each; {
			size := min(1+(writer+n)%3, each-n)
			events := numbered(n, n+size-1)
			for i := range events {
				events[i].Tracker = strconv.Itoa(writer)
				if writer%2 == 0 {
					events[i].Key = events[i].Tracker + " " + events[i].Bug
				}
			}
			if _, err := f.Append(context.Background(), events...); err != nil {
				t.Errorf("adding: %v", err)
				failed.Store(true)
				cancel()
				return
			}
			n += size
		}
	})
	group.Wait()
	if t.Failed() {
		return
	}
	next := map[string]int{}
	for i, what := range seen[0] {
		if seen[1][i] != what {
			t.Fatalf("event %d is %s for one reader and %s for the other", i, what, seen[1][i])
		}
		writer, number := what[:1], what[2:]
		if number != strconv.Itoa(next[writer]) {
			t.Fatalf("writer %s: event %s comes where %d should", writer, number, next[writer])
		}
		next[writer]++
	}
}

// follow reads a number of events from the beginning, in pages of different sizes,
// and waits where there are none.
func follow(ctx context.Context, f feed.Store, events int) ([]string, error) {
	var seen []string
	after := ""
	for len(seen) < events {
		page, err := f.Read(ctx, after, 1+len(seen)%50)
		if err != nil {
			return seen, err
		}
		if page.Truncated {
			return seen, errors.New("a page is truncated")
		}
		if len(page.Events) == 0 {
			if err := f.Wait(ctx, after); err != nil {
				return seen, err
			}
		}
		for _, e := range page.Events {
			seen = append(seen, e.Tracker+" "+e.Bug)
		}
		after = page.After
	}
	return seen, nil
}
