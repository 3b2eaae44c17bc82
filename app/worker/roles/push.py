"""The role that fills the learners' push logs in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from agents.runtime.topics import (
    ERASURES,
    INTERVENTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    USER_STATE,
)
from app.worker.role import Agent, Parts, Role, lag_of, stateless


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Append what the learner worker says to Redis. Raises app.redis.requirements.Unfit."""
    from agents import push
    from app.kafka.topics import logical
    from app.redis.client import connect
    from app.redis.push_log import PushLog
    from app.redis.requirements import require

    settings = parts.settings
    await require(settings.redis)
    redis = connect(settings.redis, "push")
    try:
        run = partial(
            push.run,
            log=PushLog(redis, settings.redis),
            dead_letters=parts.dead_letters,
            window=parts.window,
            logical=partial(logical, settings),
            batch_size=settings.worker.batch_size,
            waits=parts.health.waits,
        )
        yield stateless(parts, run)
    finally:
        await redis.aclose()


ROLE = Role(
    "push",
    topics=(USER_STATE, RECOMMENDATIONS, INTERVENTIONS, TUTOR_REPLIES, ERASURES),
    build=build,
    erases=True,
    scales_by=lag_of(),
    process="state",
)
