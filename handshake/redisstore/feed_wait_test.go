package redisstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/trackgate/trackgate/handshake/feed"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// waiting has a number of callers wait for the event after a position.
func waiting(ctx context.Context, n int, f feed.Store, after string) <-chan error {
	woken := make(chan error, n)
	for range n {
		go func() { woken <- f.Wait(ctx, after) }()
	}
	return woken
}

func TestAllWhoWaitShareOneConnectionAndNobodyBlocksNone(t *testing.T) {
	server := redistest.Start(t)
	s, other := open(t, server.URL()), open(t, server.URL())
	defer func() { _, _ = s.Close(), other.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	woken := waiting(ctx, 100, s.Feed(), "")
	redistest.Until(t, "a connection is blocked", func() bool { return server.Info("blocked_clients") == "1" })
	after := append1(t, other.Feed(), "1")
	for range 100 {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
	woken = waiting(ctx, 100, s.Feed(), after)
	redistest.Until(t, "a connection is blocked", func() bool { return server.Info("blocked_clients") != "0" })
	if n := server.Info("blocked_clients"); n != "1" && n != "0" { // between two commands it is none
		t.Errorf("%s connections are blocked", n)
	}
	cancel()
	for range 100 {
		<-woken
	}
	redistest.Until(t, "no connection is blocked", func() bool { return server.Info("blocked_clients") == "0" })
}

// wantWoken adds an event by way of another gateway, and has all who wait see it.
func wantWoken(t *testing.T, url string, s *redisstore.Store, woken <-chan error, n int, after string) {
	t.Helper()
	other := openAnyway(t, url) // a part of a cluster may be down
	defer func() { _ = other.Close() }()
	append1(t, other.Feed(), "next")
	for range n {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
	redistest.Until(t, "the event is read", func() bool {
		page, err := s.Feed().Read(context.Background(), after, 10)
		return err == nil && bugsOf(page.Events) == "next"
	})
}

// blockedOn waits until a gateway waits at a server, and n callers with it: one that
// is still looking for events when the server dies fails, as any reading does.
func blockedOn(t *testing.T, server *redistest.Server, s *redisstore.Store, n int) {
	t.Helper()
	redistest.Until(t, "all wait", func() bool { return s.Waiting() == n })
	redistest.Until(t, "the gateway waits", func() bool { return server.Info("blocked_clients") == "1" })
}

func TestWhoWaitsIsWokenAfterRedisWasRestartedOrCutOff(t *testing.T) {
	server := redistest.Start(t)
	front := redistest.StartProxy(t, server.Addr())
	for _, disturb := range []func(){
		func() { server.Kill(); server.Restart() },
		func() { front.Cut(); front.Mend() },
		func() { server.Do("client", "kill", "type", "normal", "skipme", "yes") },
		func() { server.Pause(); server.Resume() },
	} {
		s := open(t, front.URL())
		after := append1(t, s.Feed(), "first")
		woken := waiting(t.Context(), 10, s.Feed(), after)
		blockedOn(t, server, s, 10)
		disturb()
		wantWoken(t, front.URL(), s, woken, 10, after)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Do("flushall")
	}
}

func TestWhoWaitsIsWokenByTheNewPrimaryOfSentinels(t *testing.T) {
	t.Parallel()
	set := redistest.StartSentinels(t)
	primary := set.Settled(2)
	s := open(t, set.URL())
	defer func() { _ = s.Close() }()
	after := append1(t, s.Feed(), "first")
	primary.Heard(2)
	woken := waiting(t.Context(), 10, s.Feed(), after)
	blockedOn(t, primary, s, 10)
	primary.Kill()
	set.Settled(1)
	wantWoken(t, set.URL(), s, woken, 10, after)
}

func TestWhoWaitsIsWokenByTheNewPrimaryOfACluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	s := open(t, cluster.URL())
	defer func() { _ = s.Close() }()
	after := append1(t, s.Feed(), "first")
	primary, replica := cluster.Owner(cluster.Slot("trackgate:{feed}:events"))
	primary.Heard(1)
	woken := waiting(t.Context(), 10, s.Feed(), after)
	blockedOn(t, primary, s, 10)
	primary.Kill()
	redistest.Until(t, "the replica is promoted", func() bool { return replica.Info("role") == "master" })
	wantWoken(t, cluster.URL(), s, woken, 10, after)
}

func TestTheFeedGoesOnWhenItsSlotHasMoved(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	s := open(t, cluster.URL())
	defer func() { _ = s.Close() }()
	f := s.Feed()
	after := append1(t, f, "first")
	woken := waiting(t.Context(), 10, f, after)
	slot := cluster.Slot("trackgate:{feed}:events")
	from, _ := cluster.Owner(slot)
	blockedOn(t, from, s, 10)
	to := cluster.Primaries()[0]
	if to == from {
		to = cluster.Primaries()[1]
	}
	cluster.BeginMove(slot, to)
	for _, key := range []string{"events", "keys", "key-order", "last"} {
		cluster.MoveKey("trackgate:{feed}:"+key, to)
	}
	cluster.EndMove(slot, to)
	wantWoken(t, cluster.URL(), s, woken, 10, after)
	if got := bugsOf(readFeed(t, f, "").Events); got != "first next" {
		t.Errorf("the events are %s", got)
	}
}

func TestWaitingWithoutTheRightToIsAnError(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	server.Do("acl", "setuser", "default", "-xread")
	if err := s.Feed().Wait(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("waiting gave %v", err)
	}
	server.Do("acl", "setuser", "default", "+xread")
	woken := waiting(t.Context(), 1, s.Feed(), "")
	blockedOn(t, server, s, 1)
	append1(t, s.Feed(), "1")
	if err := <-woken; err != nil {
		t.Errorf("with the right: %v", err)
	}
}
