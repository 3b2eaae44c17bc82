"""The role that holds the learners' records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from agents import metrics
from agents.learner import TOPICS, LearnerAgent
from agents.topics import LEARNER_CHANGELOG
from app.roles import Agent, Parts
from app.table import VersionedTable
from app.topics import logical
from models.learner.record import version_of


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Recover the table as partitions come, then apply events."""
    table = VersionedTable(parts.settings, LEARNER_CHANGELOG, parts.outbox, version_of)
    parts.watch.recovering = lambda: table.recovering
    metrics.TABLE_RECORDS.set_function(lambda: len(table))
    agent = LearnerAgent(
        table=table,
        outbox=parts.outbox,
        dead_letters=parts.dead_letters,
        window=parts.window,
        settings=parts.settings.learner,
        logical=partial(logical, parts.settings),
    )
    yield Agent(TOPICS, agent.run, table.suspend, table.assign)
