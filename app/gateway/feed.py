"""One connection's place in its learner's push log: every push once, in order, no hole.

Live pushes are handed on while each follows the one before. Whatever else happens (a
gap, a reconnect of Redis, a resume, pushes heard before the connection is ready), the
feed stops listening, reads the log from its own place, and listens again when there is
nothing more to read. So no queue is needed between the two: the log is the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import structlog
from redis.exceptions import RedisError

from app.gateway import metrics
from app.gateway.outbox import Frame, Kind
from app.stores.pushlog import Latest, PushLog
from app.stores.subscription import StoredPush

_CHUNK: Final = 64
"""Pushes of one reading that are kept while a client takes them."""
_BACKOFF_START: Final = 0.1
_BACKOFF_CAP: Final = 2.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Outlet(Protocol):
    """Where a feed's pushes go: the connection."""

    def push(self, frame: Frame) -> None:
        """Queue a push; never raises."""

    def drop_pushes(self) -> None:
        """Drop queued pushes: they come again."""

    def recovered(self, epoch: str, offset: int) -> None:
        """Say that the pushes after (epoch, offset) follow."""

    def not_recovered(self, latest: Latest) -> None:
        """Say that pushes were missed, and where things stand."""

    async def room(self) -> None:
        """Return once the client has taken most of what was queued."""


class LogReader:
    """Reads push logs for all feeds of a process, a bounded number at a time."""

    def __init__(self, pushes: PushLog, at_once: int = 16) -> None:
        self._pushes = pushes
        self._gate = asyncio.Semaphore(at_once)

    async def since(self, user_id: str, epoch: str, offset: int) -> list[StoredPush] | None:
        """The first pushes after (epoch, offset); None when that is not known."""
        found = await self._patiently(lambda: self._pushes.since(user_id, epoch, offset))
        return None if found is None else found[:_CHUNK]

    async def latest(self, user_id: str) -> Latest:
        """Where things stand."""
        return await self._patiently(lambda: self._pushes.latest(user_id))

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        backoff = _BACKOFF_START
        while True:
            try:
                async with self._gate:
                    return await read()
            except (RedisError, OSError) as error:
                log.warning("push_log_unavailable", error=type(error).__name__)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, _BACKOFF_CAP)


class Feed:
    """The pushes of one learner for one connection.

    Args:
        user_id: whose pushes.
        reader: reads the log.
        outlet: where they go.
    """

    def __init__(self, user_id: str, reader: LogReader, outlet: Outlet) -> None:
        self.user_id = user_id
        self._reader = reader
        self._outlet = outlet
        self._epoch = ""
        self._offset = -1
        self._open = False
        self._behind = False
        self._asked: tuple[str, int] | None = None
        self._reading: asyncio.Task[None] | None = None

    def start(self, latest: Latest) -> None:
        """Take this place; the client has been told of everything up to it."""
        self._epoch, self._offset = latest.epoch, latest.offset

    def open(self) -> None:
        """Begin to deliver. Harmless when it has begun."""
        self._open = True
        self._read_on()

    def heard(self, push: StoredPush, frame: Frame) -> None:
        """A live push."""
        if push.epoch == self._epoch:
            if push.offset <= self._offset:
                return
            if self._open and self._reading is None and push.offset == self._offset + 1:
                self._deliver(frame)
                return
        if self._open and self._reading is None:
            metrics.GAPS.inc()
        self.stale()

    def stale(self) -> None:
        """Something may have been missed."""
        self._behind = True
        self._read_on()

    def resume(self, epoch: str, offset: int) -> None:
        """The client has everything up to (epoch, offset) and asks for the rest."""
        self._asked = epoch, offset
        self.open()

    def close(self) -> None:
        """The connection is gone."""
        self._open = False
        if self._reading is not None:
            self._reading.cancel()

    def _read_on(self) -> None:
        wanted = self._behind or self._asked is not None
        if self._open and wanted and self._reading is None:
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            # From the last test to the end of the task there is no await: what is heard
            # meanwhile either sets `_behind` before it, or is live after it.
            while self._asked is not None or self._behind:
                if self._asked is not None:
                    await self._answer(*self._asked)
                else:
                    self._behind = False
                    await self._replay()
        finally:
            self._reading = None

    async def _answer(self, epoch: str, offset: int) -> None:
        self._asked = None
        known = await self._reader.since(self.user_id, epoch, offset)
        metrics.RESUMES.labels("false" if known is None else "true").inc()
        if known is None:
            await self._start_over()
            return
        self._outlet.drop_pushes()
        self._outlet.recovered(epoch, offset)
        self._epoch, self._offset = epoch, offset
        self._behind = True

    async def _replay(self) -> None:
        while self._asked is None:
            pushes = await self._reader.since(self.user_id, self._epoch, self._offset)
            if pushes is None:
                await self._start_over()
                return
            for push in pushes:
                # At the client's pace: replayed pushes are not to be conflated.
                await self._outlet.room()
                if self._asked is not None:
                    return
                self._deliver(frame(push))
            if len(pushes) < _CHUNK:
                return

    async def _start_over(self) -> None:
        latest = await self._reader.latest(self.user_id)
        self._outlet.not_recovered(latest)
        self.start(latest)

    def _deliver(self, frame: Frame) -> None:
        self._offset = frame.offset
        metrics.PUSHES.labels(frame.kind).inc()
        self._outlet.push(frame)


def frame(push: StoredPush) -> Frame:
    """A push as it goes over the wire."""
    return Frame(Kind.of(push.kind), push.wire(), push.offset, push.caused_by)
