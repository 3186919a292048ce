package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func claimOn(r handshake.Record) handshake.Claim {
	return handshake.Claim{ID: r.ID, Kind: r.Kind, Tracker: r.Tracker, At: time.Now()}
}

// warm uses every script once, so that the server knows them.
func warm(t *testing.T, s *redisstore.Store) {
	t.Helper()
	ctx := context.Background()
	record := newRecord(time.Now())
	if err := s.Mint(ctx, record); err != nil {
		t.Fatal(err)
	}
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.Granted || err != nil {
		t.Fatalf("%q, error %v", reason, err)
	}
	if ok, err := s.State().CompareAndSwap(ctx, "warm", nil, []byte("x"), time.Minute); !ok || err != nil {
		t.Fatalf("%v, error %v", ok, err)
	}
}

// openThrough opens a store whose answers can be lost.
func openThrough(t *testing.T) (*redisstore.Store, *redistest.Proxy) {
	t.Helper()
	p := redistest.StartProxy(t, redistest.Start(t).Addr())
	s, err := redisstore.Open(context.Background(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	warm(t, s)
	return s, p
}

func TestAnAnswerThatIsLostOnceIsFoundAgain(t *testing.T) {
	s, p := openThrough(t)
	ctx := context.Background()
	record, revoked := newRecord(time.Now()), newRecord(time.Now())
	for _, step := range []struct {
		name string
		do   func() (bool, error)
	}{
		{"mint", func() (bool, error) { return true, s.Mint(ctx, record) }},
		{"consume", func() (bool, error) {
			_, reason, err := s.Consume(ctx, claimOn(record))
			return reason == handshake.Granted, err
		}},
		{"mint another", func() (bool, error) { return true, s.Mint(ctx, revoked) }},
		{"revoke", func() (bool, error) {
			_, reason, err := s.Revoke(ctx, revoked.ID, time.Now())
			return reason == handshake.Granted, err
		}},
		{"make an entry", func() (bool, error) { return s.State().CompareAndSwap(ctx, "key", nil, []byte("a"), time.Minute) }},
		{"replace it", func() (bool, error) {
			return s.State().CompareAndSwap(ctx, "key", []byte("a"), []byte("b"), time.Minute)
		}},
		{"remove it", func() (bool, error) { return s.State().CompareAndSwap(ctx, "key", []byte("b"), nil, 0) }},
	} {
		p.Lose(1)
		if ok, err := step.do(); !ok || err != nil {
			t.Errorf("%s: %v, error %v", step.name, ok, err)
		}
		if p.Losing() {
			t.Errorf("%s: no answer was lost", step.name)
		}
	}
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.ReasonUsed || err != nil {
		t.Errorf("the used token: %q, error %v", reason, err)
	}
	if value, err := s.State().Get(ctx, "key"); value != nil || err != nil {
		t.Errorf("the removed entry: %q, error %v", value, err)
	}
}

func TestWhenAllAnswersAreLostTheOutcomeIsUnknownAndTheTokenIsNeverAcceptedAgain(t *testing.T) {
	s, p := openThrough(t)
	ctx := context.Background()
	record := newRecord(time.Now())
	if err := s.Mint(ctx, record); err != nil {
		t.Fatal(err)
	}
	p.Lose(1000)
	if _, _, err := s.Consume(ctx, claimOn(record)); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("consuming: %v, want ErrOutcomeUnknown", err)
	}
	if err := s.Mint(ctx, newRecord(time.Now())); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("minting: %v, want ErrOutcomeUnknown", err)
	}
	if _, err := s.State().CompareAndSwap(ctx, "key", nil, []byte("a"), time.Minute); !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("swapping: %v, want ErrOutcomeUnknown", err)
	}
	p.Lose(0)
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.ReasonUsed || err != nil {
		t.Errorf("afterwards: %q, error %v", reason, err)
	}
}

