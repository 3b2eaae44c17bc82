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
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from app.settings import RedisSettings

log = structlog.get_logger(__name__)

_BACKOFF: Final = 1.0
"""Seconds until a lost subscription is made again."""
_PING_INTERVAL: Final = 5.0
"""Seconds of silence until the connection is asked whether it lives, and until it must answer."""


def _channel(settings: RedisSettings) -> str:
    return f"{settings.prefix}:arrivals"


async def announce(redis: Redis, settings: RedisSettings, user_id: str) -> None:
    """This learner is here. Never raises."""
    with suppress(RedisError, OSError):
        await redis.publish(_channel(settings), user_id)


async def arrivals(redis: Redis, settings: RedisSettings) -> AsyncIterator[str]:
    """Learners as they come, without an end. A connection that is lost or silent is made anew."""
    while True:
        try:
            async for user_id in _heard(redis, _channel(settings)):
                yield user_id
        except (RedisError, OSError) as error:
            log.debug("arrivals.connection_lost", error=type(error).__name__, action="retrying")
        await asyncio.sleep(_BACKOFF)


async def _heard(redis: Redis, channel: str) -> AsyncIterator[str]:
    """What one connection hears. Raises RedisError when it is lost, or a ping has no answer."""
    asked_for_life = False
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(channel)
        while True:
            message = await pubsub.get_message(timeout=_PING_INTERVAL)
            if message is None:
                if asked_for_life:
                    raise RedisConnectionError("Redis did not answer a ping")
                asked_for_life = True
                await pubsub.ping()
                continue
            asked_for_life = False
            if message["type"] == "message":
                yield message["data"].decode()
