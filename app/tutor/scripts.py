"""The tutor's Lua scripts: each is one atomic step on Redis.

Time is Redis's own, so that workers whose clocks differ agree on when a circuit closes.

Health of a provider, a hash, gone when idle:
    failures   in a row while closed        failed_at      ms, of the last one
    trips      how often it opened in a row; 0 or absent: closed
    open_until ms                           probe_until    ms, lease of the one trial
    cool_until ms, what a 429 asked for
"""

from __future__ import annotations

from typing import Final

_NOW: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# Milliseconds to wait (0: may be asked), and trips (0: closed).
_LOOK: Final = """
local LOOK_AGAIN = 250
local function look(key)
  local f = redis.call('HMGET', key, 'cool_until', 'trips', 'open_until', 'probe_until')
  local trips = tonumber(f[2] or 0)
  local wait = tonumber(f[1] or 0) - now
  if trips > 0 then
    wait = math.max(wait, tonumber(f[3] or 0) - now)
    -- A trial is over long before its lease; who waits for it looks again soon.
    wait = math.max(wait, math.min(tonumber(f[4] or 0) - now, LOOK_AGAIN))
  end
  return math.max(wait, 0), trips
end
"""

STATUSES: Final = (
    _NOW
    + _LOOK
    + """
-- KEYS one for each provider. Returns wait, trips of each.
local result = {}
for _, key in ipairs(KEYS) do
  local wait, trips = look(key)
  result[#result + 1] = wait
  result[#result + 1] = trips
end
return result
"""
)

ENTER: Final = (
    _NOW
    + _LOOK
    + """
-- KEYS provider; ARGV lease of a trial, ms; ttl ms. Returns wait, 1 if this is the trial.
local wait, trips = look(KEYS[1])
if wait > 0 then return {wait, 0} end
if trips == 0 then return {0, 0} end
redis.call('HSET', KEYS[1], 'probe_until', now + ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {0, 1}
"""
)

LEAVE: Final = (
    _NOW
    + """
-- KEYS provider; ARGV verdict (success, failure, neutral), 1 if it was the trial, failures it
-- counts for, cooldown ms, threshold, window ms, open ms, longest open ms, ttl ms.
-- Returns trips.
local key, verdict, trial = KEYS[1], ARGV[1], ARGV[2] == '1'
local f = redis.call('HMGET', key, 'trips', 'failures', 'failed_at', 'cool_until')
local trips, failures = tonumber(f[1] or 0), tonumber(f[2] or 0)

local function open(times)
  local pause = math.min(ARGV[7] * 2 ^ math.min(times - 1, 30), tonumber(ARGV[8]))
  redis.call('HSET', key, 'trips', times, 'open_until', now + math.ceil(pause))
  redis.call('HDEL', key, 'probe_until', 'failures', 'failed_at')
  trips = times
end

if trips > 0 and not trial then
  verdict = 'neutral'  -- began before the circuit opened, and is no news
end
if verdict == 'success' then
  redis.call('HDEL', key, 'trips', 'open_until', 'probe_until', 'failures', 'failed_at')
  trips = 0
elseif verdict == 'failure' and trips > 0 then
  open(trips + 1)
elseif verdict == 'failure' then
  if now - tonumber(f[3] or 0) > tonumber(ARGV[6]) then failures = 0 end
  failures = failures + ARGV[3]
  redis.call('HSET', key, 'failures', failures, 'failed_at', now)
  if failures >= tonumber(ARGV[5]) then open(1) end
elseif trial then
  redis.call('HDEL', key, 'probe_until')
end
if tonumber(ARGV[4]) > 0 then
  local until_ = now + ARGV[4]
  if until_ > tonumber(f[4] or 0) then redis.call('HSET', key, 'cool_until', until_) end
end
if redis.call('EXISTS', key) == 1 then redis.call('PEXPIRE', key, ARGV[9]) end
return trips
"""
)

