"""The conversations' Lua scripts: each is one atomic step on one learner's dialogue.

KEYS conversation, summary, earlier, fence; ARGV how long words are kept ms, mark, then what each
script says. Age is that of a turn's own time by Redis's clock; a summary is as old as the oldest
turn in it.
"""

from __future__ import annotations

from typing import Final

_AGED: Final = """
local talk, summary, earlier, fence, mark = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[2]
local clock = redis.call('TIME')
local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - ARGV[1]

local function drop_aged(list)
  for _, turn in ipairs(redis.call('LRANGE', list, 0, -1)) do
    local at = cjson.decode(turn).at
    -- Times grow from turn to turn; the mark has none.
    if at and at >= oldest then return end
    if at then redis.call('LREM', list, 1, turn) end
  end
end
"""

LOAD: Final = (
    _AGED
    + """
-- most turns that go back into the conversation. Returns its turns, summary or nil, earlier turns.
drop_aged(talk)
drop_aged(earlier)
local held = redis.call('GET', summary)
if held and (cjson.decode(held).since or 0) < oldest then
  redis.call('DEL', summary)
  held = false
  -- What was in it and is young enough is in no summary now: the next one begins with it.
  if redis.call('LINDEX', talk, 0) == mark then
    redis.call('LPOP', talk)
    for _ = 1, tonumber(ARGV[3]) do
      local turn = redis.call('RPOP', earlier)
      if not turn then break end
      redis.call('LPUSH', talk, turn)
    end
    redis.call('LPUSH', talk, mark)
  end
end
return {redis.call('LRANGE', talk, 0, -1), held, redis.call('LRANGE', earlier, 0, -1)}
"""
)

FILL: Final = (
    _AGED
    + """
-- ttl ms, most of the earlier, summary or '', the oldest and the newest time in it, then time and
-- turn of each.
local ttl, most, known, since, through = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local present = redis.call('LRANGE', talk, 0, -1)
if present[1] == mark then return 0 end
local erased = tonumber(redis.call('GET', fence) or -1)
if tonumber(since) < oldest then known, through = '', -1 end
redis.call('DEL', talk, earlier)
redis.call('RPUSH', talk, mark)
local there = {}
for _, turn in ipairs(present) do there[cjson.decode(turn).id] = true end
for i = 8, #ARGV, 2 do
  local at = tonumber(ARGV[i])
  if at > erased and at >= oldest and not there[cjson.decode(ARGV[i + 1]).id] then
    redis.call('RPUSH', at > through and talk or earlier, ARGV[i + 1])
  end
end
redis.call('LTRIM', earlier, -most, -1)
redis.call('PEXPIRE', earlier, ttl)
for _, turn in ipairs(present) do redis.call('RPUSH', talk, turn) end
redis.call('PEXPIRE', talk, ttl)
if known ~= '' and through > erased then redis.call('SET', summary, known, 'PX', ttl) end
return 1
"""
)

FOLD: Final = (
    _AGED
    + """
-- ttl ms, most of the earlier, summary, the oldest and the newest time in it.
local ttl, most, since, through = ARGV[3], ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[7])
if since < oldest or through <= tonumber(redis.call('GET', fence) or -1) then return 0 end
local known = redis.call('GET', summary)
if known and cjson.decode(known).through >= through then return 0 end
redis.call('SET', summary, ARGV[5], 'PX', ttl)
for _, turn in ipairs(redis.call('LRANGE', talk, 0, -1)) do
  local at = cjson.decode(turn).at
  if at and at <= through then
    redis.call('LREM', talk, 1, turn)
    redis.call('RPUSH', earlier, turn)
  end
end
drop_aged(earlier)
redis.call('LTRIM', earlier, -most, -1)
redis.call('PEXPIRE', earlier, ttl)
return 1
"""
)
