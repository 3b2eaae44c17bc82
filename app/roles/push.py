"""The role that fills the learners' push logs in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from redis.asyncio import Redis

from agents import push
from app.roles import Agent, Parts, stateless
from app.stores.pushlog import PushLog
from app.topics import logical

_TIMEOUT = 5.0


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Append what the learner worker says to Redis."""
    settings = parts.settings
    redis = Redis.from_url(
        settings.redis.url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
    )
    try:
        run = partial(
            push.run,
            log=PushLog(redis, settings.redis),
            dead_letters=parts.dead_letters,
            window=parts.window,
            logical=partial(logical, settings),
            batch_size=settings.worker.batch_size,
            waiting_for=partial(setattr, parts.watch, "waiting_for"),
        )
        yield stateless(parts, push.TOPICS, run)
    finally:
        await redis.aclose()
