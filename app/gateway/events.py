"""Which record does a client's message become, and by which ids is it known? Pure.

Ids that the client did not give are derived (UUIDv5) from what stays the same when it
tries again: the learner, the kind, the message's id, the position in the batch. So a
retry over another socket, another gateway, or REST is the same event.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from agents.topics import CHAT, FEEDBACK, INTERACTIONS
from schemas.actions import FeedbackReceived
from schemas.base import Event
from schemas.chat import ChatReceived
from schemas.interactions import InteractionsReceived
from schemas.wire import ChatMessage, Feedback, InteractionBatch

Submission = InteractionBatch | ChatMessage | Feedback
"""A message that becomes a record."""

_NAMESPACE: Final = uuid.UUID("6b0a2c3e-5f64-5d0e-9c1b-0f3a7c1d9e42")


def derive_id(user_id: str, kind: str, message_id: str, position: int | None = None) -> str:
    """A UUIDv5 of (learner, kind, message id, position); 36 characters."""
    # Lengths first: no two different tuples may spell the same name.
    name = f"{len(user_id)}:{user_id}:{kind}:{len(message_id)}:{message_id}:{position}"
    return str(uuid.uuid5(_NAMESPACE, name))


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one message.

    Attributes:
        topic: logical name of the topic.
        event_ids: of the events in it, in order; what `ack` names.
        record: builds the record that carries those of the events that are new.
    """

    topic: str
    event_ids: tuple[str, ...]
    record: Callable[[Collection[str]], Event]


def plan(message: Submission, user_id: str, ingest_time: int) -> Plan:
    """What becomes of a message of this learner, received at `ingest_time` (UTC ms)."""
    if isinstance(message, InteractionBatch):
        return _interactions(message, user_id, ingest_time)
    if isinstance(message, ChatMessage):
        return _chat(message, user_id, ingest_time)
    return _feedback(message, user_id, ingest_time)


def _interactions(batch: InteractionBatch, user_id: str, ingest_time: int) -> Plan:
    ids = tuple(
        one.event_id or derive_id(user_id, batch.type, batch.id, position)
        for position, one in enumerate(batch.interactions)
    )

    def record(new: Collection[str]) -> InteractionsReceived:
        # Of an id that stands twice in one batch, the first counts.
        first = dict(zip(reversed(ids), reversed(batch.interactions), strict=True))
        kept = [
            first[event_id].model_copy(update={"event_id": event_id})
            for event_id in dict.fromkeys(ids)
            if event_id in new
        ]
        return InteractionsReceived(
            event_id=derive_id(user_id, batch.type, batch.id),
            user_id=user_id,
            event_time=max(one.timestamp for one in kept),
            ingest_time=ingest_time,
            interactions=tuple(kept),
        )

    return Plan(INTERACTIONS, ids, record)


def _chat(message: ChatMessage, user_id: str, ingest_time: int) -> Plan:
    event_id = message.event_id or derive_id(user_id, message.type, message.id)

    def record(_: Collection[str]) -> ChatReceived:
        return ChatReceived(
            event_id=event_id,
            user_id=user_id,
            event_time=message.timestamp,
            ingest_time=ingest_time,
            text=message.text,
            wants_reply=message.wants_reply,
            reply_mode=message.reply_mode,
        )

    return Plan(CHAT, (event_id,), record)


def _feedback(message: Feedback, user_id: str, ingest_time: int) -> Plan:
    event_id = derive_id(user_id, message.type, message.id)

    def record(_: Collection[str]) -> FeedbackReceived:
        return FeedbackReceived(
            event_id=event_id,
            user_id=user_id,
            event_time=ingest_time,
            ingest_time=ingest_time,
            target_type=message.target_type,
            target_id=message.target_id,
            outcome=message.outcome,
        )

    return Plan(FEEDBACK, (event_id,), record)
