package redisstore

import (
	"fmt"

	"github.com/trackgate/trackgate/handshake/audit"
)

// sealScript adds a block to the stream and moves its chain's head, or drops old
// blocks, or both. KEYS are the heads and the blocks. ARGV[1] is a [stamp],
// which means nothing here; the rest are the name of the chain, the head that must be
// there, the head to be, the ID of the first block that stays, and the block. Of the
// last two either may be empty. A head of zeros is none. The script returns what
// stands under the chain's name after it, and the ID of the latest drop. With another
// head there than must be, it changes nothing: that includes the repetition of a
// command that was executed. The block is added first: should Redis not let it be,
// nothing else has changed.
var sealScript = newScript(`
local heads, blocks = KEYS[1], KEYS[2]
local chain, want, new, drop, block = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local kept = redis.call('HMGET', heads, chain, 'bytes', 'floor')
local value, bytes, floor = kept[1] or '', kept[2] or '0', kept[3] or ''
local there = string.sub(value, 1, 40)
if value == '' then there = string.rep('\0', 40) end
if block ~= '' and there ~= want then return {value, floor} end
if block ~= '' then
  local total = string.format('%.0f', tonumber(bytes) + #block)
  value = new .. redis.call('XADD', blocks, '*', 'b', block, 't', total)
  redis.call('HSET', heads, chain, value, 'bytes', total)
end
if drop ~= '' then
  local ms, seq = string.match(drop, '^(%d+)-(%d+)$')
  ms, seq = tonumber(ms), tonumber(seq)
  redis.call('XTRIM', blocks, 'MINID', drop)
  redis.call('HSET', heads, 'floor', drop)
  floor = drop
  local all = redis.call('HGETALL', heads)
  for i = 1, #all, 2 do
    local m, s = string.match(string.sub(all[i + 1], 41), '^(%d+)-(%d+)$')
    if #all[i] == 16 and all[i] ~= chain and m then
      m, s = tonumber(m), tonumber(s)
      if m < ms or m == ms and s < seq then redis.call('HDEL', heads, all[i]) end
    end
  end
end
return {value, floor}
`)

// sealArguments makes the arguments of sealScript. A drop of zero is none.
func sealArguments(want, next audit.Head, drop streamID, block []byte) []any {
	keep := ""
	if drop != (streamID{}) {
		keep = drop.String()
	}
	return []any{next.Chain[:], encodeHead(want), encodeHead(next), keep, block}
}

// emptySeal are arguments of sealScript that change nothing.
var emptySeal = sealArguments(audit.Head{}, audit.Head{}, streamID{}, nil)

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
