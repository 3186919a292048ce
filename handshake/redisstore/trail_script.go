package redisstore

import (
	"fmt"

	"github.com/trackgate/trackgate/handshake/audit"
)

// sealScript adds a block to the stream and moves its chain's head, or drops old
// blocks, or both. KEYS are the heads and the blocks. ARGV[1] is a [stamp],
// which means nothing here, and ARGV[2], one behind the other,
//
//	chain 16 | the head that must be there 40 | the head to be 40 | digits 2 | drop | block
//
// with drop the ID of the first entry that stays, as many digits long as the two
// say, and either of drop and block possibly empty. A head of zeros is none. The
// script returns what stands under the chain's name after it, and the ID of the
// latest drop. With another head there than must be, it changes nothing: that
// includes the repetition of a command that was executed. The block is added first:
// should Redis not let it be, nothing else has changed.
var sealScript = newScript(`
local a, heads, blocks = ARGV[2], KEYS[1], KEYS[2]
local chain, want, new = string.sub(a, 1, 16), string.sub(a, 17, 56), string.sub(a, 57, 96)
local digits = tonumber(string.sub(a, 97, 98))
local drop, block = string.sub(a, 99, 98 + digits), string.sub(a, 99 + digits)
local value = redis.call('HGET', heads, chain) or ''
local there = string.sub(value, 1, 40)
if value == '' then there = string.rep('\0', 40) end
if block ~= '' and there ~= want then return {value, redis.call('HGET', heads, 'floor') or ''} end
if block ~= '' then
  local total = string.format('%.0f', tonumber(redis.call('HGET', heads, 'bytes') or '0') + #block)
  value = new .. redis.call('XADD', blocks, '*', 'b', block, 't', total)
  redis.call('HSET', heads, chain, value, 'bytes', total)
end
if drop ~= '' then
  local ms, seq = string.match(drop, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  redis.call('XTRIM', blocks, 'MINID', drop)
  redis.call('HSET', heads, 'floor', drop)
  local all = redis.call('HGETALL', heads)
  for i = 1, #all, 2 do
    local m, s = string.match(string.sub(all[i + 1], 41), '^(%d+)-(%d+)$')
    if #all[i] == 16 and all[i] ~= chain and m then
      m, s = tonumber(m), tonumber(s)
      if m < ms or m == ms and s < seq then redis.call('HDEL', heads, all[i]) end
    end
  end
end
return {value, redis.call('HGET', heads, 'floor') or ''}
`)

// sealArgument makes the argument of sealScript. A drop of zero is none.
func sealArgument(want, next audit.Head, drop streamID, block []byte) []byte {
	keep := ""
	if drop != (streamID{}) {
		keep = drop.String()
	}
	argument := make([]byte, 0, chainSize+2*headSize+2+len(keep)+len(block))
	argument = append(argument, next.Chain[:]...)
	argument = append(argument, encodeHead(want)...)
	argument = append(argument, encodeHead(next)...)
	argument = fmt.Appendf(argument, "%02d%s", len(keep), keep)
	return append(argument, block...)
}

// emptySeal is an argument of sealScript that changes nothing.
var emptySeal = sealArgument(audit.Head{}, audit.Head{}, streamID{}, nil)

// sealed is what sealScript returns.
type sealed struct {
	head  audit.Head // zero but for the chain when there is none
	last  streamID   // of the chain's last block
	floor streamID   // of the first block that the latest drop has left
}

func parseSealed(chain audit.ChainID, reply any) (sealed, error) {
	parts, _ := reply.([]any)
	if len(parts) != 2 {
		return sealed{}, errTrailDamaged
	}
	value, _ := parts[0].(string)
	floor, _ := parts[1].(string)
	there := sealed{head: audit.Head{Chain: chain}}
	var err error
	if there.floor, err = parsePosition(floor); err != nil || value == "" {
		return there, err
	}
	if len(value) < headSize {
		return sealed{}, fmt.Errorf("%w: the head of a chain", errTrailDamaged)
	}
	there.head = decodeHead(chain, value)
	there.last, err = parsePosition(value[headSize:])
	return there, err
}
