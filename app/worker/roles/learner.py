"""The role that holds the learners' records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from agents.runtime.topics import (
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    LEARNER_CHANGELOG,
    RECOMMENDATIONS,
    TUTOR_REQUESTS,
    USER_STATE,
)
from app.worker.role import Agent, Parts, Role, lag_of


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Recover the table as partitions come, then apply events."""
    import asyncio

    import structlog

    from agents.learner import LearnerAgent
    from agents.runtime import metrics
    from app.kafka.table import VersionedTable
    from app.kafka.topics import logical
    from app.process.concurrency import end
    from app.process.exits import Exit, end_now
    from app.worker.formats import RecordFormat
    from app.worker.putting_away import keep_sweeping
    from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
    from models.learner.nets.serving.artefact import NetProblem
    from models.learner.record import FORMAT, PREVIOUS, UnknownFormat, version_of
    from models.learner.rules import PolicyError

    settings = parts.settings.learner
    refuse = partial(end_now, Exit.CONFIG)
    try:
        settings.load()
    except (NetProblem, BehaviourArtefactProblem, PolicyError) as problem:
        refuse(str(problem))
    outdated = settings.recommending_policy.expectations.outdated
    if outdated:
        log = structlog.get_logger(__name__)
        log.warning("learner.policy_outdated", actions=outdated, held="their priors")
    table = VersionedTable(
        parts.settings, LEARNER_CHANGELOG, parts.outbox, version_of, on_unknown=refuse
    )
    record_format = RecordFormat(parts.role.name, parts.settings, previous=PREVIOUS, current=FORMAT)
    parts.health.recovering = lambda: table.recovering
    metrics.TABLE_RECORDS.set_function(lambda: len(table))
    agent = LearnerAgent(
        table=table,
        outbox=parts.outbox,
        dead_letters=parts.dead_letters,
        window=parts.window,
        settings=settings,
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
        asyncio.create_task(keep_sweeping(table, agent, settings)),
        asyncio.create_task(record_format.follow()),
    }
    try:
        yield Agent(run, revoked, table.assign)
    finally:
        await end(*beside)


def newest_format() -> int:
    """Of the learners' records that this release reads."""
    from models.learner.record import FORMAT

    return FORMAT


ROLE = Role(
    "learner",
    topics=(INTERACTIONS, EMOTIONS, FEEDBACK, ERASURES),
    build=build,
    erases=True,
    scales_by=lag_of(INTERACTIONS, EMOTIONS),
    sends=(USER_STATE, RECOMMENDATIONS, INTERVENTIONS, TUTOR_REQUESTS),
    process="state",
    reads=newest_format,
)
