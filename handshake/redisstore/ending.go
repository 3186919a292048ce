package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/trackgate/trackgate/handshake"
)

// maxEndings is how many tokens one call of endScript ends at most. Redis does
// nothing else meanwhile: about half a millisecond.
const maxEndings = 100

// noIntention is the argument of endScript for a token that needs no intention.
const noIntention = "-"

// Where the arguments of endScript stand in a command about one token, without and
// with the heads of the trail: EVALSHA, hash, number of keys, keys, stamp, retention,
// number of tokens, and those of the token.
const (
	endKey       = 3
	endTokenSize = 6
	endShared    = 3
)

// ended is what a token is to become.
type ended struct {
	claim     *handshake.Claim
	mark      string
	attempt   string
	kind      string // the digit that it must have, or nothing
	intention *group // that must be in the trail, or nil
}

// ending is the command that ends one token. The shared pipeline of a single server
// joins those that it has (see [joined]), because most of what a script costs Redis,
// and go-redis, is the same for one token as for many.
type ending struct {
	*redis.Cmd
	batches *batches // of the store whose command it is
	heads   bool     // whether the heads of the trail are among the keys
}

// alone is whether a command stays as it is: one of another store that has the same
// client, or one that brings the script's text.
func (e *ending) alone(b *batches) bool { return e.batches != b || e.Name() != "evalsha" }

// finish runs endScript for one token, and returns the token's value after that.
func (s *Store) finish(ctx context.Context, st *stamp, e ended) (any, error) {
	reply, err := s.finishBy(ctx, "evalsha", endScript.hash, st, e)
	if redis.HasErrorPrefix(err, "CROSSSLOT") {
		// The server is one of a cluster that was given as a single one: nothing was
		// done, and from now on there is one call a token.
		s.batches.joins.Store(false)
		reply, err = s.finishBy(ctx, "evalsha", endScript.hash, st, e)
	}
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		return s.finishBy(ctx, "eval", endScript.text, st, e)
	}
	return reply, err
}

func (s *Store) finishBy(ctx context.Context, name, what string, st *stamp, e ended) (any, error) {
	now := e.claim.At.UnixMilli()
	args := make([]any, 0, endKey+2+endShared+endTokenSize)
	args = append(args, name, what)
	if e.intention == nil {
		args = append(args, 1, tokenKey(e.claim.ID))
	} else {
		args = append(args, 2, tokenKey(e.claim.ID), trailHeads)
	}
	args = append(args, st, s.retention.Milliseconds(), 1,
		e.claim.ID.Millis, now, e.mark+encodeMillis(now)+e.attempt, e.kind, e.claim.Tracker)
	if e.intention == nil {
		args = append(args, noIntention)
	} else {
		args = append(args, intended{s.journal, e.intention})
	}
	cmd := &ending{Cmd: redis.NewCmd(ctx, args...), batches: s.batches, heads: e.intention != nil}
	if err := s.process(ctx, cmd); err != nil {
		return cmd.Val(), err
	}
	return answerOf(cmd.Val())
}

// answerOf takes the answer about one token out of that of endScript. A command that
// was joined has it already.
func answerOf(reply any) (any, error) {
	if list, ok := reply.([]any); ok && len(list) == 1 {
		reply = list[0]
	}
	switch reply := reply.(type) {
	case nil:
		return nil, redis.Nil
	case string:
		if wrong, ok := strings.CutPrefix(reply, wrongMark); ok {
			return nil, fmt.Errorf("%w: %s", errToken, wrong)
		}
	}
	return reply, nil
}

// wrongMark begins the answer of endScript about a token with which Redis could do
// nothing.
const wrongMark = "!"

// errToken is that of such a token.
var errToken = errors.New("redisstore: the token's key in Redis cannot be used")

// joined is a command that ends the tokens of several.
type joined struct {
	cmd *redis.Cmd
	of  []*ending
}

// join returns the commands of a pipeline with those that end tokens joined, and what
// they were joined to.
func (b *batches) join(ctx context.Context, cmds []redis.Cmder) ([]redis.Cmder, []joined) {
	if !b.joins.Load() {
		return cmds, nil
	}
	var waiting []*ending
	for _, cmd := range cmds {
		if e, ok := cmd.(*ending); ok && !e.alone(b) {
			waiting = append(waiting, e)
		}
	}
	if len(waiting) < 2 {
		return cmds, nil
	}
	var made []joined
	rest := make([]redis.Cmder, 0, len(cmds)-len(waiting)+1+len(waiting)/maxEndings)
	for some := range slices.Chunk(waiting, maxEndings) {
		j := joined{cmd: redis.NewCmd(ctx, joinArgs(some)...), of: some}
		made = append(made, j)
		rest = append(rest, j.cmd)
	}
	for _, cmd := range cmds {
		if e, ok := cmd.(*ending); !ok || e.alone(b) {
			rest = append(rest, cmd)
		}
	}
	return rest, made
}

func joinArgs(some []*ending) []any {
	args := make([]any, 0, endKey+1+endShared+(1+endTokenSize)*len(some))
	args = append(args, some[0].Args()[:endKey]...)
	heads := false
	for _, e := range some {
		args = append(args, e.Args()[endKey])
		heads = heads || e.heads
	}
	keys := len(some)
	if heads {
		args = append(args, trailHeads)
		keys++
	}
	args[endKey-1] = keys
	shared := some[0].Args()[len(some[0].Args())-endShared-endTokenSize:]
	args = append(args, shared[:endShared-1]...)
	args = append(args, strconv.Itoa(len(some)))
	for _, e := range some {
		args = append(args, e.Args()[len(e.Args())-endTokenSize:]...)
	}
	return args
}

// share gives the commands that were joined their answers.
func (j joined) share() {
	err := j.cmd.Err()
	list, _ := j.cmd.Val().([]any)
	if err == nil && len(list) != len(j.of) {
		err = errDamaged
	}
	for i, e := range j.of {
		if err != nil {
			e.SetErr(err)
			continue
		}
		e.SetErr(nil)
		e.SetVal(list[i : i+1 : i+1])
	}
}
