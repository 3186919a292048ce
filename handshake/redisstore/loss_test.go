package redisstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// consume makes a claim, which may fail for as long as Redis is unwell.
func consume(t *testing.T, s *redisstore.Store, r handshake.Record) handshake.Reason {
	t.Helper()
	var reason handshake.Reason
	redistest.Until(t, "a claim is decided", func() bool {
		var err error
		_, reason, err = s.Consume(context.Background(), claimOn(r))
		return err == nil
	})
	return reason
}

// mintOne mints a token, which may fail for as long as Redis is unwell.
func mintOne(t *testing.T, s *redisstore.Store) (r handshake.Record) {
	t.Helper()
	redistest.Until(t, "a token is minted", func() bool {
		r = newRecord(time.Now())
		return s.Mint(context.Background(), r) == nil
	})
	return r
}

// promises are the settings, and what becomes of a token whose consumption Redis
// has forgotten.
var promises = []struct {
	name string
	opts []redisstore.Option
	// told is whether the first claim was granted, again what the second gets.
	told  bool
	again handshake.Reason
}{
	{"the fence by default", nil, true, handshake.ReasonUnknown},
	{"the fence always up", []redisstore.Option{redisstore.WithFence(redisstore.FenceAlways)}, true, handshake.ReasonUnknown},
	{"the fence and a replica that acknowledges", []redisstore.Option{redisstore.WithReplicas(1, redisstore.DefaultReplicaLimit)}, false, handshake.ReasonUnknown},
	{"no fence, but a replica that acknowledges", []redisstore.Option{
		redisstore.WithFence(redisstore.FenceNever), redisstore.WithReplicas(1, redisstore.DefaultReplicaLimit),
	}, false, handshake.Granted},
	// This is what the documentation warns of: the token is accepted twice.
	{"no fence", []redisstore.Option{redisstore.WithFence(redisstore.FenceNever)}, true, handshake.Granted},
}

// forgets mints a token that the replicas hear of, lets it be consumed without
// their hearing of that, has one of them promoted, and claims the token again.
func forgets(t *testing.T, url string, primary *redistest.Server, replicas int, promote func(), opts ...redisstore.Option) (told bool, again handshake.Reason) {
	t.Helper()
	s := open(t, url, opts...)
	defer func() { _ = s.Close() }()
	record := mintOne(t, s)
	primary.Heard(replicas)
	primary.RefuseReplicas()
	_, reason, err := s.Consume(context.Background(), claimOn(record))
	if err != nil && !errors.Is(err, handshake.ErrOutcomeUnknown) || err == nil && reason != handshake.Granted {
		t.Fatalf("the first claim: %q, error %v", reason, err)
	}
	promote()
	next := mintOne(t, s) // claims that fail meanwhile would use the token up
	again = consume(t, s, record)
	if reason := consume(t, s, record); reason == handshake.Granted {
		t.Error("a third claim is granted")
	}
	// What is minted now is as good as ever.
	if reason := consume(t, s, next); reason != handshake.Granted {
		t.Errorf("a new token is %q", reason)
	}
	return err == nil, again
}

func TestAConsumptionThatTheNewPrimaryHasNotHeardOf(t *testing.T) {
	t.Parallel()
	for _, promise := range promises {
		t.Run(promise.name, func(t *testing.T) {
			first, second, third := redistest.Start(t), redistest.Start(t), redistest.Start(t)
			second.Replicate(first.Addr())
			front := redistest.StartProxy(t, first.Addr())
			told, again := forgets(t, front.URL(), first, 1, func() {
				first.Kill()
				second.Promote()
				third.Replicate(second.Addr())
				front.Turn(second.Addr())
			}, promise.opts...)
			if told != promise.told || again != promise.again {
				t.Errorf("told %v, and again %q, want %v and %q", told, again, promise.told, promise.again)
			}
		})
	}
}

func TestAConsumptionThatSentinelsNewPrimaryHasNotHeardOf(t *testing.T) {
	t.Parallel()
	for _, promise := range promises {
		if !promise.told || promise.name == "the fence always up" {
			continue // which it is by default here; a set that waits is no other than a server that waits
		}
		t.Run(promise.name, func(t *testing.T) {
			set := redistest.StartSentinels(t)
			primary := set.Settled(2)
			told, again := forgets(t, set.URL(), primary, 2, func() {
				primary.Kill()
				set.Settled(1)
			}, promise.opts...)
			if told != promise.told || again != promise.again {
				t.Errorf("told %v, and again %q, want %v and %q", told, again, promise.told, promise.again)
			}
			if t.Failed() {
				t.Log(set.Log())
			}
		})
	}
}

