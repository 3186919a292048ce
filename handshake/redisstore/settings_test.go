package redisstore_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/trackgate/trackgate/handshake"
	"github.com/trackgate/trackgate/handshake/redisstore"
	"github.com/trackgate/trackgate/internal/redistest"
)

func TestWeakSettingsAreWarnedAbout(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"safe":      {nil, nil},
		"no file":   {[]string{"--appendonly", "no"}, []string{"appendonly = no"}},
		"late":      {[]string{"--appendfsync", "everysec"}, []string{"appendfsync = everysec"}},
		"evicting":  {[]string{"--maxmemory-policy", "allkeys-lru"}, []string{"maxmemory-policy = allkeys-lru"}},
		"all":       {[]string{"--appendonly", "no", "--appendfsync", "no", "--maxmemory-policy", "volatile-ttl"}, []string{"appendonly", "appendfsync", "maxmemory-policy"}},
		"forbidden": {[]string{"--rename-command", "CONFIG", ""}, []string{"could not be checked", "could not be checked", "could not be checked"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, redistest.Start(t, test.args...).URL())
			defer func() { _ = s.Close() }()
			warnings := s.Warnings(context.Background())
			if len(warnings) != len(test.want) {
				t.Fatalf("%d warnings: %q", len(warnings), warnings)
			}
			for i, want := range test.want {
				if !strings.Contains(warnings[i], want) {
					t.Errorf("%q lacks %q", warnings[i], want)
				}
			}
		})
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	const secret = "s3cret-word"
	server := redistest.Start(t, "--requirepass", "another")
	ctx := context.Background()
	for _, address := range []string{
		"redis://user:" + secret + "@" + server.Addr(), "redis://:" + secret + "@127.0.0.1:1/0", "redis://:" + secret + "@host:port:9/0",
		"redis://:" + secret + "/x@127.0.0.1:1", "redis://:" + secret + "%zz@127.0.0.1:1", "redis://h/?password=" + secret, "http://:" + secret + "@h", secret,
	} {
		s, err := redisstore.Open(ctx, address)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s was opened", address)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("shown: %v", err)
		}
		if redacted := redisstore.Redacted(address); strings.Contains(redacted, secret) {
			t.Errorf("shown: %s", redacted)
		}
	}
	s, err := redisstore.Open(ctx, "redis://:another@"+server.Addr()+"/3")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if got := redisstore.Redacted("rediss://user:x@host:6380/3?password=x"); got != "rediss://host:6380/3" {
		t.Errorf("redacted it is %s", got)
	}
	if _, err := redisstore.NewClient("http://host"); !errors.Is(err, redisstore.ErrURL) {
		t.Errorf("not a Redis URL: %v, want ErrURL", err)
	}
}

func TestKeysLiveAsLongAsTheyAreNeededAndAreSmall(t *testing.T) {
	server := redistest.Start(t)
	raw := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = raw.Close() }()
	const retention = 3 * time.Hour
	s := open(t, server.URL(), redisstore.WithRetention(retention))
	defer func() { _ = s.Close() }()
	ctx := context.Background()
	record := newRecord(time.Now())
	key := "trackgate:" + string(record.ID.Hash[:])
	wantTTL := func(most time.Duration) {
		t.Helper()
		ttl, err := raw.PTTL(ctx, key).Result()
		if err != nil || ttl > most || ttl < most-time.Minute {
			t.Errorf("it lives for %v, error %v, want %v", ttl, err, most)
		}
	}
	if err := s.Mint(ctx, record); err != nil {
		t.Fatal(err)
	}
	wantTTL(11 * time.Minute)
	if size, err := raw.MemoryUsage(ctx, key).Result(); err != nil || size > 150 {
		t.Errorf("a live token takes %d bytes, error %v", size, err)
	}
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.Granted || err != nil {
		t.Fatalf("%q, error %v", reason, err)
	}
	wantTTL(10*time.Minute + retention)
	if _, reason, err := s.Consume(ctx, claimOn(record)); reason != handshake.ReasonUsed || err != nil {
		t.Fatalf("%q, error %v", reason, err)
	}
	wantTTL(10*time.Minute + retention)
}

func TestAClientOfTheCallersStaysOpen(t *testing.T) {
	client, err := redisstore.NewClient(redistest.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	s, err := redisstore.New(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(context.Background()).Err(); err != nil {
		t.Errorf("the client is closed: %v", err)
	}
	if s, err = redisstore.New(client); err != nil {
		t.Fatal(err)
	}
	if err := s.Mint(context.Background(), newRecord(time.Now())); err != nil {
		t.Errorf("a second store: %v", err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Mint(context.Background(), newRecord(time.Now())); !errors.Is(err, handshake.ErrClosed) {
		t.Errorf("with the client closed: %v, want ErrClosed", err)
	}
}

func TestAClosedStoreLeavesNothingRunning(t *testing.T) {
	server := redistest.Start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := open(t, server.URL())
	warm(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSettingsThatMakeNoSenseAreErrors(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	for name, option := range map[string]redisstore.Option{
		"a retention of zero": redisstore.WithRetention(0), "a queue of zero": redisstore.WithQueue(0),
		"fewer replicas than none": redisstore.WithReplicas(-1, redisstore.DefaultReplicaLimit),
		"no time for replicas":     redisstore.WithReplicas(1, 0),
		"too long for replicas":    redisstore.WithReplicas(1, redisstore.MaxReplicaLimit+1),
		"no fence that there is":   redisstore.WithFence(7),
	} {
		if _, err := redisstore.New(client, option); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	long := newRecord(time.Now())
	long.Expires = long.Minted().Add(60 * 24 * time.Hour)
	s, err := redisstore.New(client)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Mint(context.Background(), long); err == nil {
		t.Error("a lifetime of two months was taken")
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer func() { _ = ring.Close() }()
	if _, err := redisstore.New(ring); err == nil {
		t.Error("a ring was taken, whose shards forget each other's tokens")
	}
}

func TestAFenceIsReadAsItIsWritten(t *testing.T) {
	for _, text := range []string{"auto", "always", "never"} {
		var fence redisstore.Fence
		if err := fence.UnmarshalText([]byte(text)); err != nil || fence.String() != text {
			t.Errorf("%s is read as %v, error %v", text, fence, err)
		}
		if written, err := fence.MarshalText(); string(written) != text || err != nil {
			t.Errorf("%s is written as %s, error %v", text, written, err)
		}
	}
	if fence, err := redisstore.ParseFence("sometimes"); err == nil {
		t.Errorf("read as %v", fence)
	}
	if got := redisstore.Fence(7).String(); got != "invalid" {
		t.Errorf("no fence is %q", got)
	}
}

func TestATokenBehindTheFenceIsSmallToo(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL(), redisstore.WithFence(redisstore.FenceAlways))
	defer func() { _ = s.Close() }()
	size, err := strconv.Atoi(server.Do("memory", "usage", keyOf(mintOne(t, s))))
	if err != nil || size > 150 {
		t.Errorf("a live token takes %d bytes, error %v", size, err)
	}
	t.Logf("a live token takes %d bytes", size)
}
