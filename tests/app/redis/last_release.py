"""Redis scripts of the last release, word for word: what it wrote and how it read, side by side."""

from __future__ import annotations

from typing import Final

_OPEN: Final = """
local function open(meta, log, ids, fresh, ttl)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
  local epoch, offset, known = unpack(redis.call('HMGET', meta, 'epoch', 'offset', 'run'))
  if not epoch then
    redis.call('DEL', log, ids)
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
-- source, source offset, event id, kind, version or '', ingest time, causedBy, body
-- Returns {epoch, offset or 0 for each push}; 0 for one that waits, too.
local meta, log, ids, fence = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, length, channel = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local epoch, head = open(meta, log, ids, ARGV[1], ttl)
local erased_at = tonumber(redis.call('GET', fence) or -1)
local state, advice = 'user_state_update', 'recommendations'
local WAITING = 64  -- a state that never comes must not hold its advice for ever
local appended = false

local function put(id, kind, version, ingested, caused_by, body)
  local newest = redis.call('HGET', meta, 'v:' .. kind)
  if version ~= '' and newest and tonumber(version) < tonumber(newest) then return 0 end
  if tonumber(ingested) <= erased_at or redis.call('SADD', ids, id) == 0 then return 0 end
  head = redis.call('HINCRBY', meta, 'offset', 1)
  local entry = id .. '\\n' .. kind .. '\\n' .. caused_by .. '\\n' .. body
  if redis.call('RPUSH', log, entry) > length then
    local dropped = redis.call('LPOP', log)
    redis.call('SREM', ids, string.sub(dropped, 1, string.find(dropped, '\\n', 1, true) - 1))
  end
  if version ~= '' then
    redis.call('HSET', meta, 'v:' .. kind, version, 'b:' .. kind, body)
  end
  redis.call('PUBLISH', channel, epoch .. '\\n' .. head .. '\\n' .. entry)
  appended = true
  return head
end

-- States and recommendations come by different topics, in either order. A client sees the
-- state first, so recommendations wait for the state that they were made from.
local function release(version)
  local waiting = cjson.decode(redis.call('HGET', meta, 'waiting') or '[]')
  local kept = {}
  for place, each in ipairs(waiting) do
    if tonumber(each[3]) <= version or place <= #waiting - WAITING then
      put(each[1], advice, each[3], each[4], each[5], each[6])
    else
      kept[#kept + 1] = each
    end
  end
  if #kept == #waiting then return end
  if #kept == 0 then
    redis.call('HDEL', meta, 'waiting')
  else
    redis.call('HSET', meta, 'waiting', cjson.encode(kept))
  end
end

local function wait(id, version, ingested, caused_by, body)
  local waiting = cjson.decode(redis.call('HGET', meta, 'waiting') or '[]')
  waiting[#waiting + 1] = {id, advice, version, ingested, caused_by, body}
  redis.call('HSET', meta, 'waiting', cjson.encode(waiting))
end

local result = {epoch}
for i = 5, #ARGV, 8 do
  local source, position = 'h:' .. ARGV[i], tonumber(ARGV[i + 1])
  local id, kind, version = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local seen = redis.call('HGET', meta, source)
  local offset = 0
  if position < 0 or not (seen and tonumber(seen) >= position) then
    -- Of no topic (a reply that is being written): its id alone tells whether it is new.
    if position >= 0 then redis.call('HSET', meta, source, ARGV[i + 1]) end
    local known = tonumber(redis.call('HGET', meta, 'v:' .. state) or -1)
    if kind == advice and tonumber(version) > known then
      wait(id, version, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7])
      release(known)
    else
      offset = put(id, kind, version, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7])
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
"""
)

SINCE: Final = (
    _OPEN
    + """
-- KEYS meta log ids; ARGV fresh epoch, ttl ms, asked epoch, asked offset.
-- Returns the entries after that offset, or nil when they are not known.
local epoch, head = open(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2])
local after = tonumber(ARGV[4])
local first = head - redis.call('LLEN', KEYS[2])
if epoch ~= ARGV[3] or after > head or after < first then return false end
return redis.call('LRANGE', KEYS[2], after - first, -1)
"""
)
