"""The role that holds the learners' records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog

from agents.learner import TOPICS, LearnerAgent
from agents.runtime import metrics
from agents.runtime.topics import LEARNER_CHANGELOG
from app.kafka.table import VersionedTable
from app.kafka.topics import logical
from app.process.exits import Exit, end_now
from app.worker.formats import RecordFormat
from app.worker.role import Agent, Parts
from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
from models.learner.config import LearnerSettings
from models.learner.guards import may_forget
from models.learner.nets.serving.artefact import NetProblem
from models.learner.record import (
    FORMAT,
    PREVIOUS,
    RecordError,
    UnknownFormat,
    header_of,
    version_of,
)
from models.learner.rules import PolicyError
from schemas.base import now_ms

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 3600.0
"""Between two looks for records whose time is over; they live for weeks."""

AT_ONCE = 64
"""Learners that are put away at a time: an eighth of the window of records in flight."""


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Recover the table as partitions come, then apply events."""
    # Before the first heartbeat: one that says nothing is taken for one of the last release.
    parts.watch.reads = FORMAT
    refuse = partial(end_now, Exit.CONFIG)
    try:
        parts.settings.learner.load()
    except (NetProblem, BehaviourArtefactProblem, PolicyError) as problem:
        refuse(str(problem))
    outdated = parts.settings.learner.recommending_policy.expectations.outdated
    if outdated:
        log.warning("learned_policy_outdated", actions=outdated, held="their priors")
    table = VersionedTable(
        parts.settings, LEARNER_CHANGELOG, parts.outbox, version_of, on_unknown=refuse
    )
    record_format = RecordFormat("learner", parts.settings, previous=PREVIOUS, current=FORMAT)
    parts.watch.recovering = lambda: table.recovering
    metrics.TABLE_RECORDS.set_function(lambda: len(table))
    agent = LearnerAgent(
        table=table,
        outbox=parts.outbox,
        dead_letters=parts.dead_letters,
        window=parts.window,
        settings=parts.settings.learner,
        logical=partial(logical, parts.settings),
        writes=record_format.writes,
    )

    async def run(events: AsyncIterator[Any]) -> None:
        try:
            await agent.run(events)
        except UnknownFormat as error:
            refuse(str(error))

    async def revoked() -> None:
        # No update begins; what the last ones say stands in the topics before the next
        # owner's does (user-state is compacted: the last one stays).
        await table.suspend()
        await agent.drain()
        await parts.outbox.flush()

    beside = {
        asyncio.create_task(_sweep(table, agent, parts.settings.learner)),
        asyncio.create_task(record_format.follow()),
    }
    try:
        yield Agent(TOPICS, run, revoked, table.assign)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)


async def _sweep(table: VersionedTable, agent: LearnerAgent, settings: LearnerSettings) -> None:
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
