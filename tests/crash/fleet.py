"""Workers that are killed, and started again, while a load runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from app.process.exits import Exit
from app.settings import Settings
from tests.crash.worker_entry import Point
from tests.workers import WorkerProcess

ENTRY = "tests.crash.worker_entry"
KILLED = -9
EVERY_ID = 8_192


def fast(settings: Settings, *, instance: str = "") -> Settings:
    """With the shortest session that a broker takes (group.min.session.timeout.ms: 6 s).

    With an `instance` (static membership) a worker takes the place of a dead one of that
    name at once. Without, the group waits until the dead one's session has expired, and
    the embedded broker waits for ever: it keeps a dead leader.

    Nor does a learner forget ids: who catches up after long deaths reads one topic far ahead
    of the other, so that more than a learner's usual memory may lie between a message and
    its retry. That bound is a matter of `test_seen`, not of dying. History keeps every state,
    so that one that is missing shows.
    """
    worker = settings.worker.model_copy(
        update={
            "session_timeout": 6.0,
            "heartbeat_interval": 0.5,
            "rebalance_timeout": 4.0,
            "instance": instance,
            # What most workers will write; two releases side by side are test_rolling's matter.
            "format_hold": 0.0,
        }
    )
    seen = settings.learner.seen.model_copy(update={"max_ids": EVERY_ID})
    learner = settings.learner.model_copy(update={"seen": seen})
    mongo = settings.mongo.model_copy(update={"state_every": 0})
    return settings.model_copy(update={"worker": worker, "learner": learner, "mongo": mongo})


@contextmanager
def told(**variables: str) -> Iterator[None]:
    """Processes spawned within have these variables (tests.crash.worker_entry)."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


def crash_at(point: Point, nth: int) -> AbstractContextManager[None]:
    """Processes spawned within die at the n-th pass of the point."""
    return told(CRASH_POINT=point, CRASH_AT=str(nth))


class Crew:
    """The one worker of a role: when it ends it is started again, as a supervisor would.

    `deaths` are points (and passes) at which the next processes die; after those a
    process lives until it is killed.
    """

    def __init__(
        self,
        role: str,
        settings: Settings,
        logs: Path,
        deaths: list[tuple[Point, int]] | None = None,
    ) -> None:
        self.role = role
        self.settings = settings
        self.logs = logs
        self.exits: list[int] = []
        self._deaths = list(deaths or ())
        self.current = self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    def _spawn(self) -> WorkerProcess:
        log = self.logs / f"{self.role}-{len(self.exits)}.log"
        worker = WorkerProcess(self.role, self.settings, log, module=ENTRY)
        point, nth = self._deaths.pop(0) if self._deaths else (Point.NEVER, 1)
        with crash_at(point, nth):
            worker.spawn()
        return worker

    async def _keep(self) -> None:
        while True:
            code = await self.current.ended(within=600)
            self.exits.append(code)
            self.current = self._spawn()

    @property
    def unexplained(self) -> list[str]:
        """Ends that were neither a kill nor a fence."""
        return [
            f"{self.role} {number} ended with {code}"
            for number, code in enumerate(self.exits)
            if code not in (KILLED, Exit.FENCED)
        ]

    async def dismiss(self) -> None:
        """No more restarts; the last one is killed."""
        self._keeper.cancel()
        await asyncio.wait({self._keeper})
        self.current.resume()
        self.current.kill()


@asynccontextmanager
async def crews(*each: Crew) -> Any:
    """End them all, whatever happens."""
    try:
        yield each
    finally:
        for crew in each:
            await crew.dismiss()