func TestAServerThatHangsIsNoticedAndMissedNoLongerThanItHangs(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	warm(t, s)
	ctx := context.Background()
	record := newRecord(time.Now())
	if err := s.Mint(ctx, record); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	_, _, err := s.Consume(ctx, claimOn(record))
	pingErr := s.Ping(ctx)
	server.Resume()
	if !errors.Is(err, handshake.ErrOutcomeUnknown) || pingErr == nil {
		t.Errorf("consuming: %v, want ErrOutcomeUnknown; ping: %v, want an error", err, pingErr)
	}
	// What the dead connections held is executed now: the token is used, and by nobody.
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.ReasonUsed || err != nil {
		t.Errorf("afterwards: %q, error %v", reason, err)
	}
}

func TestAServerThatHasForgottenTheScriptsIsTaughtThem(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = raw.Close() }()
	ctx := context.Background()
	for range 2 {
		record := newRecord(time.Now())
		if err := s.Mint(ctx, record); err != nil {
			t.Fatal(err)
		}
		if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.Granted || err != nil {
			t.Errorf("%q, error %v", reason, err)
		}
		if err := raw.ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAServerThatRefusesToWriteChangesNothing(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	defer func() { _ = s.Close() }()
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = raw.Close() }()
	ctx := context.Background()
	record := newRecord(time.Now())
	if err := s.Mint(ctx, record); err != nil {
		t.Fatal(err)
	}
	for _, setting := range []struct{ name, value, before string }{
		{"maxmemory", "1", "0"},
		{"min-replicas-to-write", "1", "0"},
	} {
		if err := raw.ConfigSet(ctx, setting.name, setting.value).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Mint(ctx, newRecord(time.Now())); err == nil {
			t.Errorf("%s: minting succeeded", setting.name)
		}
		if _, _, err := s.Consume(ctx, claimOn(record)); err == nil {
			t.Errorf("%s: consuming succeeded", setting.name)
		}
		if got, ok, err := s.Lookup(ctx, record.ID); !ok || err != nil || got.Status != handshake.Live {
			t.Errorf("%s: found %v, %v, error %v", setting.name, ok, got.Status, err)
		}
		if err := raw.ConfigSet(ctx, setting.name, setting.before).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.Granted || err != nil {
		t.Errorf("afterwards: %q, error %v", reason, err)
	}
}

func TestADamagedValueIsAnErrorAndNoToken(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithFence(redisstore.FenceNever))
	defer func() { _ = s.Close() }()
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = raw.Close() }()
	ctx := context.Background()
	for _, value := range []string{"", "1", "X", "U", "-", "-1", "-100000000000000000", "-1" + strings.Repeat("x", 18), "-1429496729500000000", "123456789012345678x", "U" + strings.Repeat("9", 60), "U1763759401234006", strings.Repeat("\x00", 60), "1xxxxxxxxxxxxx00600"} {
		record := newRecord(time.Now())
		if err := raw.Set(ctx, "trackgate:"+string(record.ID.Hash[:]), value, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if _, reason, err := s.Consume(ctx, claimOn(record)); err == nil || reason == handshake.Granted {
			t.Errorf("%q: consuming gave %q, error %v", value, reason, err)
		}
		if _, ok, err := s.Lookup(ctx, record.ID); ok || err == nil {
			t.Errorf("%q: found %v, error %v", value, ok, err)
		}
	}
}

func TestMoreThanTheQueueHoldsIsRefused(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithQueue(1))
	defer func() { _ = s.Close() }()
	server.Pause()
	defer server.Resume()
	// Both cannot be let in while the server answers neither.
	outcomes := make(chan error)
	for range 2 {
		go func() { outcomes <- s.Mint(context.Background(), newRecord(time.Now())) }()
	}
	if err := <-outcomes; !errors.Is(err, handshake.ErrBusy) {
		t.Errorf("the first answer is %v, want ErrBusy", err)
	}
	if err := <-outcomes; !errors.Is(err, handshake.ErrOutcomeUnknown) {
		t.Errorf("the other is %v, want ErrOutcomeUnknown", err)
	}
}
