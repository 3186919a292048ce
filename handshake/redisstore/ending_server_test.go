package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/audit"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// openMoving opens a store at an address that leads to a server, and to another one for
// new connections once lead has been called.
func openMoving(t *testing.T, first *redistest.Server, fence redisstore.Fence) (s *redisstore.Store, lead func(*redistest.Server)) {
	t.Helper()
	var address atomic.Pointer[string]
	lead = func(server *redistest.Server) {
		to := server.Addr()
		address.Store(&to)
	}
	lead(first)
	client := redis.NewClient(&redis.Options{
		Addr: "redis.example:6379", MaxRetries: 2, PoolSize: 1, ReadTimeout: time.Second,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, *address.Load())
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	s, err := redisstore.New(client, redisstore.WithFence(fence))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, lead
}

// An address may lead to another server while connections to the one before stay open,
// which has become a replica and says READONLY.
func TestAClaimOnAServerThatWasDemotedFindsTheOneThatWasPromoted(t *testing.T) {
	first, second := redistest.Start(t), redistest.Start(t)
	second.Replicate(first.Addr())
	s, lead := openMoving(t, first, redisstore.FenceNever)
	warm(t, s)
	var claims []handshake.Claim
	for range 20 {
		claims = append(claims, claimOn(mintOne(t, s)))
	}
	first.Heard(1)
	second.Promote()
	first.Replicate(second.Addr())
	lead(second)
	for i, v := range claimTogether(t, first, s, claims) {
		if v.reason != handshake.Granted || v.err != nil {
			t.Errorf("token %d: %q, error %v", i, v.reason, v.err)
		}
	}
}

// A primary that stands still has a minting in its socket when another server takes its
// place, to which the minting is sent again. When the first one goes on, it believes for
// a moment that it is the primary still.
func TestAMintingIsNotLiveOnTwoServersThatBothBelieveToReign(t *testing.T) {
	first, second := redistest.Start(t), redistest.Start(t)
	s, lead := openMoving(t, first, redisstore.FenceAlways)
	warm(t, s)
	first.Pause()
	lead(second)
	record := newRecord(time.Now())
	err := s.Mint(t.Context(), record)
	first.Resume()
	accepted := 0
	for _, server := range []*redistest.Server{first, second} {
		beside := open(t, server.URL(), redisstore.WithFence(redisstore.FenceAlways))
		if _, reason, err := beside.Consume(t.Context(), claimOn(record)); reason == handshake.Granted && err == nil {
			accepted++
		}
		_ = beside.Close()
	}
	if !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("minting: %v, want ErrOutcomeUnknown; the token was accepted %d times", err, accepted)
	}
	first.Kill()
	// The gateway goes on with the new server.
	if reason := consume(t, s, mintOne(t, s)); reason != handshake.Granted {
		t.Errorf("afterwards: %q", reason)
	}
}

// A cluster of one shard can be used by an address without the topology, as long as no
// command is about keys of several slots.
func TestClaimsOnTheOnlyNodeOfAClusterAreMadeOneByOne(t *testing.T) {
	server := redistest.Start(t, "--cluster-enabled", "yes")
	server.Do("cluster", "addslotsrange", "0", "16383")
	redistest.Until(t, "the cluster is up", func() bool {
		_, err := server.Try("set", "up", "1")
		return err == nil
	})
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	warm(t, s)
	var claims []handshake.Claim
	for range 20 {
		claims = append(claims, claimOn(mintOne(t, s)))
	}
	for i, v := range claimTogether(t, server, s, claims) {
		if v.reason != handshake.Granted || v.err != nil {
			t.Errorf("token %d: %q, error %v", i, v.reason, v.err)
		}
	}
}

