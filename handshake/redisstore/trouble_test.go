package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// wantUnavailable checks that neither a minting nor a claim succeeds.
func wantUnavailable(t *testing.T, s *redisstore.Store, r handshake.Record) {
	t.Helper()
	if err := s.Mint(context.Background(), newRecord(time.Now())); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("minting: %v, want ErrOutcomeUnknown", err)
	}
	if _, reason, err := s.Consume(context.Background(), claimOn(r)); reason == handshake.Granted || !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("consuming: %q, %v, want ErrOutcomeUnknown", reason, err)
	}
}

// bothFences has the fence up in one run of a test and none in the other.
var bothFences = []redisstore.Fence{redisstore.FenceAlways, redisstore.FenceNever}

func TestAServerThatStartsLateIsUsedAsSoonAsItAnswers(t *testing.T) {
	for _, fence := range bothFences {
		server := redistest.Start(t)
		server.Kill()
		s := openAnyway(t, server.URL(), redisstore.WithFence(fence))
		wantUnavailable(t, s, newRecord(time.Now()))
		server.Restart()
		if reason := consume(t, s, mintOne(t, s)); reason != handshake.Granted {
			t.Errorf("%v: %q", fence, reason)
		}
	}
}

func TestAServerThatIsLoadingRefusesAndForgetsNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	record := mintOne(t, s)
	for range 500 {
		mintOne(t, s)
	}
	server.RestartSlowly()
	wantUnavailable(t, s, record)
	server.Loaded()
	if reason := consume(t, s, record); reason != handshake.Granted {
		t.Errorf("afterwards the token is %q", reason)
	}
}

func TestAServerThatBecameAReplicaRefuses(t *testing.T) {
	for _, fence := range bothFences {
		server, other := redistest.Start(t), redistest.Start(t)
		s := open(t, server.URL(), redisstore.WithFence(fence))
		record := mintOne(t, s)
		other.Replicate(server.Addr())
		other.Promote()
		server.Replicate(other.Addr())
		if err := s.Mint(t.Context(), newRecord(time.Now())); !errors.Is(err, handshake.ErrOutcomeUnknown) {
			t.Errorf("%v: minting: %v, want ErrOutcomeUnknown", fence, err)
		}
		// Behind the fence the token is another reign's, which a look suffices to see.
		if _, reason, err := s.Consume(t.Context(), claimOn(record)); reason == handshake.Granted || err == nil && fence == redisstore.FenceNever {
			t.Errorf("%v: consuming: %q, %v", fence, reason, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sharedSlot returns a token that a cluster keeps in the same slot as others from
// here, by way of braces in its hash.
func sharedSlot() handshake.Record {
	r := newRecord(time.Now())
	copy(r.ID.Hash[:], "{moving}")
	return r
}

func TestTokensInASlotThatMovesAreAcceptedOnceAtMost(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	primaries := cluster.Primaries()
	for i, fence := range bothFences {
		t.Run(fence.String(), func(t *testing.T) {
			ctx := context.Background()
			s := open(t, cluster.URL(), redisstore.WithFence(fence))
			defer func() { _ = s.Close() }()
			stays, asked, moved := sharedSlot(), sharedSlot(), sharedSlot()
			for _, r := range []handshake.Record{stays, asked, moved} {
				if err := s.Mint(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			slot := cluster.Slot(keyOf(stays))
			from, _ := cluster.Owner(slot)
			to := primaries[i]
			if to == from {
				to = primaries[len(primaries)-1]
			}
			// A token that was minted elsewhere is another reign's.
			want := handshake.ReasonUnknown
			if fence == redisstore.FenceNever {
				want = handshake.Granted
			}
			claim := func(what string, r handshake.Record, want handshake.Reason) {
				t.Helper()
				if _, reason, err := s.Consume(ctx, claimOn(r)); reason != want || err != nil {
					t.Errorf("%s: %q, error %v, want %q", what, reason, err, want)
				}
			}
			cluster.BeginMove(slot, to)
			cluster.MoveKey(keyOf(asked), to)
			claim("a token that has not moved yet", stays, handshake.Granted)
			claim("a token that has moved", asked, want)
			fresh := sharedSlot()
			if err := s.Mint(ctx, fresh); err != nil {
				t.Errorf("minting while the slot moves: %v", err)
			}
			for _, r := range []handshake.Record{stays, moved} {
				cluster.MoveKey(keyOf(r), to)
			}
			cluster.EndMove(slot, to)
			claim("a token that was used before", stays, handshake.ReasonUsed)
			claim("a token of the slot that has moved", moved, want)
			claim("a token that was minted meanwhile", fresh, handshake.Granted)
			if reason := consume(t, s, fresh); reason != handshake.ReasonUsed {
				t.Errorf("and again: %q", reason)
			}
		})
	}
}

func TestWeakSettingsOfReplicationAreWarnedAbout(t *testing.T) {
	server, replica := redistest.Start(t), redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithReplicas(1, redisstore.DefaultReplicaLimit))
	defer func() { _ = s.Close() }()
	if got := strings.Join(s.Warnings(t.Context()), "\n"); !strings.Contains(got, "has 0 replicas, fewer than the 1") {
		t.Errorf("without a replica: %q", got)
	}
	if err := s.Mint(t.Context(), newRecord(time.Now())); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("minting without a replica: %v, want ErrOutcomeUnknown", err)
	}
	replica.Replicate(server.Addr())
	if got := strings.Join(s.Warnings(t.Context()), "\n"); !strings.Contains(got, "min-replicas-to-write = 0") || strings.Contains(got, "fewer") {
		t.Errorf("with a replica: %q", got)
	}
	server.Do("config", "set", "min-replicas-to-write", 1)
	if got := s.Warnings(t.Context()); len(got) != 0 {
		t.Errorf("set up well: %q", got)
	}
	if reason := consume(t, s, mintOne(t, s)); reason != handshake.Granted {
		t.Errorf("a token is %q", reason)
	}
}

func TestAFenceThatCannotBeFoundOutRefuses(t *testing.T) {
	server := redistest.Start(t, "--appendfsync", "everysec")
	server.Do("acl", "setuser", "default", "-info")
	s := openAnyway(t, server.URL())
	err := s.Mint(t.Context(), newRecord(time.Now()))
	if !errors.Is(err, handshake.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "reign") {
		t.Errorf("minting: %v", err)
	}
	if err := openAnyway(t, server.URL(), redisstore.WithFence(redisstore.FenceNever)).Mint(t.Context(), newRecord(time.Now())); err != nil {
		t.Errorf("without a fence: %v", err)
	}
}
