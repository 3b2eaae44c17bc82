"""The push log's Lua scripts: each runs atomically on one learner's keys.

Keys, all in one Redis Cluster slot (`{...}` is the learner):
    meta   hash    epoch, offset, run; h:<topic>:<partition> highest appended source offset;
                   v:<kind> newest version, b:<kind> its whole body, o:<kind> its offset;
                   c:<kind> which superseded pushes still hold their event ids, as JSON:
                            [floor, offset, ids, offset, ids, ...]; up to `floor` none does
                   waiting  recommendations whose state has not come yet, as JSON
    log    list    entries, oldest first; the newest has the offset in `meta`
    ids    set     event ids of the entries in `log`
    fence  string  an erasure's time, ms; what was ingested up to it no longer counts

An entry is `event id \\n kind \\n causedBy as JSON \\n body`: ids are printable and JSON
from orjson has no raw line feed, so that the first three are separators. What is
published is `epoch \\n offset \\n entry`.

Of states, recommendations and every other kind of which the latest wins
(`agents.runtime.ports.PushKind`) only the newest is kept whole. What it supersedes becomes
a stub in its place: kind `-<kind>`, the same causedBy, body `{"type":"superseded"}`. The
stubs of a kind hold `MOST_CAUSES` event ids together at most; older stubs lose theirs.

Upgrades: the last release's entries are all whole, and are read as they are. Its gateways
pass a stub on as a message of type `superseded`, which a page ignores as it does every type
that it does not know. Its push workers leave whole entries, which go as the log is trimmed.
"""

from __future__ import annotations

from typing import Final

from agents.runtime.ports import PushKind

# What a demoted primary still holds is old. It goes on answering on connections that it has, so
# that reads refuse it here; writes are refused by Redis itself.
_PRIMARY: Final = """
if string.find(redis.call('INFO', 'replication'), 'role:slave', 1, true) then
  return redis.error_reply('READONLY this server is a replica')
end
"""

MOST_CAUSES: Final = 64
"""Event ids that the superseded pushes of one kind in a log hold together, at most."""

# A Redis that restarted or was promoted may have lost writes that it had
# acknowledged. A client that has seen such a lost push would take a later one with
# the same offset for it: a silent hole. So an epoch outlives a restart only where
# nothing that was acknowledged can have been lost with the process (append-only file,
# never a replica). The list is kept either way: old offsets just stop being answered.
_OPEN: Final = """
local function open(meta, log, ids, fresh, ttl)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  local epoch, offset, known = unpack(redis.call('HMGET', meta, 'epoch', 'offset', 'run'))
  if not epoch then
    -- Only what is there: a script that has written once is not held to maxmemory any more.
    if redis.call('EXISTS', log, ids) > 0 then redis.call('DEL', log, ids) end
    redis.call('HSET', meta, 'epoch', fresh, 'offset', 0, 'run', run)
    redis.call('PEXPIRE', meta, ttl)
    return fresh, 0
  end
  if known ~= run then
    local aof = string.find(redis.call('INFO', 'persistence'), 'aof_enabled:1', 1, true)
    local first_master = string.find(
      redis.call('INFO', 'replication'), 'master_replid2:' .. string.rep('0', 40), 1, true)
    if not (aof and first_master) then epoch = fresh end
    redis.call('HSET', meta, 'epoch', epoch, 'run', run)
  end
  return epoch, tonumber(offset)
end
"""

