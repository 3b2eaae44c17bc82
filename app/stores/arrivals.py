"""Who has just connected, told by gateways to whoever prepares for them, over Redis pub/sub.

Nothing depends on it being heard: what was not prepared is done when it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.settings import RedisSettings

log = structlog.get_logger(__name__)

_BACKOFF: Final = 1.0
"""Seconds until a lost subscription is made again."""


def _channel(settings: RedisSettings) -> str:
    return f"{settings.prefix}:arrivals"


async def announce(redis: Redis, settings: RedisSettings, user_id: str) -> None:
    """This learner is here. Never raises."""
    with suppress(RedisError, OSError):
        await redis.publish(_channel(settings), user_id)


async def arrivals(redis: Redis, settings: RedisSettings) -> AsyncIterator[str]:
    """Learners as they come, for ever."""
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(_channel(settings))
                async for message in pubsub.listen():
                    yield message["data"].decode()
        except (RedisError, OSError) as error:
            log.debug("arrivals_not_heard", error=type(error).__name__)
        await asyncio.sleep(_BACKOFF)
