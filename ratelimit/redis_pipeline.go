package ratelimit

import (
	"context"
	"errors"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
)

// step is the client as redis_rate sees it while several of its questions are
// put into one pipeline: each is asked twice, the first time to learn its command
// and, once the pipeline has run, to read its answer. Nothing but the running of
// the script is put off.
type step struct {
	*scripts
	cmd *redis.Cmd
	ran bool
}

// errPutOff is what redis_rate is told the first time.
var errPutOff = errors.New("the command is only written down")

// EvalSha writes the command down, or gives its answer.
func (s *step) EvalSha(ctx context.Context, hash string, keys []string, args ...any) *redis.Cmd {
	if s.ran {
		return checked(s.cmd)
	}
	s.cmd = scriptCommand(ctx, "evalsha", hash, keys, args)
	later := redis.NewCmd(ctx)
	later.SetErr(errPutOff)
	return later
}

// inOnePipeline asks all questions in one round trip, on a cluster in one to each
// node at the same time. A script that a node does not know costs another one.
func (l *Redis) inOnePipeline(ctx context.Context, asks []Ask, decisions []Decision) error {
	steps := make([]*step, len(asks))
	var commands []redis.Cmder
	for i, a := range asks {
		if a.Policy.Rate.IsOff() {
			continue
		}
		steps[i] = &step{scripts: l.scripts}
		if _, err := runScript(ctx, redis_rate.NewLimiter(steps[i]), bucket{a.Policy, a.Caller}, a.N); !errors.Is(err, errPutOff) {
			return err
		}
		commands = append(commands, steps[i].cmd)
	}
	if err := l.scripts.pipeline(ctx, commands); err != nil {
		return err
	}
	errs := make([]error, len(asks))
	for i, s := range steps {
		if s != nil {
			s.ran = true
			a := asks[i]
			got, err := runScript(ctx, redis_rate.NewLimiter(s), bucket{a.Policy, a.Caller}, a.N)
			decisions[i], errs[i] = got.decide(a.Policy, a.N, err)
		}
	}
	return errors.Join(errs...)
}

// pipeline runs commands and waits as long as ctx lasts; without an error each of
// them has its own result.
func (s *scripts) pipeline(ctx context.Context, commands []redis.Cmder) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its error
			for _, cmd := range commands {
				_ = p.Process(ctx, cmd)
			}
			return nil
		})
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
