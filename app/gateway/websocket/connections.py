"""The connections of this process, before and after they come in, and how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final, Protocol

import structlog

from app.gateway.auth.admission import Sender
from app.gateway.process import metrics

NO_ANSWER: Final = 1011
"""Close code of a connection that does not answer a ping."""

log = structlog.get_logger(__name__)


class Unfinished(Hashable, Protocol):
    """A connection that has not come in."""

    def cut(self, reason: str) -> None:
        """End it; `reason` is `timeout` or `full`."""
        ...


class Handshakes:
    """The connections that have not come in: bounded in number, and in time.

    Some have yet to say what they want (HTTP requests that are not whole, refused WebSockets that
    do not go): the oldest of them is cut after `timeout`, or earlier for a newcomer. Others
    wait for us (a token is being checked): they are bounded elsewhere in time, and not cut.

    Args:
        limit: of both together.
        timeout: seconds that a client may keep us waiting.
    """

    def __init__(self, limit: int, timeout: float) -> None:
        self._limit = limit
        self._timeout = timeout
        self._deadlines: dict[Unfinished, asyncio.TimerHandle] = {}
        self._checked: set[Unfinished] = set()

    def __len__(self) -> int:
        return len(self._deadlines) + len(self._checked)

    def waits_for_client(self, connection: Unfinished) -> bool:
        """It is up to the client; a deadline that runs goes on. False: there is no room."""
        if connection in self._deadlines:
            return True
        self._checked.discard(connection)
        if len(self) >= self._limit and self._deadlines:
            self._cut(next(iter(self._deadlines)), "full")
        if len(self) >= self._limit:
            metrics.HANDSHAKES_REFUSED.labels("full").inc()
            return False
        loop = asyncio.get_running_loop()
        self._deadlines[connection] = loop.call_later(
            self._timeout, self._cut, connection, "timeout"
        )
        metrics.HANDSHAKES.set(len(self))
        return True

    def waits_for_us(self, connection: Unfinished) -> None:
        """It has said what it wants, and had room until then."""
        self._checked.add(connection)
        metrics.HANDSHAKES.set(len(self))

    def done(self, connection: Unfinished) -> None:
        """It has come in, or is gone."""
        deadline = self._deadlines.pop(connection, None)
        if deadline is not None:
            deadline.cancel()
        self._checked.discard(connection)
        metrics.HANDSHAKES.set(len(self))

    def _cut(self, connection: Unfinished, reason: str) -> None:
        self.done(connection)
        metrics.HANDSHAKES_REFUSED.labels(reason).inc()
        connection.cut(reason)


class Open(Protocol):
    """A connection, as far as it is counted and ended here."""

    @property
    def sender(self) -> Sender:
        """Who is at its other end."""
        ...

    async def flushed(self) -> None:
        """Wait until what it is owed has been sent."""
        ...

    async def silent(self, within: float) -> bool:
        """Whether a ping is not answered within so many seconds."""
        ...

    def restarting(self, reconnect_after: float) -> None:
        """Tell the client that this gateway ends, and after how many seconds to come back."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End it with a WebSocket close code."""
        ...


class Connections:
    """The open connections of this process, counted in all and per learner.

    Args:
        limit: of all.
        per_user: of one learner.
        probe_timeout: seconds in which a ping has to be answered when a learner has too many.
    """

    def __init__(self, limit: int, per_user: int, probe_timeout: float) -> None:
        self._limit = limit
        self._per_user = per_user
        self._probe_timeout = probe_timeout
        self._open: set[Open] = set()
        self._users: dict[str, dict[Open, None]] = {}
        """Of each learner, the oldest first."""

    def __len__(self) -> int:
        return len(self._open)

    def snapshot(self) -> list[Open]:
        """Those open now."""
        return list(self._open)

    def full(self, user_id: str) -> str | None:
        """Why one more of this learner cannot come in; None when it can."""
        if len(self._open) >= self._limit:
            return "too many connections"
        if len(self._users.get(user_id, ())) >= self._per_user:
            return "too many connections of this learner"
        return None

    async def make_room(self, user_id: str) -> str | None:
        """As `full`, but the oldest connection that answers no ping makes way.

        A page that lost its network leaves sockets behind that look open from here. Call `add`
        in the same step of the event loop, or somebody else takes the room.
        """
        own = list(self._users.get(user_id, ()))
        if self.full(user_id) is None or len(own) < self._per_user:
            return self.full(user_id)
        silent = await asyncio.gather(*(one.silent(self._probe_timeout) for one in own))
        for connection, gone in zip(own, silent, strict=True):
            if len(self._users.get(user_id, ())) < self._per_user:
                break
            if gone and connection in self._open:
                log.info("connections.silent_replaced")
                self.remove(connection)
                metrics.REPLACED.inc()
                connection.close(
                    NO_ANSWER, "no answer to a ping; a newer connection took its place"
                )
        return self.full(user_id)

    def add(self, connection: Open) -> None:
        """It is open."""
        self._open.add(connection)
        self._users.setdefault(connection.sender.user_id, {})[connection] = None
        metrics.CONNECTIONS.set(len(self._open))

    def remove(self, connection: Open) -> None:
        """It is closed, or about to be. Harmless when it was removed before."""
        self._open.discard(connection)
        user_id = connection.sender.user_id
        own = self._users.get(user_id, {})
        own.pop(connection, None)
        if not own:
            self._users.pop(user_id, None)
        metrics.CONNECTIONS.set(len(self._open))
