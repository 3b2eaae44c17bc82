"""The ledger's Lua scripts: each is one atomic step on one learner's keys.

KEYS reply, replies, fence, conversation, summary, earlier; ARGV ttl ms, then what each script says.
"""

from __future__ import annotations

from typing import Final

_HOLDS: Final = """
local reply, replies, fence, talk, ttl = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local GONE, LOST, HELD = -1, 0, 1
local function state(number)
  local claim, final = unpack(redis.call('HMGET', reply, 'claim', 'final'))
  if not claim then return GONE end
  return (claim == number and not final) and HELD or LOST
end
"""
"""GONE: nothing is known of this reply; an erasure has been, or Redis lost its data."""

CLAIM: Final = (
    _HOLDS
    + """
-- ingest time, reply id. Returns {final}, or {claim, attempt, open, tries}; nil: erased.
if tonumber(ARGV[2]) <= tonumber(redis.call('GET', fence) or -1) then return false end
local final = redis.call('HGET', reply, 'final')
if final then return {final} end
-- By the clock: where Redis has lost the last one, a new one must not look like it.
local clock = redis.call('TIME')
local number = clock[1] * 1000 + math.floor(clock[2] / 1000)
number = math.max(number, tonumber(redis.call('HGET', reply, 'claim') or 0) + 1)
redis.call('HSET', reply, 'claim', string.format('%.0f', number))
redis.call('SADD', replies, ARGV[3])
redis.call('PEXPIRE', reply, ttl)
redis.call('PEXPIRE', replies, ttl)
local known = redis.call('HMGET', reply, 'attempt', 'open', 'tries')
return {number, known[1] or 0, known[2] or 0, known[3] or 0}
"""
)

BEGIN: Final = (
    _HOLDS
    + """
-- claim, attempt.
local now = state(ARGV[2])
if now ~= HELD then return now end
redis.call('HSET', reply, 'attempt', ARGV[3], 'open', ARGV[3])
return 1
"""
)

CLOSE: Final = (
    _HOLDS
    + """
-- claim.
local now = state(ARGV[2])
if now ~= HELD then return now end
redis.call('HDEL', reply, 'open')
return 1
"""
)

FINISH: Final = (
    _HOLDS
    + """
-- claim, ingest time, reply, credit, ttl of the conversation ms, then turns of it. Returns what
-- stands, or a number as the others.
if tonumber(ARGV[3]) <= tonumber(redis.call('GET', fence) or -1) then return LOST end
local final = redis.call('HGET', reply, 'final')
if final then return final end
local now = state(ARGV[2])
if now ~= HELD then return now end
redis.call('HSET', reply, 'final', ARGV[4], 'credit', ARGV[5])
redis.call('HDEL', reply, 'open')
redis.call('PEXPIRE', reply, ttl)
for i = 7, #ARGV do redis.call('RPUSH', talk, ARGV[i]) end
-- All that is kept of a dialogue lives as long as the dialogue does. It was read before something
-- is added to it, and what was too old dropped then; without that, nothing keeps it alive.
if #ARGV >= 7 then
  for i = 4, 6 do redis.call('PEXPIRE', KEYS[i], ARGV[6]) end
end
return ARGV[4]
"""
)

PARK: Final = (
    _HOLDS
    + """
-- claim, request, how often it has been put off with this time: no more for a repeated call.
local now = state(ARGV[2])
if now ~= HELD then return now end
redis.call('HSET', reply, 'request', ARGV[3], 'tries', ARGV[4])
redis.call('HDEL', reply, 'open')
return 1
"""
)

RATE: Final = """
-- feedback id. Returns the credit, or nil.
local credit, rated = unpack(redis.call('HMGET', KEYS[1], 'credit', 'rated'))
if not credit or credit == '' or (rated and rated ~= ARGV[2]) then return false end
redis.call('HSET', KEYS[1], 'rated', ARGV[2])
return credit
"""

TAKE_DUE: Final = """
-- KEYS parked; ARGV now, when to look again at those that are taken, limit.
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], member) end
return due
"""

FORGET: Final = """
-- KEYS replies, fence, then the learner's other keys; ARGV erased at, ttl ms, prefix of replies.
-- Where the fence stands already the erasure has been made: what is there came later.
if tonumber(redis.call('GET', KEYS[2]) or -1) >= tonumber(ARGV[1]) then return 0 end
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do redis.call('DEL', ARGV[3] .. id) end
redis.call('DEL', KEYS[1])
for i = 3, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
