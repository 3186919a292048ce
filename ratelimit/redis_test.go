package ratelimit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/trackgate/trackgate/ratelimit"
)

// overRedis runs test over every kind of client that NewRedis takes.
func overRedis(t *testing.T, test func(*testing.T, *redisServer, ratelimit.Limiter)) {
	s := startRedis(t)
	blocking, err := s.client().AutoPipeline()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct {
		name   string
		client redis.UniversalClient
	}{
		{"plain", s.client()},
		{"blocking pipelines", blocking},
		{"shared pipelines", s.pipelines()},
	} {
		t.Run(kind.name, func(t *testing.T) {
			s.do("FLUSHALL")
			test(t, s, ratelimit.NewRedis(kind.client))
		})
	}
}

// wait waits by the clock of the server.
func (s *redisServer) wait(d time.Duration) {
	s.tb.Helper()
	client := s.client()
	start := client.Time(s.tb.Context()).Val()
	for client.Time(s.tb.Context()).Val().Sub(start) < d {
		continue
	}
}

func TestRedisSpendsAndLooksAsTheLocalLimiterDoes(t *testing.T) {
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) { lookTest(t, l, s.wait) })
}

func TestRedisTakesSeveralTogetherOrNotAtAll(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) { severalTest(t, l) })
}

func TestRedisChargesNoneWhenOneOfSeveralQuestionsIsRefused(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) { takeAllTest(t, l) })
}

func TestRedisGivesConcurrentCallersExactlyTheBurst(t *testing.T) {
	overRedis(t, func(t *testing.T, _ *redisServer, l ratelimit.Limiter) {
		concurrentTest(t, l, policy(t, "p", "1/h", 50))
	})
}

func TestKeysInRedisNamePolicyAndCallerAndDieWithTheBucket(t *testing.T) {
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) {
		p := policy(t, "mint", "1/m", 60)
		take(t, l, p, "2001:db8::/64", 1)
		if _, err := l.TakeAll(t.Context(), ratelimit.Ask{Policy: p, Caller: "192.0.2.7", N: 2}); err != nil {
			t.Fatal(err)
		}
		take(t, l, p, "198.51.100.1", 0)
		keys := s.client().Keys(t.Context(), "*").Val()
		if got := strings.Join(keys, " "); len(keys) != 2 ||
			!strings.Contains(got, "trackgate:mint:2001:db8::/64") || !strings.Contains(got, "trackgate:mint:192.0.2.7") {
			t.Errorf("keys %q", keys)
		}
		for _, key := range keys {
			if ttl := s.client().TTL(t.Context(), key).Val(); ttl <= 0 || ttl > 2*time.Minute {
				t.Errorf("%s lives for %v", key, ttl)
			}
		}
	})
}

func TestAFlushedScriptIsLoadedAgain(t *testing.T) {
	overRedis(t, func(t *testing.T, s *redisServer, l ratelimit.Limiter) {
		p := policy(t, "p", "1/h", 3)
		for left := 2; left >= 0; left-- {
			s.do("SCRIPT", "FLUSH")
			if d := take(t, l, p, "a", 1); !d.Allowed || d.Remaining != left {
				t.Errorf("with %d left: %+v", left, d)
			}
		}
	})
}

func TestAnAnswerOfAnotherFormIsAnErrorAndNoPanic(t *testing.T) {
	for _, v := range []any{
		nil, "OK", int64(1), []any{}, []any{int64(1), int64(2), "3"}, []any{int64(1), int64(2), int64(3), int64(4)},
		[]any{"1", "2", "3", "4"}, []any{int64(1), nil, "3", "4"}, []any{int64(1), int64(2), "3", nil}, map[any]any{},
	} {
		s := redisThatAnswers(t, v)
		if _, err := s.Take(t.Context(), policy(t, "p", "1/h", 1), "a", 1); err == nil || !strings.Contains(err.Error(), "another form") {
			t.Errorf("%v: error %v", v, err)
		}
	}
}

// redisThatAnswers is a limiter whose Redis answers every script with v.
func redisThatAnswers(t *testing.T, v any) ratelimit.Limiter {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	client.AddHook(answering{v})
	return ratelimit.NewRedis(client)
}

type answering struct{ value any }

func (a answering) DialHook(next redis.DialHook) redis.DialHook { return next }

func (a answering) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a answering) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		if c, ok := cmd.(*redis.Cmd); ok {
			c.SetVal(a.value)
		}
		return nil
	}
}

func TestAQuestionEndsWithItsContext(t *testing.T) {
	s := startRedis(t)
	limiters := map[string]ratelimit.Limiter{
		"plain":            ratelimit.NewRedis(s.client()),
		"shared pipelines": ratelimit.NewRedis(s.pipelines()),
	}
	p := policy(t, "p", "1/h", 10)
	for _, l := range limiters {
		take(t, l, p, "a", 1)
	}
	stopServer(t, s)
	for name, l := range limiters {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := l.Take(ctx, p, "a", 1); err == nil || ctx.Err() == nil {
			t.Errorf("%s: error %v", name, err)
		}
		if _, err := l.Take(ctx, p, "a", 1); err == nil {
			t.Errorf("%s: a context that is done asks", name)
		}
		cancel()
	}
}
