"""Every topic about a learner -> history in MongoDB, in bulk and once.

`agents.runtime.sink` is the loop; here is what a record is in history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from agents.runtime import envelope, sink
from agents.runtime.in_flight import Acknowledgeable, InFlight
from agents.runtime.ports import DeadLetters, HistoryEntry, HistoryKind, HistoryWriter, SourceRecord
from agents.runtime.retrying import Waits
from agents.runtime.sink import Sink
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
    await sink.run(
        events,
        Sink("history", "mongo", read=_read, write=store.write, erase=store.erase),
        dead_letters=dead_letters,
        window=window,
        logical=logical,
        batch_size=batch_size,
        waits=waits,
    )


def _read(topic: str, record: SourceRecord) -> HistoryEntry | ErasureRequested | None:
    if record.value is None and topic == USER_STATE:
        return None  # of who was put away, or erased: erasures come by their own topic
    if topic == ERASURES:
        return envelope.read(ErasureRequested, record)
    kind, model = _KEPT[topic]
    event = envelope.read(model, record)
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
        accepted=_accepted(event),
    )


def _accepted(event: Event) -> tuple[str, ...]:
    """The ids by which a client's retry of this record is known."""
    if isinstance(event, InteractionsReceived):
        return tuple(one.event_id for one in event.interactions if one.event_id is not None)
    return (event.event_id,) if isinstance(event, (ChatReceived, FeedbackReceived)) else ()