APPEND: Final = (
    _OPEN
    + """
-- KEYS meta log ids fence; ARGV fresh epoch, ttl ms, log length, channel, then per push:
-- source, source offset, event id, kind, version or '', ingest time, causedBy, body,
-- whole body or '' where it is the same
-- A push of kind '' is a tombstone: nothing of which the latest wins counts any more.
-- Returns {epoch, offset or 0 for each push}; 0 for one that waits, too.
local meta, log, ids, fence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, length, channel = ARGV[2], tonumber(ARGV[3]), ARGV[4]

if redis.call('EXISTS', meta) == 0 then
  -- A tombstone begins no log.
  local nothing = {''}
  for i = 5, #ARGV, 9 do
    if ARGV[i + 3] == '' then nothing[#nothing + 1] = 0 end
  end
  if #nothing == 1 + (#ARGV - 4) / 9 then return nothing end
end
local epoch, head = open(meta, log, ids, ARGV[1], ttl)
local erased_at = tonumber(redis.call('GET', fence) or -1)
local state, advice = 'STATE', 'ADVICE'
local KINDS, latest_wins = {LATEST_WINS}, {}
for _, kind in ipairs(KINDS) do latest_wins[kind] = true end
local WAITING = 64  -- a state that never comes must not hold its advice for ever
local appended = false

-- The entry at an offset and its place in the list; nil where it has left the window.
local function at(offset)
  local index = offset - (head - redis.call('LLEN', log)) - 1
  if index < 0 then return nil end
  return redis.call('LINDEX', log, index), index
end

local function stub(index, id, kind, causes)
  redis.call('LSET', log, index,
    id .. '\\n-' .. kind .. '\\n' .. causes .. '\\n{"type":"superseded"}')
end

-- The newest of this kind is about to have a successor.
local function supersede(kind)
  local place = tonumber(redis.call('HGET', meta, 'o:' .. kind) or 0)
  local entry, index = at(place)
  if not entry then return end
  local id, is, causes = string.match(entry, '^([^\\n]*)\\n([^\\n]*)\\n([^\\n]*)\\n')
  if is ~= kind then return end
  stub(index, id, kind, causes)
  local count = #cjson.decode(causes)
  if count == 0 then return end
  local held = cjson.decode(redis.call('HGET', meta, 'c:' .. kind) or '[0]')
  held[#held + 1] = place
  held[#held + 1] = count
  local total = 0
  for i = 3, #held, 2 do total = total + held[i] end
  while total > MOST_CAUSES do
    local old, where = at(held[2])
    if old then stub(where, string.match(old, '^[^\\n]*'), kind, '[]') end
    total = total - held[3]
    table.remove(held, 1)
    table.remove(held, 2)  -- held[1] is the floor: the offset that has just lost its ids
  end
  redis.call('HSET', meta, 'c:' .. kind, cjson.encode(held))
end

local function put(id, kind, version, ingested, caused_by, body, whole)
  local newest = redis.call('HGET', meta, 'v:' .. kind)
  if version ~= '' and newest and tonumber(version) < tonumber(newest) then return 0 end
  if tonumber(ingested) <= erased_at or redis.call('SADD', ids, id) == 0 then return 0 end
  if latest_wins[kind] then supersede(kind) end
  head = redis.call('HINCRBY', meta, 'offset', 1)
  local entry = id .. '\\n' .. kind .. '\\n' .. caused_by .. '\\n' .. body
  if redis.call('RPUSH', log, entry) > length then
    local dropped = redis.call('LPOP', log)
    redis.call('SREM', ids, string.sub(dropped, 1, string.find(dropped, '\\n', 1, true) - 1))
  end
  if version ~= '' then
    if whole == '' then whole = body end
    redis.call('HSET', meta, 'v:' .. kind, version, 'b:' .. kind, whole, 'o:' .. kind, head)
  end
  redis.call('PUBLISH', channel, epoch .. '\\n' .. head .. '\\n' .. entry)
  appended = true
  return head
end

local function keep_waiting(wanted)
  local waiting = cjson.decode(redis.call('HGET', meta, 'waiting') or '[]')
  local kept = {}
  for place, each in ipairs(waiting) do
    if wanted(each, #waiting - place) then kept[#kept + 1] = each end
  end
  if #kept == #waiting then return end
  if #kept == 0 then
    redis.call('HDEL', meta, 'waiting')
  else
    redis.call('HSET', meta, 'waiting', cjson.encode(kept))
  end
end

-- States and recommendations come by different topics, in either order. A client sees the
-- state first, so recommendations wait for the state that they were made from.
local function release(version)
  keep_waiting(function(each, behind)
    if tonumber(each[3]) > version and behind < WAITING then return true end
    put(each[1], advice, each[3], each[4], each[5], each[6], '')
    return false
  end)
end

local function wait(id, version, ingested, caused_by, body)
  local waiting = cjson.decode(redis.call('HGET', meta, 'waiting') or '[]')
  waiting[#waiting + 1] = {id, advice, version, ingested, caused_by, body}
  redis.call('HSET', meta, 'waiting', cjson.encode(waiting))
end

local result = {epoch}
for i = 5, #ARGV, 9 do
  local source, position = 'h:' .. ARGV[i], tonumber(ARGV[i + 1])
  local id, kind, version = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local seen = redis.call('HGET', meta, source)
  local offset = 0
  if position < 0 or not (seen and tonumber(seen) >= position) then
    -- Of no topic (a reply that is being written): its id alone tells whether it is new.
    if position >= 0 then redis.call('HSET', meta, source, ARGV[i + 1]) end
    local known = tonumber(redis.call('HGET', meta, 'v:' .. state) or -1)
    if kind == '' then
      for _, each in ipairs(KINDS) do
        redis.call('HDEL', meta, 'v:' .. each, 'b:' .. each, 'o:' .. each)
      end
      -- What waits may be of the life that begins: its topic may be ahead of this one.
      keep_waiting(function(each) return tonumber(each[4]) > erased_at end)
    elseif kind == advice and tonumber(version) > known
      and tonumber(ARGV[i + 5]) > erased_at then
      wait(id, version, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7])
      release(known)
    else
      offset = put(id, kind, version, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8])
      if kind == state then release(tonumber(version)) end
    end
  end
  result[#result + 1] = offset
end
if appended then
  redis.call('PEXPIRE', meta, ttl)
  redis.call('PEXPIRE', log, ttl)
  redis.call('PEXPIRE', ids, ttl)
end
return result
""".replace("MOST_CAUSES", str(MOST_CAUSES))
    .replace("LATEST_WINS", ", ".join(f"'{kind}'" for kind in PushKind.latest_wins()))
    .replace("'STATE', 'ADVICE'", f"'{PushKind.STATE}', '{PushKind.RECOMMENDATIONS}'")
)

