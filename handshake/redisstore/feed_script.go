package redisstore

// feedPrefix begins the keys of the feed. They carry one tag, so that a cluster has
// them all in one slot.
const feedPrefix = "trackgate:{feed}:"

// feedKeys are KEYS of every script on the feed:
//
//	1 events      stream: an entry has the position as its ID and the event as its only field
//	2 keys        hash: the digest of source and key, and the position of the event
//	3 key-order   list: the digests, each with the position behind it, the oldest first
//	4 done        hash: the attempts of changes that could not be recognised otherwise, and their answers
//	5 done-order  list: the attempts, each with the position of that time, the oldest first
//	6 last        string: the last position
//	7 leases      hash: of each lease h (holder), f (fence), u (until when), p (position), before its name
var feedKeys = func() []any {
	names := []any{"events", "keys", "key-order", "done", "done-order", "last", "leases"}
	for i, name := range names {
		names[i] = feedPrefix + name.(string)
	}
	return names
}()

// feedNow begins all scripts on the feed.
const feedNow = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function num(n) return string.format('%.0f', n) end
local function split(id)
  local ms, n = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end
`

// feedLast continues those that need the last position.
const feedLast = `
local last = redis.call('GET', KEYS[6])
if not last then
  local tail = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  last = tail[1] and tail[1][1] or '0-0'
end
local ms, n = split(last)
`

// appendScript adds events, and moves a lease's position with them. ARGV is a
// [stamp] (which means nothing here), the attempt, how many events are kept and for
// how many milliseconds, the same of keys, the lease's name (” for none), holder,
// fence and position, and for every event the digest of its key (” for none) and its
// value. It returns the positions with a blank between: '-' for an event that was left
// out and is not there any more, '+' for the number after the one before; or 0 when
// the lease is somebody else's.
//
// A repetition finds the digests of its own events. Where it cannot count on them,
// and where a lease's position must not be set twice, it finds its attempt among
// those done, which are kept for longer than repetitions take.
//
// IDs are made here and not by XADD, which knows no numbers without a gap. Their time
// does not go back when that of Redis does.
var appendScript = newScript(feedNow + `
local made = redis.call('HGET', KEYS[4], ARGV[2])
if made then return made end
local name = ARGV[7]
if name ~= '' then
  local held = redis.call('HMGET', KEYS[7], 'h' .. name, 'f' .. name)
  if held[1] ~= ARGV[8] or held[2] ~= ARGV[9] then return 0 end
