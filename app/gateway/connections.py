"""The open connections of this process, and how many there may be."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

from app.gateway import metrics
from app.gateway.intake import Sender


class Open(Protocol):
    """A connection, as far as it is counted and ended here."""

    @property
    def sender(self) -> Sender:
        """Who is at its other end."""
        ...

    async def flushed(self) -> None:
        """Wait until what it is owed has been sent."""
        ...

    def close(self, code: int, reason: str) -> None:
        """End it with a WebSocket close code."""
        ...


class Connections:
    """The open connections of this process, counted in all and per learner."""

    def __init__(self, limit: int, per_user: int) -> None:
        self._limit = limit
        self._per_user = per_user
        self._open: set[Open] = set()
        self._users: defaultdict[str, int] = defaultdict(int)

    def __len__(self) -> int:
        return len(self._open)

    def snapshot(self) -> list[Open]:
        """Those open now."""
        return list(self._open)

    def full(self, user_id: str) -> str | None:
        """Why one more of this learner cannot come in; None when it can."""
        if len(self._open) >= self._limit:
            return "too many connections"
        if self._users.get(user_id, 0) >= self._per_user:
            return "too many connections of this learner"
        return None

    def add(self, connection: Open) -> None:
        """It is open."""
        self._open.add(connection)
        self._users[connection.sender.user_id] += 1
        metrics.CONNECTIONS.set(len(self._open))

    def remove(self, connection: Open) -> None:
        """It is closed."""
        self._open.discard(connection)
        user_id = connection.sender.user_id
        self._users[user_id] -= 1
        if not self._users[user_id]:
            del self._users[user_id]
        metrics.CONNECTIONS.set(len(self._open))