LATEST: Final = (
    _PRIMARY
    + _OPEN
    + """
-- KEYS meta log ids; ARGV fresh epoch, ttl ms, kind... Returns {epoch, offset, body or nil...}.
local epoch, head = open(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local result = {epoch, head}
for i = 3, #ARGV do
  result[#result + 1] = redis.call('HGET', KEYS[1], 'b:' .. ARGV[i])
end
return result
"""
)

SINCE: Final = (
    _PRIMARY
    + _OPEN
    + """
-- KEYS meta log ids; ARGV fresh epoch, ttl ms, asked epoch, asked offset, most entries or -1,
-- kinds that are superseded...
-- Returns {1 if stubs after that offset have lost event ids, else 0; the entries after it},
-- or nil when they are not known.
local epoch, head = open(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local after = tonumber(ARGV[4])
local first = head - redis.call('LLEN', KEYS[2])
if epoch ~= ARGV[3] or after > head or after < first then return false end
local lost = 0
for i = 6, #ARGV do
  local floor = string.match(redis.call('HGET', KEYS[1], 'c:' .. ARGV[i]) or '', '%d+')
  if floor and tonumber(floor) > after then lost = 1 end
end
local most = tonumber(ARGV[5])
local last = most < 0 and -1 or after - first + most - 1
return {lost, redis.call('LRANGE', KEYS[2], after - first, last)}
"""
)

FORGET: Final = """
-- KEYS meta log ids fence; ARGV erasure time ms, ttl ms, channel.
-- The fence holds no data of the learner but when it was erased; it goes with its ttl.
-- Where it stands already the erasure has been made: what is in the log came later.
if tonumber(redis.call('GET', KEYS[4]) or -1) >= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
redis.call('SET', KEYS[4], ARGV[1], 'PX', ARGV[2])
redis.call('PUBLISH', ARGV[3], '')
return 1
"""