func TestAConsumptionThatAClustersNewPrimaryHasNotHeardOf(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	for _, promise := range promises {
		if promise.name == "the fence always up" {
			continue // which it is by default on a cluster
		}
		t.Run(promise.name, func(t *testing.T) {
			s := open(t, cluster.URL(), promise.opts...)
			defer func() { _ = s.Close() }()
			record := mintOne(t, s)
			primary, replica := cluster.Owner(cluster.Slot(keyOf(record)))
			primary.Heard(1)
			primary.RefuseReplicas()
			_, reason, err := s.Consume(context.Background(), claimOn(record))
			if told := err == nil && reason == handshake.Granted; told != promise.told {
				t.Errorf("the first claim: %q, error %v", reason, err)
			}
			primary.Kill()
			redistest.Until(t, "the replica is promoted", func() bool { return replica.Info("role") == "master" })
			primary.Restart()
			cluster.Settled()
			for next := mintOne(t, s); cluster.Slot(keyOf(next)) != cluster.Slot(keyOf(record)); next = mintOne(t, s) {
				// Claims that fail meanwhile would use the token up: its shard must serve.
				if primary, _ := cluster.Owner(cluster.Slot(keyOf(next))); primary == replica {
					break
				}
			}
			if again := consume(t, s, record); again != promise.again {
				t.Errorf("again it is %q, want %q", again, promise.again)
			}
		})
	}
}

func keyOf(r handshake.Record) string { return "trackgate:" + string(r.ID.Hash[:]) }

// A power failure takes what was not on disk. It is made here by putting the
// files back as they were.
func TestAConsumptionThatWasNotOnDisk(t *testing.T) {
	t.Parallel()
	for _, promise := range promises {
		if !promise.told {
			continue // it needs a replica
		}
		t.Run(promise.name, func(t *testing.T) {
			server := redistest.Start(t, "--appendfsync", "everysec")
			s := open(t, server.URL(), promise.opts...)
			defer func() { _ = s.Close() }()
			record := mintOne(t, s)
			files := filepath.Join(server.Dir(), "appendonlydir")
			saved := filepath.Join(t.TempDir(), "saved")
			if err := os.CopyFS(saved, os.DirFS(files)); err != nil {
				t.Fatal(err)
			}
			if reason := consume(t, s, record); reason != handshake.Granted {
				t.Fatalf("the first claim: %q", reason)
			}
			server.Kill()
			if err := errors.Join(os.RemoveAll(files), os.CopyFS(files, os.DirFS(saved))); err != nil {
				t.Fatal(err)
			}
			server.Restart()
			if again := consume(t, s, record); again != promise.again {
				t.Errorf("again it is %q, want %q", again, promise.again)
			}
			if next := consume(t, s, mintOne(t, s)); next != handshake.Granted {
				t.Errorf("a new token is %q", next)
			}
		})
	}
}

func TestTokensSurviveARestartThatForgetsNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	live, used := mintOne(t, s), mintOne(t, s)
	consume(t, s, used)
	server.Kill()
	server.Restart()
	if reason := consume(t, s, live); reason != handshake.Granted {
		t.Errorf("a live token is %q", reason)
	}
	if reason := consume(t, s, used); reason != handshake.ReasonUsed {
		t.Errorf("a used token is %q", reason)
	}
}

// No connection breaks here: the gateway must notice all the same.
func TestAServerThatHasBeenAReplicaForAMomentIsNotTrusted(t *testing.T) {
	server, other := redistest.Start(t), redistest.Start(t)
	for _, fence := range []redisstore.Fence{redisstore.FenceAuto, redisstore.FenceAlways} {
		s := open(t, server.URL(), redisstore.WithFence(fence))
		other.Replicate(server.Addr())
		record := mintOne(t, s)
		server.Heard(1)
		other.Promote()
		server.Replicate(other.Addr())
		server.Promote()
		next := mintOne(t, s)
		if _, found, err := s.Lookup(t.Context(), record.ID); found || err != nil {
			t.Errorf("%v: found %v, error %v", fence, found, err)
		}
		if reason := consume(t, s, record); reason != handshake.ReasonUnknown {
			t.Errorf("%v: the old token is %q", fence, reason)
		}
		if reason := consume(t, s, next); reason != handshake.Granted {
			t.Errorf("%v: the new token is %q", fence, reason)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
