"""Which events were accepted before? A client's retry is recognised by it.

Lately          in Redis, so that any gateway knows. It may forget: with Redis down a retry goes
                to Kafka a second time, and the learner worker recognises it there
in two weeks    in MongoDB, where history writes it. Asked only about what Redis does not know
                and what may be a retry
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from hashlib import blake2b
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from pymongo.errors import PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agents.runtime.ports import HistoryKind
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.intake.refusal import Refusal
from app.kafka.admin import oldest_uncommitted
from app.mongo.history import HistoryStore
from app.process.errors import OperatorError
from app.redis import heartbeats
from app.settings import RedisSettings, Settings
from schemas.base import now_ms

_PATIENCE: Final = 0.5
"""Seconds that a message waits for Redis before it goes on without."""
_PAUSE: Final = 1.0
"""Seconds after a failure in which Redis is not asked."""

_LOOKING_UP: Final = 3.0
"""Seconds that history may take to answer."""
_FRESH: Final = 1.0
"""Seconds for which an answer about history's progress stands."""
_HISTORY: Final = "history"

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


class HistoryProgress:
    """Whether history has seen what was accepted more than `covered` seconds ago.

    Its workers tell how far they are behind. Where none does, Kafka tells what is left to read.
    """

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._asking = asyncio.Lock()
        self._caught_up = False
        self._known_at = float("-inf")

    @property
    def covered(self) -> float:
        """Seconds that `RetryMemory` covers, and that history may be behind."""
        return self._settings.redis.dedupe_ttl

    async def caught_up(self) -> bool:
        """As it stood at most a second ago: many may ask.

        Raises OperatorError, RedisError, KafkaError, OSError, TimeoutError: nobody can tell.
        """
        loop = asyncio.get_running_loop()
        async with self._asking:
            began = loop.time()
            if began - self._known_at > _FRESH:
                self._caught_up = await self._workers_are() or await self._nothing_old_is_left()
                self._known_at = began
            return self._caught_up

    async def _workers_are(self) -> bool:
        beats = (await heartbeats.roles(self._redis, self._settings.redis)).get(_HISTORY, [])
        told = [beat.get("behind") for beat in beats]
        return bool(told) and all(one is not None and one <= self.covered for one in told)

    async def _nothing_old_is_left(self) -> bool:
        group = f"{self._settings.worker.group_prefix}-{_HISTORY}"
        oldest = await oldest_uncommitted(self._settings, group, (CHAT, INTERACTIONS, FEEDBACK))
        return oldest is None or now_ms() - oldest <= self.covered * 1000


class AcceptedEarlier:
    """Ids of events that history has seen, for `mongo.accepted_days`."""

    def __init__(self, history: HistoryStore, progress: HistoryProgress) -> None:
        self._history = history
        self._progress = progress

    @property
    def covered(self) -> float:
        """Seconds that `RetryMemory` covers."""
        return self._progress.covered

    async def known(
        self, user_id: str, kind: HistoryKind, event_ids: Collection[str], *, old: bool
    ) -> frozenset[str]:
        """Those of the ids of this kind that were accepted before.

        Args:
            old: whether they may have been accepted longer ago than `covered`.

        Raises:
            Refusal: UNAVAILABLE, nobody can tell.
        """
        if not event_ids:
            return frozenset()
        try:
            async with asyncio.timeout(_LOOKING_UP):
                # First: what history has not seen by then, it may write before we look.
                if old and not await self._progress.caught_up():
                    raise Refusal.unavailable(
                        "history is too far behind to tell whether this was accepted before"
                    )
                return await self._history.accepted(user_id, kind, event_ids)
        except (
            OperatorError, PyMongoError, RedisError, KafkaError, OSError, TimeoutError,
        ) as error:  # fmt: skip
            log.warning("intake.accepted_unknown", error=type(error).__name__)
            raise Refusal.unavailable(
                "nobody can tell now whether this was accepted before"
            ) from None
