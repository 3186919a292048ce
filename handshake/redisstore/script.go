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

// openToken is a function that gets a token. ARGV[1] is what a [stamp] says of the
// fence, and minted when the token was minted, in Unix milliseconds. It returns the
// value without its label, and whether that is of a live token; false stands for a
// token that the store does not have: one that is live and of an earlier reign is as
// good as forgotten.
const openToken = `
local mode, reign = string.sub(ARGV[1], 1, 1), string.sub(ARGV[1], 2)
local function open_token(key, minted)
  local v, label = redis.call('GET', key), ''
  if not v then return false end
  local first = string.byte(v)
  if first == 45 then
    v, label = string.sub(v, 2, 2) .. minted .. string.sub(v, 13, 17) .. string.sub(v, 21), string.sub(v, 3, 12)
  elseif not first or first < 48 or first > 57 then
    return v, false
  end
  if mode ~= '*' and label ~= reign and (mode == '!' or label ~= '') then return false end
  return v, true
end
`

// endScript takes live tokens to a final status, each by itself. KEYS are the tokens,
// and behind them the heads of the audit trail where intentions count. ARGV[2] is the
// retention in milliseconds, and ARGV[3] the number of tokens; six arguments for each
// token follow:
//
//	minted     when it was minted, in Unix milliseconds
//	now        the time of the claim, likewise
//	ended      what stands in the value of a token that has ended but the 19 digits
//	kind       the digit that the token must have, or nothing
//	tracker    the tracker that the token must have, if there is a kind
//	intention  the name of a chain and the head that it must have, or '-'
//
// It returns the value of each token after that, which says whether this attempt ended
// it, nil where there is none, or an exclamation mark and what is wrong with it. With
// another head, or with an intention that is neither of the two, a token that could be
// ended is left alone, and the answer is 0.
//
// What is wrong with the server and not with one token, that it must not write or has
// no room, is the answer to the whole call, by which go-redis tells that it should ask
// again, or elsewhere. No error stands among the answers: go-redis does not read on
// behind an OOM or READONLY within an array, and takes what is left of it for the
// answers to other commands.
//
// The value outlives the token's own expiry by the retention. It must never go
// before that expiry: a SET of the minting that a broken connection delivers late
// would make the token live again.
//
// The order of the conditions does not matter here: the reason of a refusal is
// found in the value that is returned.
var endScript = newScript(openToken + `
local retention, n, heads = ARGV[2], tonumber(ARGV[3]), {}
local function intended(intention)
  if intention == '-' then return true end
  if #intention ~= 56 then return false end
  local chain = string.sub(intention, 1, 16)
  if not heads[chain] then
    heads[chain] = string.sub(redis.call('HGET', KEYS[n + 1], chain) or '', 1, 40)
  end
  return heads[chain] == string.sub(intention, 17)
end
local function finish(key, minted, now, ended, kind, tracker, intention)
  local v, live = open_token(key, minted)
  if not live then return v end
  local left = minted + string.sub(v, 15, 19) * 1000 - now
  if left <= 0 then return v end
  if kind ~= '' and (string.sub(v, 1, 1) ~= kind or string.sub(v, 20) ~= tracker) then return v end
  if not intended(intention) then return 0 end
  v = string.sub(ended, 1, 1) .. string.sub(v, 1, 19) .. string.sub(ended, 2) .. string.sub(v, 20)
  redis.call('SET', key, v, 'PX', string.format('%d', retention + left))
  return v
end
local answer = {}
for i = 1, n do
  local a = 6 * i - 2
  local ok, v = pcall(finish, KEYS[i], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3], ARGV[a + 4], ARGV[a + 5])
  if not ok then
    if type(v) == 'table' then v = v.err end
    v = tostring(v)
    local word = string.match(v, '^([A-Z]+) ')
    if word and word ~= 'WRONGTYPE' and word ~= 'ERR' then return redis.error_reply(v) end
    v = '!' .. v
  end
  answer[i] = v
end
return answer
`)

// lookScript returns the value of the token KEYS[1], which was minted at ARGV[2].
var lookScript = newScript(openToken + `
local v = open_token(KEYS[1], ARGV[2])
return v
`)

// findScript is lookScript for a token of which nobody knows when it was minted.
// ARGV[2] is the time now instead, and ARGV[3] how long the key stays beyond the
// token's expiry in milliseconds. What the token has left to live tells about when it
// was minted, late by as long as the minting took and early by as long as this question
// does; the three digits tell the rest, if it is late by less than 600 ms or early by no
// more than 400.
var findScript = newScript(openToken + `
local minted = ARGV[2]
local there = redis.call('GET', KEYS[1])
if there and string.find(there, '^%-' .. string.rep('%d', 19)) then
  local left = redis.call('PTTL', KEYS[1]) - ARGV[3]
  local about = minted + left - string.sub(there, 13, 17) * 1000
  minted = string.format('%d', about - (about - string.sub(there, 18, 20) + 400) % 1000 + 400)
end
local v = open_token(KEYS[1], minted)
return v
`)

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
