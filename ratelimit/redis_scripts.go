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
	if err := s.begin(ctx, cmd).wait(ctx); err != nil {
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

// flight is a command that was handed to the client.
type flight struct {
	cmd    redis.Cmder
	future redis.AutoFuture // of pipelines that need not be waited for
	done   chan struct{}    // of other clients: closed once cmd has its answer
	err    error            // why the command was not handed over
}

// begin hands cmd to the client, unless ctx is done.
func (s *scripts) begin(ctx context.Context, cmd redis.Cmder) flight {
	if err := ctx.Err(); err != nil {
		return flight{err: err}
	}
	if s.pipelines != nil {
		return flight{future: s.pipelines.Submit(ctx, cmd)}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Process(ctx, cmd) // the command has its error
	}()
	return flight{cmd: cmd, done: done}
}

// wait waits for the answer as long as ctx lasts, and returns the command's error.
func (f flight) wait(ctx context.Context) error {
	switch {
	case f.err != nil:
		return f.err
	case f.done == nil:
		return f.future.WaitContext(ctx)
	}
	if err := ended(ctx, f.done); err != nil {
		return err
	}
	return f.cmd.Err()
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
