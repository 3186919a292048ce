package ratelimit

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisRatePrefix is what redis_rate writes before every key.
const redisRatePrefix = "rate:"

// errScriptAnswer is what an answer gives that redis_rate could not read.
var errScriptAnswer = errors.New("the limiter's script gave an answer of another form than expected; is what answers really Redis?")

// scripts is the client as redis_rate sees it. It strips redis_rate's prefix
// from the keys, returns when the context is done, whatever the client does
// then, and checks the form of the answer, because redis_rate does not.
type scripts struct {
	redis.UniversalClient
	pipelines *redis.AutoPipeliner // nil when client has none to wait for
}

func newScripts(client redis.UniversalClient) *scripts {
	s := &scripts{UniversalClient: client}
	if ap, ok := client.(*redis.AutoPipeliner); ok && !ap.IsBlocking() {
		s.pipelines = ap
	}
	return s
}

// Eval runs a script by its text.
func (s *scripts) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return s.run(ctx, "eval", script, keys, args)
}

// EvalSha runs a script by its hash.
func (s *scripts) EvalSha(ctx context.Context, hash string, keys []string, args ...any) *redis.Cmd {
	return s.run(ctx, "evalsha", hash, keys, args)
}

// firstKey is where the first key stands in the commands EVAL and EVALSHA.
const firstKey = 3

func (s *scripts) run(ctx context.Context, command, script string, keys []string, args []any) *redis.Cmd {
	cmd := scriptCommand(ctx, command, script, keys, args)
	if err := s.begin(ctx, cmd)(); err != nil {
		// A command that was given up may still be written to: it is not touched.
		cmd = redis.NewCmd(ctx)
		cmd.SetErr(err)
		return cmd
	}
	return checked(cmd)
}

// checked looks whether an answer that is no error is one of the script.
func checked(cmd *redis.Cmd) *redis.Cmd {
	if cmd.Err() == nil && !limiterAnswer(cmd.Val()) {
		cmd.SetErr(errScriptAnswer)
	}
	return cmd
}

func scriptCommand(ctx context.Context, command, script string, keys []string, args []any) *redis.Cmd {
	words := append(make([]any, 0, firstKey+len(keys)+len(args)), command, script, len(keys))
	for _, key := range keys {
		words = append(words, strings.TrimPrefix(key, redisRatePrefix))
	}
	cmd := redis.NewCmd(ctx, append(words, args...)...)
	cmd.SetFirstKeyPos(firstKey)
	return cmd
}

// beginExists asks whether Redis has a key, and returns what waits for the answer.
func (s *scripts) beginExists(ctx context.Context, key string) func() (bool, error) {
	cmd := redis.NewIntCmd(ctx, "exists", key)
	wait := s.begin(ctx, cmd)
	return func() (bool, error) {
		if err := wait(); err != nil {
			return false, err
		}
		return cmd.Val() > 0, nil
	}
}

// begin hands cmd to the client and returns what waits for it as long as ctx lasts.
func (s *scripts) begin(ctx context.Context, cmd redis.Cmder) func() error {
	if err := ctx.Err(); err != nil {
		return func() error { return err }
	}
	if s.pipelines != nil {
		future := s.pipelines.Submit(ctx, cmd)
		return func() error { return future.WaitContext(ctx) }
	}
	done := make(chan error, 1)
	go func() { done <- s.Process(ctx, cmd) }()
	return func() error {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// limiterAnswer tells whether v is what the script returns: two numbers, and
// two numbers as strings.
func limiterAnswer(v any) bool {
	list, ok := v.([]any)
	if !ok || len(list) != 4 {
		return false
	}
	for i, item := range list {
		if _, isInt := item.(int64); isInt != (i < 2) {
			return false
		}
		if _, isString := item.(string); isString != (i >= 2) {
			return false
		}
	}
	return true
}
