"""One connection's place in its learner's push log: every push once, in order, no hole.

Live pushes are handed on while each follows the one before. Whatever else happens (a
gap, a reconnect of Redis, a resume, pushes heard before the connection is ready), the
feed stops listening, reads the log from its own place, and listens again when there is
nothing more to read. So no queue is needed between the two: the log is the queue.

States and recommendations that the log has superseded are not sent: the newer one goes out
with their causes. Where the log, or this feed, no longer has all of those, the client is
told `recovered: false` with its own place, and what it missed follows all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, Protocol, TypeVar

import structlog
from redis.exceptions import RedisError

from agents.runtime.ports import PushKind
from app.gateway.delivery.send_queue import Frame
from app.gateway.process import metrics
from app.redis.push_log import Latest, PushLog, Tail
from app.redis.push_scripts import MOST_CAUSES
from app.redis.subscription import StoredPush

_CHUNK: Final = 64
"""Pushes of one reading: what is held while a client takes them."""
_BACKOFF_START: Final = 0.1
_BACKOFF_CAP: Final = 2.0
_KINDS: Final[dict[str, PushKind]] = {str(kind): kind for kind in PushKind}
_UNKNOWN: Final = "unknown"
"""The metric's `kind` of a push that only a newer release knows."""

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

    async def room(self) -> bool:
        """Return once the client has taken most of what was queued; False: it takes no more."""


class LogReader:
    """Reads push logs for all feeds of a process, a bounded number at a time."""

    def __init__(self, pushes: PushLog, at_once: int = 16) -> None:
        self._pushes = pushes
        self._gate = asyncio.Semaphore(at_once)

    async def since(self, user_id: str, epoch: str, offset: int) -> Tail | None:
        """The first pushes after (epoch, offset); None when that is not known."""
        return await self._patiently(lambda: self._pushes.since(user_id, epoch, offset, _CHUNK))

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
                log.warning("delivery.push_log_unavailable", error=type(error).__name__)
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
        # Causes of superseded pushes whose successor has not been read yet, by kind.
        self._superseded: dict[str, dict[str, None]] = {}

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

    async def caught_up(self) -> None:
        """Return once everything that the log holds is handed on, or the outlet takes no more."""
        while self._reading is not None:
            await asyncio.wait({self._reading})

    async def _read(self) -> None:
        try:
            # From the last test to the end of the task there is no await: what is heard
            # meanwhile either sets `_behind` before it, or is live after it.
            while self._asked is not None or self._behind:
                if self._asked is not None:
                    await self._answer(*self._asked)
                else:
                    self._behind = False
                    await self._replay(await self._next_chunk(), told=False)
        finally:
            self._reading = None

    async def _answer(self, epoch: str, offset: int) -> None:
        self._asked = None
        self._behind = False
        tail = await self._reader.since(self.user_id, epoch, offset)
        recovered = tail is not None and not tail.lost
        metrics.RESUMES.labels(str(recovered).lower()).inc()
        if tail is None:
            await self._start_over()
            return
        self._outlet.drop_pushes()
        self._epoch, self._offset = epoch, offset
        if recovered:
            self._outlet.recovered(epoch, offset)
        elif not await self._tell_lost():
            return
        await self._replay(tail, told=not recovered)

    async def _next_chunk(self) -> Tail | None:
        return await self._reader.since(self.user_id, self._epoch, self._offset)

    async def _replay(self, tail: Tail | None, *, told: bool) -> None:
        """Deliver what was read, then the rest of the log, each chunk once.

        told: the client knows that causes are lost.
        """
        self._superseded.clear()
        while self._asked is None:
            if tail is None:
                await self._start_over()
                return
            for push in tail.pushes:
                # At the client's pace: replayed pushes are not to be conflated.
                takes_more = await self._outlet.room()
                if self._asked is not None:
                    return
                if not takes_more:
                    # Who goes on from here does not read again what these ids stand in.
                    if any(self._superseded.values()):
                        await self._tell_lost()
                    return
                lost = tail.lost
                if push.superseded:
                    lost = self._hold(push) or lost
                else:
                    self._deliver(frame(self._with_held(push)))
                if lost and not told:
                    told = True
                    if not await self._tell_lost():
                        return
            if len(tail.pushes) < _CHUNK:
                return
            tail = await self._next_chunk()

    async def _tell_lost(self) -> bool:
        """Say that causes are lost. False where the log has begun anew: the feed has, too."""
        latest = await self._reader.latest(self.user_id)
        if latest.epoch != self._epoch:
            self._outlet.not_recovered(latest)
            self.start(latest)
            return False
        # With the client's own place: all that is not superseded follows.
        self._outlet.not_recovered(replace(latest, offset=self._offset))
        return True

    async def _start_over(self) -> None:
        latest = await self._reader.latest(self.user_id)
        self._outlet.not_recovered(latest)
        self.start(latest)

    def _hold(self, push: StoredPush) -> bool:
        """Keep the causes of a superseded push for its successor; whether some had to go."""
        self._offset = push.offset
        held = self._superseded.setdefault(push.kind, {})
        held |= dict.fromkeys(push.caused_by)
        excess = len(held) - MOST_CAUSES
        for cause in list(held)[: max(0, excess)]:
            del held[cause]
        return excess > 0

    def _with_held(self, push: StoredPush) -> StoredPush:
        held = self._superseded.pop(push.kind, None)
        if not held:
            return push
        return replace(push, caused_by=tuple(dict.fromkeys((*held, *push.caused_by))))

    def _deliver(self, frame: Frame) -> None:
        self._offset = frame.offset
        metrics.PUSHES.labels(frame.kind or _UNKNOWN).inc()
        self._outlet.push(frame)


def frame(push: StoredPush) -> Frame:
    """A push as it goes over the wire, also one of a kind that only a newer release knows."""
    return Frame(_KINDS.get(push.kind), push.wire(), push.offset, push.caused_by)
