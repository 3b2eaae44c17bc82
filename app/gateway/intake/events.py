"""Which record does a client's message become, and by which ids is it known? Pure.

Ids that the client did not give are derived (UUIDv5) from what stays the same when it
tries again: the learner, the kind, the message's id, the position in the batch as sent.
So a retry over another socket, another gateway, or REST is the same event. A record's id
is derived from the ids of the events in it: a batch that is cut anew makes other records.

Errors:
    InvalidMessage    nothing of a batch is what it should be
    Refusal           a time in another unit
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from agents.runtime.ports import HistoryKind
from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.intake.refusal import Refusal
from schemas.base import Event, InvalidMessage
from schemas.topics.actions import FeedbackReceived
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction, InteractionsReceived
from schemas.wire.client import ChatMessage, Feedback, InteractionBatch
from schemas.wire.errors import ErrorCode
from schemas.wire.rest import InteractionRequest
from schemas.wire.server import Rejected

_NAMESPACE: Final = uuid.UUID("6b0a2c3e-5f64-5d0e-9c1b-0f3a7c1d9e42")
_YEARS_AHEAD: Final = 10
"""A time farther ahead of its receipt is in another unit: no clock is that fast."""
_YEAR_MS: Final = 31_557_600_000

M = TypeVar("M", InteractionBatch, InteractionRequest)


@dataclass(frozen=True, slots=True)
class Triage:
    """Which interactions of a batch are good, which are not, and whom they name.

    Attributes:
        positions: of those that are good, in the batch as sent.
        rejected: those that are not.
        named: (position, user id) of every interaction that names a learner.
    """

    positions: tuple[int, ...]
    rejected: tuple[Rejected, ...]
    named: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """An interaction batch as it was read."""

    id: str
    interactions: tuple[Interaction, ...]
    triage: Triage
    sent_at: int | None = None
    attempt: int | None = None
    type: ClassVar[str] = InteractionBatch.model_fields["type"].default

    @classmethod
    def of(cls, message: InteractionBatch, triage: Triage) -> Batch:
        """The message with what was found when it was read."""
        return cls(message.id, message.interactions, triage, message.sent_at, message.attempt)


Submission = Batch | ChatMessage | Feedback
"""A message that becomes a record."""


def read_interactions(model: type[M], document: dict[str, Any]) -> tuple[M, Triage]:
    """Read a message with `interactions`; one that is not what it should be is left out.

    Raises InvalidMessage: none of them is good, or something else in the message is wrong.
    """
    try:
        message = model.read(document)
    except InvalidMessage as error:
        return _read_the_good(model, document, error)
    named = ((at, one.user_id) for at, one in enumerate(message.interactions))
    positions = tuple(range(len(message.interactions)))
    return message, Triage(positions, (), tuple((at, who) for at, who in named if who is not None))


def _read_the_good(
    model: type[M], document: dict[str, Any], error: InvalidMessage
) -> tuple[M, Triage]:
    sent = document.get("interactions")
    if not isinstance(sent, list) or len(sent) > MAX_INTERACTIONS:
        raise error
    positions: list[int] = []
    rejected: list[Rejected] = []
    for index, one in enumerate(sent):
        try:
            Interaction.read(one)
        except InvalidMessage as wrong:
            rejected.append(Rejected(index=index, field=wrong.field, message=wrong.message))
        else:
            positions.append(index)
    if not positions or not rejected:
        raise error
    message = model.read({**document, "interactions": [sent[at] for at in positions]})
    named = ((at, _named(one)) for at, one in enumerate(sent))
    triage = Triage(
        tuple(positions),
        tuple(rejected),
        tuple((at, who) for at, who in named if who is not None),
    )
    return message, triage


def _named(interaction: Any) -> str | None:
    if not isinstance(interaction, dict):
        return None
    who = interaction.get("userId", interaction.get("user_id"))
    return who if isinstance(who, str) else None


def derive_id(user_id: str, kind: str, message_id: str, position: int | None = None) -> str:
    """A UUIDv5 of (learner, kind, message id, position); 36 characters."""
    # Lengths first: no two different tuples may spell the same name.
    name = f"{len(user_id)}:{user_id}:{kind}:{len(message_id)}:{message_id}:{position}"
    return str(uuid.uuid5(_NAMESPACE, name))


def record_id(user_id: str, kind: str, event_ids: Iterable[str]) -> str:
    """A UUIDv5 of (learner, kind, the events' ids in their order); 36 characters."""
    ids = "".join(f"{len(one)}:{one}" for one in event_ids)
    return str(uuid.uuid5(_NAMESPACE, f"record:{len(user_id)}:{user_id}:{kind}:{ids}"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one message.

    Attributes:
        topic: logical name of the topic.
        kind: of the events; an id is the client's own within its kind.
        history: what history calls that kind.
        event_ids: of the events in it, in order; what `ack` names.
        record: builds the record that carries those of the events that are new.
        rejected: interactions that are left out.
    """

    topic: str
    kind: str
    history: HistoryKind
    event_ids: tuple[str, ...]
    record: Callable[[Collection[str]], Event]
    rejected: tuple[Rejected, ...] = ()


def plan(message: Submission, user_id: str, ingest_time: int, clock_offset: int = 0) -> Plan:
    """What becomes of a message of this learner.

    Args:
        message: what came.
        user_id: the learner.
        ingest_time: when it came, UTC milliseconds.
        clock_offset: what the sender's clock is behind, milliseconds (`clocks`).

    Raises Refusal: a chat message's time, or that of every interaction, is in another unit.
    """
    if message.sent_at is not None and (wrong := _other_unit(message.sent_at, ingest_time)):
        raise Refusal(ErrorCode.INVALID_MESSAGE, wrong, "sentAt")
    if isinstance(message, Batch):
        return _interactions(message, user_id, ingest_time, clock_offset)
    if isinstance(message, ChatMessage):
        return _chat(message, user_id, ingest_time, clock_offset)
    return _feedback(message, user_id, ingest_time)


def _other_unit(timestamp: int, ingest_time: int) -> str | None:
    years = (timestamp - ingest_time) // _YEAR_MS
    if years < _YEARS_AHEAD:
        return None
    return f"a time is not {years} years ahead (seconds or milliseconds since the epoch?)"


def _interactions(batch: Batch, user_id: str, ingest_time: int, clock_offset: int) -> Plan:
    ids: list[str] = []
    good: list[Interaction] = []
    rejected = list(batch.triage.rejected)
    for position, one in zip(batch.triage.positions, batch.interactions, strict=True):
        wrong = _other_unit(one.timestamp, ingest_time)
        if wrong is not None:
            rejected.append(Rejected(index=position, field="timestamp", message=wrong))
            continue
        ids.append(one.event_id or derive_id(user_id, batch.type, batch.id, position))
        good.append(one)
    rejected.sort(key=lambda one: one.index)
    if not good:
        first = rejected[0]
        field = f"interactions.{first.index}.{first.field}"
        raise Refusal(ErrorCode.INVALID_MESSAGE, first.message, field)

    def record(new: Collection[str]) -> InteractionsReceived:
        # Of an id that stands twice in one batch, the first counts.
        first = dict(zip(reversed(ids), reversed(good), strict=True))
        kept = [
            first[event_id].model_copy(update={"event_id": event_id})
            for event_id in dict.fromkeys(ids)
            if event_id in new
        ]
        return InteractionsReceived(
            event_id=record_id(user_id, batch.type, (one.event_id or "" for one in kept)),
            user_id=user_id,
            event_time=max(one.timestamp for one in kept),
            ingest_time=ingest_time,
            clock_offset=clock_offset,
            interactions=tuple(kept),
        )

    return Plan(
        INTERACTIONS, batch.type, HistoryKind.INTERACTIONS, tuple(ids), record, tuple(rejected)
    )


def _chat(message: ChatMessage, user_id: str, ingest_time: int, clock_offset: int) -> Plan:
    if (wrong := _other_unit(message.timestamp, ingest_time)) is not None:
        raise Refusal(ErrorCode.INVALID_MESSAGE, wrong, "timestamp")
    event_id = message.event_id or derive_id(user_id, message.type, message.id)

    def record(_: Collection[str]) -> ChatReceived:
        return ChatReceived(
            event_id=event_id,
            user_id=user_id,
            event_time=message.timestamp,
            ingest_time=ingest_time,
            clock_offset=clock_offset,
            text=message.text,
            wants_reply=message.wants_reply,
            reply_mode=message.reply_mode,
        )

    return Plan(CHAT, message.type, HistoryKind.MESSAGES, (event_id,), record)


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

    return Plan(FEEDBACK, message.type, HistoryKind.FEEDBACK, (event_id,), record)
