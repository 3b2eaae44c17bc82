"""The role that writes history to MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from agents.runtime.topics import (
    CHAT,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    USER_STATE,
)
from app.worker.role import Agent, Parts, Role, lag_of, stateless


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Record what passes through the topics."""
    from agents import history
    from app.kafka.topics import logical
    from app.mongo.history import HistoryStore

    settings = parts.settings
    store = HistoryStore(settings.mongo)
    try:
        run = partial(
            history.run,
            store=store,
            dead_letters=parts.dead_letters,
            window=parts.window,
            logical=partial(logical, settings),
            batch_size=settings.worker.batch_size,
            waits=parts.health.waits,
        )
        yield stateless(parts, run)
    finally:
        await store.close()


ROLE = Role(
    "history",
    topics=(
        CHAT,
        INTERACTIONS,
        EMOTIONS,
        USER_STATE,
        RECOMMENDATIONS,
        INTERVENTIONS,
        TUTOR_REPLIES,
        FEEDBACK,
        ERASURES,
    ),
    build=build,
    erases=True,
    scales_by=lag_of(),
    process="beside",
    # Nobody waits for history, and it writes more at once.
    fetch_pause=1.0,
    niceness=10,
)
