package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// register is what senders were told: of each event whether it was acknowledged.
type register struct {
	mu     sync.Mutex
	told   map[string]bool
	acks   int
	enough chan struct{} // closed at the acknowledgement after which the server is to be killed
	limit  int
}

func (r *register) note(bug string, acknowledged bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[bug] = acknowledged || r.told[bug]
	if !acknowledged {
		return
	}
	if r.acks++; r.acks == r.limit {
		close(r.enough)
	}
}

// send adds events until stop is closed. Those with a key it sends until they are
// acknowledged, as senders of hooks do; half of them are sent once again after that.
func (r *register) send(worker int, f feed.Store, stop <-chan struct{}) {
	random := rand.New(rand.NewPCG(uint64(worker), 3))
	for i := 0; ; i++ {
		bug := fmt.Sprintf("%d-%d", worker, i)
		event := feed.New{Event: feed.Event{Time: time.Now(), Source: "hook:test", Bug: bug}}
		keyed := random.IntN(2) == 0
		if keyed {
			event.Key = bug
		}
		for {
			_, err := f.Append(context.Background(), event)
			r.note(bug, err == nil)
			select {
			case <-stop:
				return
			default:
			}
			if !keyed || err == nil && random.IntN(2) == 0 {
				break
			}
		}
	}
}

func TestEveryEventThatWasAcknowledgedIsThereOnceWhenRedisIsKilled(t *testing.T) {
	server := redistest.Start(t)
	front := redistest.StartProxy(t, server.Addr())
	r := &register{told: map[string]bool{}}
	stores := []*redisstore.Store{open(t, front.URL()), open(t, front.URL())}
	defer func() {
		for _, s := range stores {
			_ = s.Close()
		}
	}()
	stop := make(chan struct{})
	var senders, readers sync.WaitGroup
	watching, cancel := context.WithCancel(context.Background())
	defer cancel()
	pages := make([][]feed.Event, 2)
	for i, s := range stores {
		readers.Go(func() { pages[i] = watch(watching, s.Feed()) })
	}
	for round, disturb := range []func(){
		func() { server.Kill(); server.Restart() },
		func() { front.Lose(20) },
		func() { server.Kill(); server.Restart() },
		func() { server.Do("script", "flush") },
		func() {},
	} {
		r.mu.Lock()
		r.limit, r.enough = r.acks+100+rand.IntN(1000), make(chan struct{})
		r.mu.Unlock()
		if round == 0 {
			for worker := range 16 {
				senders.Go(func() { r.send(worker, stores[worker%2].Feed(), stop) })
			}
		}
		<-r.enough
		disturb()
	}
	close(stop)
	senders.Wait()
	there := wholeFeed(t, stores[0].Feed())
	count := map[string]int{}
	for _, e := range there {
		count[e.Bug]++
	}
	for bug, acknowledged := range r.told {
		if n := count[bug]; n > 1 || n == 0 && acknowledged {
			t.Errorf("event %s is there %d times, acknowledged %v", bug, n, acknowledged)
		}
	}
	// Both readers come to see exactly what is there, in its order.
	if _, err := stores[0].Feed().Append(t.Context(), feed.New{Event: feed.Event{Kind: "end"}}); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	for i, seen := range pages {
		if len(seen) != len(there)+1 {
			t.Errorf("reader %d has seen %d events of %d", i, len(seen), len(there)+1)
			continue
		}
		for n, e := range there {
			if seen[n].After != e.After {
				t.Errorf("reader %d: event %d is at %s, want %s", i, n, seen[n].After, e.After)
				break
			}
		}
	}
	t.Logf("%d events, %d there", len(r.told), len(there))
}

// watch follows a feed to the event of the kind "end", however unwell Redis is.
func watch(ctx context.Context, f feed.Store) []feed.Event {
	var seen []feed.Event
	for after := ""; ctx.Err() == nil; {
		page, err := f.Read(ctx, after, 100)
		if err != nil {
			continue
		}
		seen, after = append(seen, page.Events...), page.After
		if n := len(seen); n > 0 && seen[n-1].Kind == "end" {
			return seen
		}
		if len(page.Events) == 0 {
			_ = f.Wait(ctx, after) // its failing is Redis' being away, which reading finds out
		}
	}
	return seen
}

// wholeFeed reads all that is there.
func wholeFeed(t *testing.T, f feed.Store) []feed.Event {
	t.Helper()
	var all []feed.Event
	for after := ""; ; {
		var page feed.Page
		redistest.Until(t, "the feed is read", func() (ok bool) {
			var err error
			page, err = f.Read(context.Background(), after, feed.MaxPage)
			return err == nil
		})
		if len(page.Events) == 0 {
			return all
		}
		all, after = append(all, page.Events...), page.After
	}
}
