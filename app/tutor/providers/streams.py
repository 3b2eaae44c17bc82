"""How many answers may a provider write at a time? A bounded number; the rest wait in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.tutor.metrics import QUEUED, STREAMS


class Streams:
    """The open streams of one provider in this process.

    Args:
        most: at a time, >= 1.
    """

    def __init__(self, provider: str, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._open = STREAMS.labels(provider)
        self._queued = QUEUED.labels(provider)

    @property
    def full(self) -> bool:
        """Whether one who comes now has to wait."""
        return self._free.locked()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold one, waiting for it in the order of asking."""
        with self._queued.track_inprogress():
            await self._free.acquire()
        try:
            with self._open.track_inprogress():
                yield
        finally:
            self._free.release()
