"""Puts away the records of learners who stayed away: once an hour, by their headers alone."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from agents.learner import LearnerAgent
from app.kafka.table import VersionedTable
from models.learner.config import LearnerSettings
from models.learner.guards import may_forget
from models.learner.record import RecordError, header_of
from schemas.base import now_ms

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0
"""Between two looks for records whose time is over; they live for weeks."""

AT_ONCE: Final = 64
"""Learners that are put away at a time: an eighth of the window of records in flight."""


async def keep_sweeping(
    table: VersionedTable, agent: LearnerAgent, settings: LearnerSettings
) -> None:
    """Sweep every `SWEEP_SECONDS`, until cancelled."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            deleted = await sweep(table, agent, settings, now_ms())
        except Exception:
            # What stops the worker shows where it works; this is only put off.
            log.exception("learner.sweep_failed", action="trying again", seconds=SWEEP_SECONDS)
        else:
            if deleted:
                log.info("learner.records_put_away", count=deleted)


async def sweep(
    table: VersionedTable, agent: LearnerAgent, settings: LearnerSettings, now: int
) -> int:
    """Put away the records whose time is over at `now` (ms); how many.

    Their headers tell; no record is decoded.
    """
    deleted = 0
    found: list[tuple[int, bytes, bytes]] = []

    async def put_away() -> int:
        outcomes = await asyncio.gather(*(agent.put_away(*each) for each in found))
        found.clear()
        return sum(outcomes)

    def over(value: bytes) -> bool:
        try:
            return may_forget(header_of(value), now, settings)
        except RecordError:  # it stays until its learner is erased
            return False

    async for each in table.matching(over):
        found.append(each)
        if len(found) == AT_ONCE:
            deleted += await put_away()
    return deleted + await put_away()