# A learner's day, a hash: `tokens` and `micros`, with all that is set aside; and for each
# reservation by its id
#     open:<id>    'tokens micros until', until when it is held, ms
#     lapsed:<id>  its time was over, and it no longer counts: what was used may still be added
# One that was settled leaves nothing, so that it cannot be settled again.
RESERVE: Final = (
    _NOW
    + """
-- KEYS user's day, fence; ARGV id, tokens, micros, lease ms, limit of tokens or '', of micros or
-- '', ttl s, when it was asked ms or ''. Returns 'ok', or what stands against it.
local day, id, tokens, micros = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if ARGV[8] ~= '' and tonumber(ARGV[8]) <= tonumber(redis.call('GET', KEYS[2]) or -1) then
  return 'erasure'
end
local function add(to_tokens, to_micros)
  redis.call('HINCRBY', day, 'tokens', to_tokens)
  redis.call('HINCRBY', day, 'micros', to_micros)
end
local fields = redis.call('HGETALL', day)
for i = 1, #fields, 2 do
  local held = string.match(fields[i], '^open:(.*)$')
  if held then
    local t, m, ends = string.match(fields[i + 1], '(%S+) (%S+) (%S+)')
    if tonumber(ends) <= now then
      -- Of a worker that died, or that never learned that it was made.
      add(0 - tonumber(t), 0 - tonumber(m))
      redis.call('HDEL', day, fields[i])
      redis.call('HSET', day, 'lapsed:' .. held, 1)
    end
  end
end
local used = redis.call('HMGET', day, 'tokens', 'micros')
if ARGV[5] ~= '' and tonumber(used[1] or 0) + tokens > tonumber(ARGV[5]) then return 'tokens' end
if ARGV[6] ~= '' and tonumber(used[2] or 0) + micros > tonumber(ARGV[6]) then return 'cost' end
add(tokens, micros)
redis.call('HSET', day, 'open:' .. id,
  ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. string.format('%.0f', now + ARGV[4]))
redis.call('EXPIRE', day, ARGV[7])
return 'ok'
"""
)

SETTLE: Final = """
-- KEYS user's day; ARGV id, tokens, micros that were used. Returns 0 where the reservation is
-- not known: it was settled, or the day has been erased or is over.
local day, tokens, micros = KEYS[1], 0, 0
local held = redis.call('HGET', day, 'open:' .. ARGV[1])
if held then
  tokens, micros = string.match(held, '(%S+) (%S+)')
  redis.call('HDEL', day, 'open:' .. ARGV[1])
elseif redis.call('HDEL', day, 'lapsed:' .. ARGV[1]) == 0 then
  return 0
end
redis.call('HINCRBY', day, 'tokens', ARGV[2] - tokens)
redis.call('HINCRBY', day, 'micros', ARGV[3] - micros)
return 1
"""

LEARN: Final = """
-- KEYS outcomes, mark of what counts once or none; ARGV half-life s, now s, ttl of the mark s,
-- then per outcome: cell, value. Returns 0 where the mark was there.
-- The same sums as models.tutor.providers.evidence.Evidence.plus.
if KEYS[2] and not redis.call('SET', KEYS[2], 1, 'NX', 'EX', ARGV[3]) then return 0 end
local half_life, now = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 4, #ARGV, 2 do
  local cell, value = ARGV[i], tonumber(ARGV[i + 1])
  local weight, total, square, at = 0, 0, 0, now
  local found = redis.call('HGET', KEYS[1], cell)
  if found then
    local w, t, s, a = string.match(found, '(%S+) (%S+) (%S+) (%S+)')
    weight, total, square, at = tonumber(w), tonumber(t), tonumber(s), tonumber(a)
  end
  local kept = 0.5 ^ (math.max(0, now - at) / half_life)
  redis.call('HSET', KEYS[1], cell, string.format('%.17g %.17g %.17g %.17g',
    weight * kept + 1, total * kept + value, square * kept + value * value, math.max(now, at)))
end
return 1
"""
