package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// ride is a block that a shared pipeline takes along. A nil ride is none.
type ride struct {
	journal *journal
	block   *sealing
	cmd     *redis.Cmd
}

// board gives a pipeline that is about to be sent what waits, as one block. While
// another block is under way, or in doubt, there is none.
func (j *journal) board(ctx context.Context) *ride {
	if j == nil || !j.boards() {
		return nil
	}
	b := j.seal(j.take())
	b.sent = true
	args := append([]any{"evalsha", sealScript.hash, 2, trailHeads, trailBlocks, modeAny}, b.arguments...)
	return &ride{j, b, redis.NewCmd(ctx, args...)}
}

// boards tells whether there is a block for a pipeline, which is the one that
// writes then.
func (j *journal) boards() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.writing || j.unsure != nil || len(j.groups) == 0 || j.groups[0].drop != (streamID{}) {
		return false
	}
	j.writing = true
	return true
}

// before returns the commands of the pipeline with the block before them.
func (r *ride) before(cmds []redis.Cmder) []redis.Cmder {
	if r == nil {
		return cmds
	}
	return append([]redis.Cmder{r.cmd}, cmds...)
}

// land takes the block's answer, and returns the pipeline's error without that of
// the block. A block that has not arrived for certain is left to the goroutine,
// which sends the very same again.
func (r *ride) land(cmds []redis.Cmder, err, outcome error) error {
	if r == nil {
		return err
	}
	failed := r.cmd.Err()
	if failed == nil {
		failed = outcome
	}
	if failed == nil {
		var there sealed
		if there, failed = parseSealed(r.block.next.Chain, r.cmd.Val()); failed == nil && there.head != r.block.next {
			failed = errChain
		}
		if failed == nil {
			r.journal.chain.confirm(there)
		}
	}
	r.journal.release(r.block, failed)
	if failed == nil {
		r.block.group.finish(nil)
	} else {
		r.journal.resume()
	}
	if r.cmd.Err() == nil {
		return err
	}
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// resume has the goroutine go on with a block in doubt.
func (j *journal) resume() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.start()
}
