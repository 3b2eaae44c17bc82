"""Worker roles tell how they are through Redis: all beats stand in one hash, each with its time.

One key, so that reading them costs one command, whatever else Redis holds, and so that
a Redis Cluster can serve it. The times are those of the Redis server: a worker's clock
may be wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, NamedTuple, NotRequired, TypedDict

import orjson
from redis.asyncio import Redis

from app.settings import RedisSettings

RoleState = Literal["starting", "recovering", "ready", "degraded"]

FRESH_SECONDS = 5.0
"""A beat older than this does not count (five beats at one a second)."""
_SWEPT: Final = 100
"""Stale beats that one look deletes at most."""
_KEPT_MS: Final = 60_000
"""The hash goes by itself, this long after the last beat."""

# Each value is `milliseconds:JSON`.
_BEAT: Final = """
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], now .. ':' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
_FRESH: Final = """
local t = redis.call('TIME')
local oldest = t[1] * 1000 + math.floor(t[2] / 1000) - ARGV[1]
local fresh, stale = {}, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, beat = string.match(all[i + 1], '^(%d+):(.*)$')
  if at and tonumber(at) >= oldest then
    fresh[#fresh + 1] = beat
  elseif #stale < tonumber(ARGV[2]) then
    stale[#stale + 1] = all[i]
  end
end
if #stale > 0 then redis.call('HDEL', KEYS[1], unpack(stale)) end
return fresh
"""


class Beat(TypedDict):
    """How one worker instance is."""

    role: str
    instance: str
    state: RoleState
    detail: str
    lag: int | None
    """Records it has yet to acknowledge, over all its partitions; None: not yet known."""
    at: int
    """UTC milliseconds."""
    metrics: str
    """Where its /metrics are, host:port."""
    behind: NotRequired[float | None]
    """Seconds that the oldest of those may have waited, at most; None: not known."""
    reads: NotRequired[int]
    """The newest format of its role's records that it reads (app/worker/formats.py)."""


class GroupMember(NamedTuple):
    """A member of a role's consumer group (`app.kafka.admin.group_members`)."""

    client_id: str
    """As the member called itself; of one with a name Kafka keeps its first predecessor's."""
    member_id: str
    """Made by the broker: the member's name, or else its client id, and a UUID behind it."""


def client_id(group_prefix: str, role: str, instance: str) -> str:
    """How a worker calls itself towards Kafka, so that the group's members tell who they are."""
    return f"{group_prefix}-{role}@{instance}"


def static_name(role: str, instance: str) -> str:
    """A named worker's `group.instance.id`: whoever comes under it takes its place."""
    return f"{instance}-{role}"


def unheard(
    members: Iterable[GroupMember], role: str, beats: Iterable[dict[str, Any]]
) -> list[GroupMember]:
    """Members of a role's group without a fresh beat among these.

    Such a member is of the release before this one (its beat stands elsewhere), or it
    has just begun, or Redis has not heard of it for another reason: what it can read is
    not known.

    Args:
        members: of the group.
        role: whose group it is.
        beats: the role's fresh ones.
    """
    known = {beat["instance"] for beat in beats}
    named = tuple(f"{static_name(role, instance)}-" for instance in known)
    return [
        one
        for one in members
        if one.client_id.partition("@")[2] not in known and not one.member_id.startswith(named)
    ]


def _key(settings: RedisSettings) -> str:
    return f"{settings.prefix}:beats"


def _key_of_before(settings: RedisSettings, role: str, instance: str) -> str:
    """Where gateways of the release before look; they are not ready without all roles' beats."""
    return f"{settings.prefix}:beat:{role}:{instance}"


async def beat(redis: Redis, settings: RedisSettings, one: Beat) -> None:
    """Tell; to be repeated every second. Raises redis.exceptions.RedisError."""
    told = orjson.dumps(one)
    await redis.register_script(_BEAT)(
        keys=[_key(settings)], args=[f"{one['role']}:{one['instance']}", told, _KEPT_MS]
    )
    await redis.set(
        _key_of_before(settings, one["role"], one["instance"]),
        told,
        px=int(FRESH_SECONDS * 1000),
    )


async def retire(redis: Redis, settings: RedisSettings, role: str, instance: str) -> None:
    """This instance has ended. Raises redis.exceptions.RedisError."""
    await redis.hdel(_key(settings), f"{role}:{instance}")
    await redis.delete(_key_of_before(settings, role, instance))


async def roles(redis: Redis, settings: RedisSettings) -> Mapping[str, list[dict[str, Any]]]:
    """Each role's fresh beats; an empty list for a role that nobody plays.

    Deletes stale ones that it meets. Raises redis.exceptions.RedisError.
    """
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    told = await redis.register_script(_FRESH)(
        keys=[_key(settings)], args=[int(FRESH_SECONDS * 1000), _SWEPT]
    )
    for value in told:
        one = orjson.loads(value)
        found[one["role"]].append(one)
    return found
