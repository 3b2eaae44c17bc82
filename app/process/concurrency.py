"""For asyncio: a lock for each key, and ending tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

_AGAIN: Final = 1.0
"""Seconds until a task that goes on is cancelled once more: its own clean-up takes less."""


class KeyedLock:
    """One at a time per key, first come, first served. A key that nobody uses takes no memory."""

    def __init__(self) -> None:
        self._lanes: dict[str, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Hold the lane of this key."""
        lock, users = self._lanes.get(key) or (asyncio.Lock(), 0)
        self._lanes[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._lanes[key]
            if users == 1:
                del self._lanes[key]
            else:
                self._lanes[key] = lock, users - 1


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these until they have ended. Their errors are logged, and not raised.

    Once is not enough. Up to Python 3.11 `asyncio.wait_for` drops a cancellation that comes while
    what it waits for ends, and redis-py sends with it. Who is cancelled in here is so afterwards.
    """
    cancelled = False
    while going_on := {task for task in tasks if not task.done()}:
        for task in going_on:
            task.cancel()
        try:
            await asyncio.wait(going_on, timeout=_AGAIN)
        except asyncio.CancelledError:
            cancelled = True
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("task.failed", task=task.get_name(), error=type(error).__name__)
    if cancelled:
        raise asyncio.CancelledError
