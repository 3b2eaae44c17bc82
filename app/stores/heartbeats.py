"""Worker roles tell how they are through Redis: a key per instance that expires by itself."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

import orjson
from redis.asyncio import Redis

from app.settings import ROLES, RedisSettings, Role

RoleState = Literal["starting", "recovering", "ready", "degraded"]

FRESH_SECONDS = 5.0
"""A beat older than this is gone: the key expires (five beats at one a second)."""


class Beat(TypedDict):
    """How one worker instance is."""

    role: Role
    instance: str
    state: RoleState
    detail: str
    lag: int | None
    """Records it has yet to acknowledge, over all its partitions; None: not yet known."""
    at: int
    """UTC milliseconds."""
    metrics: str
    """Where its /metrics are, host:port."""
    reads: NotRequired[int]
    """The newest format of its role's records that it reads (app/formats.py)."""


def _key(settings: RedisSettings, role: str, instance: str) -> str:
    return f"{settings.prefix}:beat:{role}:{instance}"


async def beat(redis: Redis, settings: RedisSettings, one: Beat) -> None:
    """Tell; to be repeated every second. Raises redis.exceptions.RedisError."""
    await redis.set(
        _key(settings, one["role"], one["instance"]),
        orjson.dumps(one),
        px=int(FRESH_SECONDS * 1000),
    )


async def retire(redis: Redis, settings: RedisSettings, role: Role, instance: str) -> None:
    """This instance has ended. Raises redis.exceptions.RedisError."""
    await redis.delete(_key(settings, role, instance))


async def roles(redis: Redis, settings: RedisSettings) -> dict[str, list[dict[str, Any]]]:
    """Each role's fresh beats, an empty list for a role that nobody plays.

    Raises redis.exceptions.RedisError.
    """
    found: dict[str, list[dict[str, Any]]] = {role: [] for role in ROLES}
    keys = [key async for key in redis.scan_iter(match=f"{settings.prefix}:beat:*", count=500)]
    # One GET each: with cluster mode on, keys of different slots cannot be asked for together.
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    for value in await pipeline.execute():
        if value is not None:
            one = orjson.loads(value)
            found.setdefault(one["role"], []).append(one)
    return found
