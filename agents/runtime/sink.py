"""Records -> a store, in batches and once: what the history and the push agent have in common.

One batch at a time: nothing is acknowledged before the whole batch is stored, and the store takes
the same batch again without a change. While the store is away the stream waits; a record that
cannot be read, or that the store will never take, is one dead letter.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from agents.runtime import metrics
from agents.runtime.batching import batches
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, SourceRecord
from agents.runtime.retrying import Refused, Waits, until_stored
from schemas.topics.operations import ErasureRequested

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Sink(Generic[Item]):
    """A store, as records reach it.

    Attributes:
        role: in metrics, "history" or "push"
        store: waited for and named in logs, "mongo" or "redis"
        read: (logical topic, record) -> what to store; None: nothing. Whatever it raises makes the
            record a dead letter
        write: stores items in their order; for each an outcome, `Refused` where the store will
            never take it. Raises Retriable and Fatal
        erase: removes what came before. Raises StoreError
    """

    role: str
    store: str
    read: Callable[[str, SourceRecord], Item | ErasureRequested | None]
    write: Callable[[Sequence[Item]], Awaitable[Sequence[object]]]
    erase: Callable[[ErasureRequested], Awaitable[None]]

    def step(self, topic: str, record: SourceRecord) -> Item | ErasureRequested | Exception | None:
        """What to do about a record; an error: it is a dead letter."""
        try:
            return self.read(topic, record)
        except Exception as error:
            return error


async def run(
    events: AsyncIterator[Acknowledgeable],
    sink: Sink[Item],
    *,
    dead_letters: DeadLetters,
    window: InFlight,
    logical: Callable[[str], str],
    batch_size: int,
    waits: Waits,
) -> None:
    """Store every record of the stream, until it ends. Raises agents.runtime.retrying.Fatal.

    Args: logical: the topic's name without the deployment's prefix.
    """
    async with batches(events, batch_size) as stream:
        async for batch in stream:
            began = time.monotonic()
            topics = [logical(event.message.topic) for event in batch]
            steps = [
                sink.step(topic, event.message) for topic, event in zip(topics, batch, strict=True)
            ]
            await _store(sink, steps, waits)
            metrics.BATCH_RECORDS.labels(sink.role).observe(len(batch))
            metrics.STAGE_SECONDS.labels(sink.role).observe(time.monotonic() - began)
            for topic, event, step in zip(topics, batch, steps, strict=True):
                await window.slot()
                if isinstance(step, Exception):
                    metrics.RECORDS.labels(topic, "dead_letter").inc()
                    window.track(event, [await dead_letters.send(event.message, step)])
                else:
                    metrics.RECORDS.labels(topic, "skipped" if step is None else "stored").inc()
                    window.track(event, [])


async def _store(
    sink: Sink[Item], steps: list[Item | ErasureRequested | Exception | None], waits: Waits
) -> None:
    """Take every step in turn. One that the store refuses becomes the refusal."""

    async def insist(write: Callable[[], Awaitable[T]]) -> T:
        return await until_stored(write, store=sink.store, waits=waits)

    async def write(items: dict[int, Item]) -> None:
        if items:
            outcomes = await insist(partial(sink.write, [*items.values()]))
            for position, outcome in zip(items, outcomes, strict=True):
                if isinstance(outcome, Refused):
                    steps[position] = outcome

    waiting: dict[int, Item] = {}
    for position, step in enumerate(steps):
        if isinstance(step, ErasureRequested):
            # In its place: what came before it is gone, what comes after it stays.
            await write(waiting)
            waiting = {}
            try:
                await insist(partial(sink.erase, step))
            except Refused as error:
                steps[position] = error
        elif step is not None and not isinstance(step, Exception):
            waiting[position] = step
    await write(waiting)
