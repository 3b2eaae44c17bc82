"""Which events were accepted lately? A client's retry is recognised by it.

In Redis, so that any gateway knows. It may forget: with Redis down a retry goes to
Kafka a second time, and the learner worker recognises it there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from hashlib import blake2b
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.settings import RedisSettings

_PATIENCE: Final = 0.5
"""Seconds that a message waits for Redis before it goes on without."""
_PAUSE: Final = 1.0
"""Seconds after a failure in which Redis is not asked."""

log = structlog.get_logger(__name__)


class RetryMemory:
    """Ids of events that Kafka has acknowledged, for `dedupe_ttl` seconds."""

    def __init__(
        self,
        redis: Redis,
        settings: RedisSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._prefix = settings.prefix
        self._ttl = max(1, int(settings.dedupe_ttl * 1000))
        self._clock = clock
        self._paused_until = 0.0

    async def known(self, user_id: str, kind: str, event_ids: Collection[str]) -> frozenset[str]:
        """Those of the ids of this kind that were accepted before.

        None of them while Redis does not answer.
        """
        if not event_ids or self._paused:
            return frozenset()
        ids = list(event_ids)
        # Not one MGET: in Redis Cluster these keys are of different slots.
        pipeline = self._redis.pipeline(transaction=False)
        for one in ids:
            pipeline.get(self._key(user_id, kind, one))
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._pause(error)
            return frozenset()
        return frozenset(one for one, value in zip(ids, found, strict=True) if value is not None)

    async def remember(self, user_id: str, kind: str, event_ids: Collection[str]) -> None:
        """Kafka has acknowledged these."""
        if not event_ids or self._paused:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for one in event_ids:
            pipeline.set(self._key(user_id, kind, one), b"", px=self._ttl)
        try:
            async with asyncio.timeout(_PATIENCE):
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._pause(error)

    @property
    def _paused(self) -> bool:
        return self._clock() < self._paused_until

    def _pause(self, error: Exception) -> None:
        self._paused_until = self._clock() + _PAUSE
        log.warning("intake.retry_memory_unavailable", error=type(error).__name__)

    def _key(self, user_id: str, kind: str, event_id: str) -> str:
        # Hashed: short, and no learner's id stands in a key that erasure does not know.
        name = f"{len(user_id)}:{user_id}:{kind}:{event_id}"
        return f"{self._prefix}:seen:{blake2b(name.encode(), digest_size=16).hexdigest()}"
