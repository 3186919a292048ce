package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

// takeLabel is a function that returns a token's value without its label, and the
// label, "" for none. ARGV[2] is when the token was minted, in Unix milliseconds.
const takeLabel = `
local function take_label(v)
  if string.sub(v, 1, 1) ~= '-' then return v, '' end
  return string.sub(v, 2, 2) .. ARGV[2] .. string.sub(v, 13, 17) .. string.sub(v, 21), string.sub(v, 3, 12)
end
`

// openToken begins the scripts on tokens. KEYS[1] is the token, ARGV[1] what a
// [stamp] says of the fence, and ARGV[2] when the token was minted. It leaves the
// token's value without its label in v, and returns nil for a token that the store
// does not have: one that is live and of an earlier reign is as good as forgotten.
const openToken = takeLabel + `
local v, label = redis.call('GET', KEYS[1]), ''
if not v then return v end
v, label = take_label(v)
local live, mode = string.find(v, '^%d'), string.sub(ARGV[1], 1, 1)
if live and mode ~= '*' and label ~= string.sub(ARGV[1], 2) and (mode == '!' or label ~= '') then return false end
`

// endScript takes a live token to a final status. ARGV continues with the mark
// of the status, the time as a number and as six bytes, the attempt, the retention
// in milliseconds, and for a consumption the kind as one digit and the tracker. It
// returns the value of the token after that, which says whether this attempt ended
// it; nil means that there is none.
//
// With KEYS[2], the heads of the audit trail, the last of ARGV is the name of a
// chain and the head that it must have. With another one, or with anything else, a
// token that could be ended is left alone, and the answer is 0.
//
// The value outlives the token's own expiry by the retention. It must never go
// before that expiry: a SET of the minting that a broken connection delivers late
// would make the token live again.
//
// The order of the conditions does not matter here: the reason of a refusal is
// found in the value that is returned.
var endScript = newScript(openToken + `
if not live then return v end
local left = string.sub(v, 2, 14) + string.sub(v, 15, 19) * 1000 - ARGV[4]
if left <= 0 then return v end
if ARGV[8] and (string.sub(v, 1, 1) ~= ARGV[8] or string.sub(v, 20) ~= ARGV[9]) then return v end
if KEYS[2] then
  local intended = ARGV[#ARGV]
  if #intended ~= 56 then return 0 end
  local there = redis.call('HGET', KEYS[2], string.sub(intended, 1, 16)) or ''
  if string.sub(there, 1, 40) ~= string.sub(intended, 17) then return 0 end
end
v = ARGV[3] .. string.sub(v, 1, 19) .. ARGV[5] .. ARGV[6] .. string.sub(v, 20)
redis.call('SET', KEYS[1], v, 'PX', string.format('%d', ARGV[7] + left))
return v
`)

// lookScript returns the value of a token.
var lookScript = newScript(openToken + `return v`)

// findScript is lookScript for a token of which nobody knows when it was minted.
// ARGV[2] is the time now instead. What the token has left to live tells about when
// it was minted, late by as long as the minting took and early by as long as this
// question does; the three digits tell the rest, if it is late by less than 600 ms
// or early by no more than 400.
var findScript = newScript(`
local there = redis.call('GET', KEYS[1])
if there and string.find(there, '^%-' .. string.rep('%d', 19)) then
  local about = ARGV[2] + redis.call('PTTL', KEYS[1]) - string.sub(there, 13, 17) * 1000
  ARGV[2] = string.format('%d', about - (about - string.sub(there, 18, 20) + 400) % 1000 + 400)
end
` + openToken + `return v`)

// confirmScript repeats a minting that found its key taken. KEYS[1] is the token,
// ARGV[1] the value that it is to have, ARGV[2] when it was minted. It returns 1
// when the value is there and live, whatever its label: then an earlier delivery
// made it, and nobody has been told of it yet. The value is written again for the
// sake of its label, and so that there is something for replicas to acknowledge.
var confirmScript = newScript(takeLabel + `
local v = redis.call('GET', KEYS[1])
if not v or (take_label(v)) ~= (take_label(ARGV[1])) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
return 1
`)

// swapScript compares and swaps a value of the state table. KEYS[1] is the
// entry, ARGV a [stamp] (which means nothing here), the attempt, what must be
// there, what is to be there ('-' for nothing, '+' before a value), its time to
// live and that of a gravestone in milliseconds. It returns 1 when the value is as
// wanted.
//
// An entry is a mark, the attempt that made it, and the value. A removed value
// leaves a gravestone for a while, so that a repeated removal knows its own work.
var swapScript = newScript(`
local v = redis.call('GET', KEYS[1])
if v and string.sub(v, 2, 17) == ARGV[2] then return 1 end
local there = '-'
if v and string.sub(v, 1, 1) == 'V' then there = '+' .. string.sub(v, 18) end
if there ~= ARGV[3] then return 0 end
if ARGV[4] ~= '-' then
  redis.call('SET', KEYS[1], 'V' .. ARGV[2] .. string.sub(ARGV[4], 2), 'PX', ARGV[5])
elseif there ~= '-' then
  redis.call('SET', KEYS[1], 'T' .. ARGV[2], 'PX', ARGV[6])
end
return 1
`)

// script is a Lua script and the SHA-1 by which Redis knows it.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // the name that EVALSHA asks for, not a protection
	return script{text: text, hash: hex.EncodeToString(sum[:])}
}

// run runs a script on one key by its hash, and by its text where Redis does not
// know it (yet: it forgets all scripts when it restarts). The stamp is its first
// argument; what the stamp says of the answer is the caller's to ask.
func (s *Store) run(ctx context.Context, sc script, key string, st *stamp, args ...any) (any, error) {
	return s.runKeys(ctx, sc, []string{key}, st, args...)
}

// runKeys is run for several keys, which must share a hash tag.
func (s *Store) runKeys(ctx context.Context, sc script, keys []string, st *stamp, args ...any) (any, error) {
	reply, err := s.eval(ctx, "evalsha", sc.hash, keys, st, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		reply, err = s.eval(ctx, "eval", sc.text, keys, st, args)
	}
	return reply, err
}

func (s *Store) eval(ctx context.Context, name, what string, keys []string, st *stamp, args []any) (any, error) {
	all := make([]any, 0, 4+len(keys)+len(args))
	all = append(all, name, what, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := redis.NewCmd(ctx, append(append(all, st), args...)...)
	err := s.process(ctx, cmd)
	return cmd.Val(), err
}