end
` + feedLast + `
local maxEvents, maxAge, maxKeys, keyAge = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local digests, known, fields, entries = {}, {}, {}, {}
for i = 11, #ARGV, 2 do
  if ARGV[i] ~= '' then digests[#digests + 1] = ARGV[i] end
end
local knows = #digests == (#ARGV - 10) / 2 and keyAge >= ` + doneAge + ` and maxKeys >= ` + doneMost + `
if #digests > 0 then
  local found = redis.call('HMGET', KEYS[2], unpack(digests))
  for i, digest in ipairs(digests) do known[digest] = found[i] end
end
local size = redis.call('XLEN', KEYS[1])
local dropped, added, follows, reply = n - size, 0, false, {}
ms = math.max(ms, now)
for i = 11, #ARGV, 2 do
  local digest, answer = ARGV[i], '+'
  local first = digest ~= '' and known[digest]
  local at, number
  if first then at, number = split(first) end
  if at and at + keyAge >= now then
    answer, follows = '-', false
    if number > dropped and at + maxAge >= now then answer = first end
  else
    n, added = n + 1, added + 1
    last = num(ms) .. '-' .. num(n)
    redis.call('XADD', KEYS[1], last, 'e', ARGV[i + 1])
    if not follows then answer, follows = last, true end
    if digest ~= '' then
      known[digest] = last
      fields[#fields + 1], fields[#fields + 2], entries[#entries + 1] = digest, last, digest .. last
    end
  end
  reply[#reply + 1] = answer
end
if #fields > 0 then
  redis.call('HSET', KEYS[2], unpack(fields))
  redis.call('RPUSH', KEYS[3], unpack(entries))
end
if name ~= '' then redis.call('HSET', KEYS[7], 'p' .. name, ARGV[10]) end
if added > 0 then
  redis.call('SET', KEYS[6], last)
  size = size + added
  local surplus = math.min(size - maxEvents, added + ` + trimMost + `)
  if surplus > 0 then redis.call('XTRIM', KEYS[1], 'MAXLEN', '=', num(size - surplus)) end
  redis.call('XTRIM', KEYS[1], 'MINID', '~', num(math.max(now - maxAge, 0)), 'LIMIT', ` + trimMost + `)
end
local function forget(order, hash, age, most, same)
  local size = redis.call('LLEN', order)
  local head = redis.call('LINDEX', order, 0)
  if not head or (size <= most and split(string.sub(head, 17)) + age >= now) then return end
  local old, fields, gone = redis.call('LRANGE', order, 0, 2 * added + 16), {}, 0
  for _, entry in ipairs(old) do
    if size - gone <= most and split(string.sub(entry, 17)) + age >= now then break end
    gone = gone + 1
    local field = string.sub(entry, 1, 16)
    if not same or redis.call('HGET', hash, field) == string.sub(entry, 17) then fields[#fields + 1] = field end
  end
  redis.call('LTRIM', order, gone, -1)
  if #fields > 0 then redis.call('HDEL', hash, unpack(fields)) end
end
reply = table.concat(reply, ' ')
if name ~= '' or not knows then
  redis.call('HSET', KEYS[4], ARGV[2], reply)
  redis.call('RPUSH', KEYS[5], ARGV[2] .. num(now) .. '-0')
  forget(KEYS[5], KEYS[4], ` + doneAge + `, ` + doneMost + `, false)
end
forget(KEYS[3], KEYS[2], keyAge, maxKeys, true)
return reply
`)

const (
	// trimMost is how many events a script deletes beyond as many as it adds.
	trimMost = "2000"
	// doneAge is how long, in milliseconds, an attempt is known to be done, and
	// doneMost how many are at most: those of several seconds, under any load.
	doneAge, doneMost = "60000", "100000"
)

// pageScript reads the feed. ARGV is the time and the number of the position after
// which to begin, how many events to return at most, for how many milliseconds they
// are kept, and of how many bytes a page is. It returns the last position of the
// feed, and then the position and the value of each event. For 0 events it returns
// the position alone of the first that there is.
var pageScript = newScript(feedNow + feedLast + `
local limit, size, most = tonumber(ARGV[3]), 0, tonumber(ARGV[5])
local from, oldest = '(' .. ARGV[1] .. '-' .. ARGV[2], math.max(now - ARGV[4], 0)
if tonumber(ARGV[1]) < oldest then from = num(oldest) .. '-0' end
local page = {last}
if limit == 0 then
  local first = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)
  if first[1] then page[2] = first[1][1] end
  return page
end
repeat
  local want = math.min(limit, 32)
  local got = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', want)
  for _, entry in ipairs(got) do
    local value = entry[2][2] or ''
    size = size + #value
    if size > most and #page > 1 then return page end
    page[#page + 1], page[#page + 2] = entry[1], value
    from = '(' .. entry[1]
  end
  limit = limit - want
until #got < want or limit == 0
return page
`)

// leaseScript takes or prolongs a lease. ARGV is a [stamp], the name, the holder and
// the time to live in milliseconds. It returns the fence and the position, or nothing
// when somebody else has it. A fence is a time where that is greater than the one
// before and one more, so that fences grow even when Redis has lost some.
var leaseScript = newScript(feedNow + `
local name, holder = ARGV[2], ARGV[3]
local held = redis.call('HMGET', KEYS[7], 'h' .. name, 'f' .. name, 'u' .. name, 'p' .. name)
local fence = held[2]
if held[1] ~= holder then
  if held[3] and tonumber(held[3]) > now then return {} end
  fence = num(math.max((tonumber(fence) or 0) + 1, now))
end
redis.call('HSET', KEYS[7], 'h' .. name, holder, 'f' .. name, fence, 'u' .. name, num(now + ARGV[4]))
return {fence, held[4] or ''}
`)

// releaseScript ends a lease. ARGV is a [stamp], the name, the holder and the fence.
var releaseScript = newScript(`
local name = ARGV[2]
local held = redis.call('HMGET', KEYS[7], 'h' .. name, 'f' .. name)
if held[1] ~= ARGV[3] or held[2] ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[7], 'h' .. name, '', 'u' .. name, 0)
return 1
`)
