package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

// endScript takes a live token to a final status. KEYS[1] is the token, ARGV
// the mark of the status, the time as a number and as six bytes, the attempt,
// the retention in milliseconds, and for a consumption the kind as one digit and
// the tracker. It returns the value of the token after that, which says whether
// this attempt ended it; nil means that there is none.
//
// The value outlives the token's own expiry by the retention. It must never go
// before that expiry: a SET of the minting that a broken connection delivers late
// would make the token live again.
//
// The order of the conditions does not matter here: the reason of a refusal is
// found in the value that is returned.
var endScript = newScript(`
local v = redis.call('GET', KEYS[1])
if not v or not string.find(v, '^%d') then return v end
local left = string.sub(v, 2, 14) + string.sub(v, 15, 19) * 1000 - ARGV[2]
if left <= 0 then return v end
if ARGV[6] and (string.sub(v, 1, 1) ~= ARGV[6] or string.sub(v, 20) ~= ARGV[7]) then return v end
v = ARGV[1] .. string.sub(v, 1, 19) .. ARGV[3] .. ARGV[4] .. string.sub(v, 20)
redis.call('SET', KEYS[1], v, 'PX', string.format('%d', ARGV[5] + left))
return v
`)

// swapScript compares and swaps a value of the state table. KEYS[1] is the
// entry, ARGV the attempt, what must be there, what is to be there ('-' for
// nothing, '+' before a value), its time to live and that of a gravestone in
// milliseconds. It returns 1 when the value is as wanted.
//
// An entry is a mark, the attempt that made it, and the value. A removed value
// leaves a gravestone for a while, so that a repeated removal knows its own work.
var swapScript = newScript(`
local v = redis.call('GET', KEYS[1])
if v and string.sub(v, 2, 17) == ARGV[1] then return 1 end
local there = '-'
if v and string.sub(v, 1, 1) == 'V' then there = '+' .. string.sub(v, 18) end
if there ~= ARGV[2] then return 0 end
if ARGV[3] ~= '-' then
  redis.call('SET', KEYS[1], 'V' .. ARGV[1] .. string.sub(ARGV[3], 2), 'PX', ARGV[4])
elseif there ~= '-' then
  redis.call('SET', KEYS[1], 'T' .. ARGV[1], 'PX', ARGV[5])
end
return 1
`)

// script is a Lua script and the SHA-1 by which Redis knows it.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // the name that EVALSHA asks for, not a protection
	return script{text: text, hash: hex.EncodeToString(sum[:])}
}

// run runs a script by its hash, and by its text where Redis does not know it
// (yet: it forgets all scripts when it restarts).
func (s *Store) run(ctx context.Context, sc script, key string, args ...any) (any, error) {
	reply, err := s.eval(ctx, "evalsha", sc.hash, key, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = s.eval(ctx, "eval", sc.text, key, args)
	}
	return reply, err
}

func (s *Store) eval(ctx context.Context, name, what, key string, args []any) (any, error) {
	cmd := redis.NewCmd(ctx, append([]any{name, what, 1, key}, args...)...)
	err := s.process(ctx, cmd)
	return cmd.Val(), err
}
