package redisstore_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// ledger is what callers were told.
type ledger struct {
	mu       sync.Mutex
	minted   map[handshake.ID]bool
	consumed map[handshake.ID]int
	told     int
	enough   chan struct{} // closed when the answer was given after which the server is to be killed
	limit    int
}

func (l *ledger) note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	if l.told++; l.told == l.limit {
		close(l.enough)
	}
}

// work mints and consumes until the server is gone. Three claims are made on
// every token, so that a second grant would be seen.
func (l *ledger) work(s *redisstore.Store) {
	ctx := context.Background()
	for {
		record := newRecord(time.UnixMilli(time.Now().UnixMilli()))
		if s.Mint(ctx, record) != nil {
			return
		}
		l.note(func() { l.minted[record.ID] = true })
		for range 3 {
			_, reason, err := s.Consume(ctx, claimOn(record))
			if err != nil {
				return
			}
			if reason == handshake.Granted {
				l.note(func() { l.consumed[record.ID]++ })
			}
		}
	}
}

func TestNothingThatWasAnsweredIsLostWhenRedisIsKilled(t *testing.T) {
	server := redistest.Start(t)
	l := &ledger{minted: map[handshake.ID]bool{}, consumed: map[handshake.ID]int{}}
	for range 4 {
		l.told, l.limit, l.enough = 0, 20+rand.IntN(2000), make(chan struct{})
		first, second := open(t, server.URL()), open(t, server.URL())
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() { l.work([]*redisstore.Store{first, second}[i%2]) })
		}
		<-l.enough
		server.Kill()
		group.Wait()
		for _, s := range []*redisstore.Store{first, second} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		server.Restart()
	}
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	for id := range l.minted {
		_, reason, err := s.Consume(context.Background(), handshake.Claim{ID: id, Kind: handshake.BugTracker, At: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if reason == handshake.Granted {
			l.consumed[id]++
		} else if reason != handshake.ReasonUsed {
			t.Errorf("a token that was minted is %q now", reason)
		}
		if l.consumed[id] > 1 {
			t.Errorf("a token was accepted %d times", l.consumed[id])
		}
	}
}
