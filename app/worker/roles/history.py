"""The role that writes history to MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from agents import history
from app.kafka.topics import logical
from app.mongo.history import HistoryStore
from app.worker.role import Agent, Parts, stateless


@asynccontextmanager
async def build(parts: Parts) -> AsyncIterator[Agent]:
    """Record what passes through the topics."""
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
            waits=parts.watch.waits,
        )
        yield stateless(parts, history.TOPICS, run)
    finally:
        await store.close()
