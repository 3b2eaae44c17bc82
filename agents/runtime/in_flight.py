"""Acknowledgement in offset order, once everything computed from a record is delivered.

Faust commits what is acknowledged, and it commits past gaps (its issue #606): so
nothing may be acknowledged before every earlier offset of its partition is.
`InFlight` holds that, and bounds how much is read ahead of the slowest delivery.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from agents.runtime.ports import SourceRecord


class Acknowledgeable(Protocol):
    """A consumed record that can be acknowledged (a Faust event)."""

    message: SourceRecord

    def ack(self) -> bool:
        """Mark its offset as safe to commit."""
        ...


class _Entry:
    __slots__ = ("event", "pending")

    def __init__(self, event: Acknowledgeable, pending: int) -> None:
        self.event = event
        self.pending = pending


class InFlight:
    """Records that were read and not yet acknowledged.

    Args:
        limit: records in flight at most; `slot` waits while there are that many.
        fail: called once with the error of the first delivery that failed. It must
            end the process: nothing from the failed record on is acknowledged.

    Use from one event loop: `await slot()`, then `track(event, deliveries)` in the
    order in which the records were read.
    """

    def __init__(self, limit: int, fail: Callable[[BaseException], None]) -> None:
        if limit < 1:
            raise ValueError(f"limit is {limit}, must be at least 1")
        self._limit = limit
        self._slots = asyncio.Semaphore(limit)
        self._fail = fail
        self._failed = False
        self._partitions: dict[tuple[str, int], deque[_Entry]] = {}
        self._acknowledged_to: dict[tuple[str, int], int] = {}
        self._acknowledged_from: dict[tuple[str, int], float] = {}
        self._count = 0
        self._acknowledged = 0
        self._beside: list[InFlight] = []

    def __len__(self) -> int:
        """Records in flight, here and in those beside."""
        return self._count + sum(map(len, self._beside))

    @property
    def acknowledged(self) -> int:
        """Records so far, here and in those beside: a worker that hears only messages goes on."""
        return self._acknowledged + sum(window.acknowledged for window in self._beside)

    def acknowledged_to(self, topic: str, partition: int) -> int | None:
        """The offset behind the last acknowledged record, here or beside; None before the first."""
        own = self._acknowledged_to.get((topic, partition))
        told = [own, *(window.acknowledged_to(topic, partition) for window in self._beside)]
        return max((offset for offset in told if offset is not None), default=None)

    def acknowledged_from(self, topic: str, partition: int) -> float | None:
        """When the last acknowledged record was appended, epoch seconds; None before the first."""
        own = self._acknowledged_from.get((topic, partition))
        told = [own, *(window.acknowledged_from(topic, partition) for window in self._beside)]
        return max((moment for moment in told if moment is not None), default=None)

    def beside(self) -> InFlight:
        """Another window of the same size, for partitions that must not wait for this one's."""
        window = InFlight(self._limit, self._fail)
        self._beside.append(window)
        return window

    async def slot(self) -> None:
        """Wait until one more record may be in flight, and take that place."""
        await self._slots.acquire()
        self._count += 1

    def abandon(self) -> None:
        """Give a slot back whose record is not ours to process any more."""
        self._count -= 1
        self._slots.release()

    def track(self, event: Acknowledgeable, deliveries: Iterable[asyncio.Future[Any]]) -> None:
        """Acknowledge `event` when `deliveries` and all earlier records are done."""
        entry = _Entry(event, 0)
        message = event.message
        queue = self._partitions.setdefault((message.topic, message.partition), deque())
        queue.append(entry)
        for delivery in deliveries:
            entry.pending += 1
            delivery.add_done_callback(lambda done: self._delivered(entry, queue, done))
        if entry.pending == 0:
            self._acknowledge_head(queue)

    def _delivered(
        self, entry: _Entry, queue: deque[_Entry], delivery: asyncio.Future[Any]
    ) -> None:
        error: BaseException | None
        if delivery.cancelled():
            error = asyncio.CancelledError("a delivery was cancelled")
        else:
            error = delivery.exception()
        if error is not None:
            # The entry stays pending for ever, so nothing behind it is acknowledged.
            if not self._failed:
                self._failed = True
                self._fail(error)
            return
        entry.pending -= 1
        if entry.pending == 0:
            self._acknowledge_head(queue)

    def _acknowledge_head(self, queue: deque[_Entry]) -> None:
        while queue and queue[0].pending == 0:
            event = queue.popleft().event
            event.ack()
            message = event.message
            place = message.topic, message.partition
            self._acknowledged_to[place] = message.offset + 1
            self._acknowledged_from[place] = message.timestamp
            self._count -= 1
            self._acknowledged += 1
            self._slots.release()
