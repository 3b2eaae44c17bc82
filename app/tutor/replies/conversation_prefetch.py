"""A learner connects: the dialogue so far is brought from MongoDB before anything is asked."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.redis.arrivals import arrivals
from app.settings import RedisSettings
from app.tutor.replies.conversations import Conversations

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 8
"""Dialogues that are read at a time; a crowd that arrives must not delay who asks."""
_TURN: Final = 10_000
"""Milliseconds in which one worker prepares for a learner, and the others need not."""


class ConversationPrefetch:
    """Of one worker. `run` until it is cancelled."""

    def __init__(self, redis: Redis, settings: RedisSettings, conversations: Conversations) -> None:
        self._redis = redis
        self._settings = settings
        self._conversations = conversations
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Prepare for everybody who comes."""
        try:
            async for user_id in arrivals(self._redis, self._settings):
                await self._gate.acquire()
                task = asyncio.create_task(self._prepare(user_id))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        finally:
            for task in self._tasks:
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._gate.release()

    async def _prepare(self, user_id: str) -> None:
        try:
            if await self._conversations.take_turn(user_id, _TURN):
                await self._conversations.load(user_id)
        except (RedisError, OSError) as error:
            log.debug("tutor.not_preloaded", error=type(error).__name__)
