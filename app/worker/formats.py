"""Which format a role writes its records in, while workers of two releases take turns.

A release that changes a record reads formats n and n-1. It writes n-1 until every fresh
heartbeat of the role has said, for `worker.format_hold` seconds without a break, that its
worker reads n. So a worker of the release before can take a partition back at any moment
until then. What stands in the log as n stays n: after the hold there is no way back.

A member of the role's consumer group without a fresh beat counts as one that says nothing: it is
of a release whose beats stand under another key, or its beat is late.

The decision is `Agreement`, which knows no clock and no Redis; `RecordFormat` looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from agents.runtime import metrics
from app.kafka.admin import group_members
from app.process.errors import OperatorError
from app.redis import heartbeats
from app.redis.client import connect
from app.redis.heartbeats import FRESH_SECONDS
from app.settings import Settings

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 4.0
"""Between two looks at the role's heartbeats."""
LOOK_TIMEOUT: Final = 2.0
"""Seconds that Redis has to answer a look; after that it counts as unanswered."""
MEMBERS_TIMEOUT: Final = 6.0
"""Seconds that Kafka has to name the group's members."""
LONGEST_BREAK: Final = 2 * FRESH_SECONDS
"""Seconds between two answered looks in which a worker could have come and gone unseen."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What one worker knows of whether its whole role reads the current format.

    Args:
        previous, current: formats n-1 and n.
        hold: seconds for which all must have said that they read n.
    """

    previous: int
    current: int
    hold: float
    since: float | None = None
    """When all said so first, without a break until `looked_at`."""
    looked_at: float = 0.0
    is_reached: bool = False
    """Once reached it stays: there are records of format n."""

    @property
    def writes(self) -> int:
        """The format that new and updated records are written in."""
        return self.current if self.is_reached else self.previous

    def after(self, reads: Iterable[int | None] | None, now: float) -> Agreement:
        """What is known after a look.

        Args:
            reads: the newest format that each fresh worker of the role says it reads, None for
                one that says nothing (a release from before this was asked); None where the
                heartbeats could not be read.
            now: monotonic seconds.
        """
        if self.is_reached:
            return self
        said = None if reads is None else list(reads)
        if not said or any(one is None or one < self.current for one in said):
            return replace(self, since=None, looked_at=now)
        was_unbroken = self.since is not None and now - self.looked_at <= LONGEST_BREAK
        since = self.since if was_unbroken and self.since is not None else now
        return replace(self, since=since, looked_at=now, is_reached=now - since >= self.hold)


class RecordFormat:
    """Follows the workers of a role; `writes` is the format to write in now.

    Args:
        role: whose records they are. Its beats carry `reads`.
        settings: where Redis is, and `worker.format_hold`.
        previous, current: formats n-1 and n.
    """

    def __init__(self, role: str, settings: Settings, *, previous: int, current: int) -> None:
        self._role = role
        self._settings = settings
        self._agreement = Agreement(previous, current, settings.worker.format_hold)
        metrics.RECORD_FORMAT.set(previous)

    def writes(self) -> int:
        """The format to write in; asked for each record, answered from memory."""
        return self._agreement.writes

    async def follow(self) -> None:
        """Look every few seconds until all agree. Redis away changes nothing."""
        async with connect(self._settings.redis, "heartbeat") as redis:
            while not self._agreement.is_reached:
                reads = await self._look(redis)
                self._agreement = self._agreement.after(reads, time.monotonic())
                if not self._agreement.is_reached:
                    await asyncio.sleep(LOOK_SECONDS)
        metrics.RECORD_FORMAT.set(self._agreement.writes)
        log.info(
            "formats.switched",
            role=self._role,
            writes=self._agreement.writes,
            wrote=self._agreement.previous,
            held_seconds=self._agreement.hold,
        )

    async def _look(self, redis: Redis) -> list[int | None] | None:
        """What each worker of the role says it reads; None where that cannot be known."""
        group = f"{self._settings.worker.group_prefix}-{self._role}"
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                beats = (await heartbeats.roles(redis, self._settings.redis))[self._role]
            # A worker of a release before beats where this one does not look. Its group knows it.
            async with asyncio.timeout(MEMBERS_TIMEOUT):
                members = await group_members(self._settings, group)
        except (RedisError, OperatorError, OSError, TimeoutError, ValueError) as error:
            log.debug("formats.workers_unknown", reason=type(error).__name__)
            return None
        silent = heartbeats.unheard(members, self._role, beats)
        return [*map(_reads, beats), *(None for _ in silent)]


def _reads(beat: dict[str, Any]) -> int | None:
    said = beat.get("reads")
    return said if isinstance(said, int) else None
