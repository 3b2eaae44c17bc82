"""Every topic about a learner -> history in MongoDB, in bulk and once.

One batch at a time: nothing is acknowledged before the whole batch is stored, and the
store takes the same batch again without a change. While MongoDB is away the stream waits; a
document that MongoDB will never take is one dead letter.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from agents.runtime import envelope, metrics
from agents.runtime.batching import batches
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, HistoryEntry, HistoryKind, HistoryWriter, SourceRecord
from agents.runtime.retrying import Waits, until_stored
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
from schemas.base import Event
from schemas.topics.actions import FeedbackReceived, InterventionRaised, RecommendationsMade
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.operations import ErasureRequested
from schemas.topics.state import UserState
from schemas.topics.tutor import TutorReplied

_KEPT: Final[dict[str, tuple[HistoryKind, type[Event]]]] = {
    CHAT: (HistoryKind.MESSAGES, ChatReceived),
    INTERACTIONS: (HistoryKind.INTERACTIONS, InteractionsReceived),
    EMOTIONS: (HistoryKind.EMOTIONS, EmotionRead),
    USER_STATE: (HistoryKind.STATES, UserState),
    RECOMMENDATIONS: (HistoryKind.RECOMMENDATIONS, RecommendationsMade),
    INTERVENTIONS: (HistoryKind.INTERVENTIONS, InterventionRaised),
    TUTOR_REPLIES: (HistoryKind.REPLIES, TutorReplied),
    FEEDBACK: (HistoryKind.FEEDBACK, FeedbackReceived),
}

Step = HistoryEntry | ErasureRequested | Exception | None
"""What a record asks for; None for a tombstone, an error for a record that cannot be read."""

T = TypeVar("T")


async def run(
    events: AsyncIterator[Acknowledgeable],
    *,
    store: HistoryWriter,
    dead_letters: DeadLetters,
    window: InFlight,
    logical: Callable[[str], str],
    batch_size: int,
    waits: Waits,
) -> None:
    """Store every record of the stream, until it ends. Raises agents.runtime.retrying.Fatal."""
    async with batches(events, batch_size) as stream:
        async for batch in stream:
            await store_batch(
                batch,
                store=store,
                dead_letters=dead_letters,
                window=window,
                logical=logical,
                waits=waits,
            )


async def store_batch(
    batch: Sequence[Acknowledgeable],
    *,
    store: HistoryWriter,
    dead_letters: DeadLetters,
    window: InFlight,
    logical: Callable[[str], str],
    waits: Waits,
) -> None:
    """Store one batch, then hand its records to the window in their order."""
    began = time.monotonic()
    topics = [logical(event.message.topic) for event in batch]
    steps: list[Step] = [
        _step(topic, event.message) for topic, event in zip(topics, batch, strict=True)
    ]

    async def insist(write: Callable[[], Awaitable[T]]) -> T:
        return await until_stored(write, store="mongo", waits=waits)

    async def write(positions: list[int], entries: list[HistoryEntry]) -> None:
        if entries:
            outcomes = await insist(partial(store.write, entries))
            for position, refused in zip(positions, outcomes, strict=True):
                if refused is not None:
                    steps[position] = refused

    positions: list[int] = []
    entries: list[HistoryEntry] = []
    for position, step in enumerate(steps):
        if isinstance(step, HistoryEntry):
            positions.append(position)
            entries.append(step)
        elif isinstance(step, ErasureRequested):
            # In its place: the erasure finds everything that came before it.
            await write(positions, entries)
            positions, entries = [], []
            await insist(partial(store.erase, step))
    await write(positions, entries)

    metrics.BATCH_RECORDS.labels("history").observe(len(batch))
    metrics.STAGE_SECONDS.labels("history").observe(time.monotonic() - began)
    for topic, event, step in zip(topics, batch, steps, strict=True):
        await window.slot()
        if isinstance(step, Exception):
            metrics.RECORDS.labels(topic, "dead_letter").inc()
            window.track(event, [await dead_letters.bury(event.message, step)])
        else:
            metrics.RECORDS.labels(topic, "skipped" if step is None else "stored").inc()
            window.track(event, [])


def _step(topic: str, record: SourceRecord) -> Step:
    if record.value is None and topic == USER_STATE:
        return None  # of who was put away, or erased: erasures come by their own topic
    try:
        if topic == ERASURES:
            return envelope.read(ErasureRequested, record)
        kind, model = _KEPT[topic]
        event = envelope.read(model, record)
    except Exception as error:
        return error
    if isinstance(event, EmotionRead):
        # It follows from the text and would outlive it here, where nobody reads it.
        event = event.model_copy(update={"affect": ()})
    return HistoryEntry(
        kind=kind,
        user_id=event.user_id,
        event_id=event.event_id,
        ingest_time=event.ingest_time,
        version=event.version if isinstance(event, UserState) else None,
        document=event.document(),
        updated_at=event.updated_at if isinstance(event, UserState) else 0,
    )