func TestStoresThatShareAClientKeepTheirTokensForTheirOwnTime(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	var stores []*redisstore.Store
	for _, retention := range []time.Duration{time.Hour, 3 * time.Hour} {
		s, err := redisstore.New(client, redisstore.WithFence(redisstore.FenceNever), redisstore.WithRetention(retention))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		stores = append(stores, s)
	}
	warm(t, stores[0])
	const tokens = 40
	var records []handshake.Record
	for range tokens {
		records = append(records, mintOne(t, stores[0]))
	}
	server.Pause()
	var begun, ended sync.WaitGroup
	begun.Add(tokens)
	for i, r := range records {
		ended.Go(func() {
			begun.Done()
			if _, reason, err := stores[i%2].Consume(context.Background(), claimOn(r)); reason != handshake.Granted || err != nil {
				t.Errorf("token %d: %q, error %v", i, reason, err)
			}
		})
	}
	begun.Wait()
	server.Resume()
	ended.Wait()
	for i, r := range records {
		left := server.Client().PTTL(t.Context(), keyOf(r)).Val()
		if long := left > 2*time.Hour; long != (i%2 == 1) {
			t.Errorf("token %d of store %d stays for %v", i, i%2, left)
		}
	}
}

// A server that refuses to write says so of the whole call: nothing but that reaches
// what shares the pipeline.
func TestWhatARefusingServerSaysOfClaimsReachesNobodyElse(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithFence(redisstore.FenceNever))
	defer func() { _ = s.Close() }()
	warm(t, s)
	const tokens = 40
	var records []handshake.Record
	for range tokens {
		records = append(records, mintOne(t, s))
		if _, ok, err := s.Lookup(t.Context(), records[0].ID); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	server.Do("config", "set", "maxmemory", "1")
	server.Pause()
	var group sync.WaitGroup
	for _, r := range records {
		group.Go(func() {
			_, reason, err := s.Consume(context.Background(), claimOn(r))
			if !errors.Is(err, handshake.ErrOutcomeUnknown) || !strings.Contains(err.Error(), "OOM") {
				t.Errorf("a claim: %q, error %v", reason, err)
			}
		})
		group.Go(func() {
			found, ok, err := s.Lookup(context.Background(), r.ID)
			if !ok || err != nil || found.ID != r.ID {
				t.Errorf("a look: %v %v, error %v", found, ok, err)
			}
		})
	}
	server.Resume()
	group.Wait()
	server.Do("config", "set", "maxmemory", "0")
	for i, v := range claimTogether(t, server, s, []handshake.Claim{claimOn(records[0]), claimOn(records[1])}) {
		if v.reason != handshake.Granted || v.err != nil {
			t.Errorf("token %d afterwards: %q, error %v", i, v.reason, v.err)
		}
	}
}

func TestOfClaimsAndRevocationsOfATokenOneSucceedsThoughAnswersAreLost(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server.Addr())
	s := open(t, proxy.URL())
	defer func() { _ = s.Close() }()
	warm(t, s)
	if err := s.Trail().Begin(t.Context(), audit.NewChain(audit.NewChainID(), audit.Key{})); err != nil {
		t.Fatal(err)
	}
	const tokens = 120
	var ends [tokens]atomic.Int32
	var begun, ended sync.WaitGroup
	end := func(i int, do func() (handshake.Record, handshake.Reason, error)) {
		begun.Add(1)
		ended.Go(func() {
			begun.Done()
			_, reason, err := do()
			switch {
			case err != nil:
				t.Errorf("token %d: %v", i, err)
			case reason == handshake.Granted:
				ends[i].Add(1)
			}
		})
	}
	var records [tokens]handshake.Record
	for i := range records {
		records[i] = mintOne(t, s)
	}
	server.Pause()
	proxy.Lose(1)
	for i, r := range records {
		noted := claimOn(r)
		noted.Note = &audit.Entry{Time: time.Now(), Subsystem: audit.SubsystemToken, Code: audit.TokenConsumed}
		end(i, func() (handshake.Record, handshake.Reason, error) { return s.Consume(context.Background(), noted) })
		end(i, func() (handshake.Record, handshake.Reason, error) { return s.Consume(context.Background(), claimOn(r)) })
		end(i, func() (handshake.Record, handshake.Reason, error) {
			return s.Revoke(context.Background(), r.ID, time.Now())
		})
	}
	begun.Wait()
	server.Resume()
	ended.Wait()
	for i := range ends {
		if n := ends[i].Load(); n != 1 {
			t.Errorf("token %d was ended %d times", i, n)
		}
	}
}
