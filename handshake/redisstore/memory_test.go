package redisstore_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

// TestALiveTokenTakesLessThan150Bytes measures what Redis says of itself. Its two
// tables double at each power of two, so that their part of a token depends on
// how full they are: 10,000,000 / 2^7 tokens fill those of 2^17 as much as 10
// million fill those of 2^24.
func TestALiveTokenTakesLessThan150Bytes(t *testing.T) {
	const tokens, most = 10_000_000 / (1 << 7), 150
	for _, fence := range bothFences {
		t.Run(fence.String(), func(t *testing.T) {
			t.Parallel()
			// The tables that have doubled are moved at once, not by and by.
			server := redistest.Start(t, "--appendonly", "no", "--hz", "500")
			before := usedMemory(t, server)
			mintMany(t, server.URL(), tokens, redisstore.WithFence(fence))
			if n := server.Do("dbsize"); n != strconv.Itoa(tokens) {
				t.Fatalf("%s tokens", n)
			}
			var each int
			redistest.Until(t, "a token takes less than it may", func() bool {
				each = (usedMemory(t, server) - before) / tokens
				return each < most
			})
			t.Logf("a token takes %d bytes", each)
		})
	}
}

// mintMany mints through a store that is closed after that, so that none of its
// connections counts.
func mintMany(t *testing.T, url string, tokens int64, opts ...redisstore.Option) {
	t.Helper()
	s := open(t, url, opts...)
	defer func() { _ = s.Close() }()
	var next atomic.Int64
	var group sync.WaitGroup
	for range benchWorkers {
		group.Go(func() {
			for next.Add(1) <= tokens {
				if err := s.Mint(context.Background(), newRecord(time.Now())); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func usedMemory(t *testing.T, server *redistest.Server) int {
	t.Helper()
	used, err := strconv.Atoi(server.Info("used_memory"))
	if err != nil {
		t.Fatal(err)
	}
	return used
}

// Keys of other things begin as those of tokens do, and some are as long.
func TestAKeyThatIsAsLongAsATokensIsNotFoundAsOne(t *testing.T) {
	server := redistest.Start(t)
	for _, fence := range bothFences {
		s := open(t, server.URL(), redisstore.WithFence(fence))
		record := mintOne(t, s)
		fingerprint := record.ID.Fingerprint()
		begun := "trackgate:" + string(fingerprint[:])
		for i, value := range []string{"1763759401.2340", "-", "-12", "1763759401", "-1x", "", "Vattempt-number-1value", "1xxxxxxxxxxxxx00600"} {
			server.Do("set", begun+"-as-a-token"+strconv.Itoa(i), value)
		}
		server.Do("hset", begun+"-of-12-bytes", "field", "1")
		server.Do("zadd", begun+"-of-12-chars", 1, "member")
		server.Do("set", begun+"-longer-than-a-token", "1")
		found, err := s.Find(t.Context(), fingerprint)
		if err != nil || len(found) != 1 || found[0] != record {
			t.Errorf("%v: found %+v, error %v, want %+v", fence, found, err, record)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A delivery of the minting was executed in one reign, and its repetition in
// another.
func TestAMintingIsRepeatedUnderAnotherLabel(t *testing.T) {
	server := redistest.Start(t)
	always, never := open(t, server.URL(), redisstore.WithFence(redisstore.FenceAlways)), open(t, server.URL(), redisstore.WithFence(redisstore.FenceNever))
	defer func() { _, _ = always.Close(), never.Close() }()
	for name, order := range map[string][2]*redisstore.Store{"the first": {always, never}, "the second": {never, always}} {
		for _, tracker := range []string{"", "gnome"} {
			now := time.Now()
			record, other := newRecord(now), newRecord(now)
			record.Tracker = tracker
			other.ID, other.Tracker = record.ID, tracker+"s"
			if err := order[0].Mint(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			if err := order[1].Mint(t.Context(), other); !errors.Is(err, handshake.ErrExists) {
				t.Errorf("with a label at %s: another token of the same ID: %v, want ErrExists", name, err)
			}
			if err := order[1].Mint(t.Context(), record); err != nil {
				t.Errorf("with a label at %s: again: %v", name, err)
			}
			if reason := consume(t, order[1], record); reason != handshake.Granted {
				t.Errorf("with a label at %s: it is %q", name, reason)
			}
			if err := order[0].Mint(t.Context(), record); !errors.Is(err, handshake.ErrExists) {
				t.Errorf("with a label at %s: when it is used: %v, want ErrExists", name, err)
			}
		}
	}
}

func TestAFoundTokenIsTheOneThatWasMinted(t *testing.T) {
	server := redistest.Start(t)
	for _, fence := range bothFences {
		s := open(t, server.URL(), redisstore.WithFence(fence))
		for _, tracker := range []string{"", "gnome"} {
			// The minting seems to have taken as long as is in the middle of what is made good.
			minted := time.UnixMilli(time.Now().Add(-100 * time.Millisecond).UnixMilli())
			record := newRecord(minted)
			record.Tracker, record.Expires = tracker, minted.Add(handshake.MaxLifetime)
			if err := s.Mint(t.Context(), record); err != nil {
				t.Fatal(err)
			}
			found, err := s.Find(t.Context(), record.ID.Fingerprint())
			if err != nil || len(found) != 1 || found[0] != record {
				t.Errorf("%v, %q: found %+v, error %v, want %+v", fence, tracker, found, err, record)
				continue
			}
			if ended, reason, err := s.Revoke(t.Context(), found[0].ID, minted.Add(time.Second)); reason != handshake.Granted || err != nil || !ended.Minted().Equal(minted) {
				t.Errorf("revoking: %q, error %v, %+v", reason, err, ended)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
