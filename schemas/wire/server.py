"""What the server sends over the WebSocket: answers, and pushes from the learner's log."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Count, Message, OpaqueId, Unit
from schemas.times import Millis
from schemas.topics.actions import Recommendation
from schemas.topics.state import UserState
from schemas.topics.tutor import ReplyFields
from schemas.vocabulary import Level
from schemas.wire.errors import ErrorCode


class Limits(Message):
    """The bounds that this server holds a client to."""

    max_message_bytes: int = Field(description="of one WebSocket message")
    max_text_length: int = Field(description="characters of a chat message")
    max_interactions: int = Field(description="in one batch")
    messages_per_second: float
    burst: int
    dedupe_seconds: float | None = Field(
        default=None, description="so long a retry is known without `attempt`"
    )
    unacknowledged: Count | None = Field(
        default=None, description="events that a client may have under way at a time"
    )


class Hello(Message):
    """First message on a connection; `user_state` is absent for a learner we know nothing of."""

    type: Literal["hello"] = "hello"
    epoch: str
    offset: Count
    user_state: UserState | None = None
    recommendations: tuple[Recommendation, ...] | None = None
    limits: Limits
    server_time: Millis | None = Field(default=None, description="when it was sent")


class Rejected(Message):
    """An interaction that was not accepted; the others of its batch were."""

    index: Count = Field(description="where it stood in the batch as sent, from 0")
    field: str | None = Field(default=None, description="path within the interaction")
    message: str


class Ack(Message):
    """The events are in Kafka, acknowledged by all in-sync replicas."""

    type: Literal["ack"] = "ack"
    id: OpaqueId
    event_ids: tuple[OpaqueId, ...]
    duplicates: tuple[OpaqueId, ...] = Field(
        default=(), description="those of event_ids that had been accepted before"
    )
    rejected: tuple[Rejected, ...] = Field(
        default=(), description="interactions that are not what they should be, left out"
    )


class Error(Message):
    """What was wrong with a message; the connection lives on."""

    type: Literal["error"] = "error"
    id: str | None = Field(default=None, description="the message's id, where it could be read")
    code: ErrorCode
    field: str | None = None
    message: str
    retry_after: float | None = Field(default=None, description="seconds")


class Resumed(Message):
    """Answer to resume: with `recovered` true the missed pushes follow, in order.

    With false they are no longer known: `user_state` is where things stand.
    """

    type: Literal["resumed"] = "resumed"
    recovered: bool
    epoch: str
    offset: Count
    user_state: UserState | None = None
    recommendations: tuple[Recommendation, ...] | None = None


class Pong(Message):
    """Answer to ping."""

    type: Literal["pong"] = "pong"
    id: OpaqueId | None = None
    server_time: Millis | None = Field(default=None, description="when it was sent")


class Restarting(Message):
    """This gateway ends, and closes the connection (1012) behind this message."""

    type: Literal["restarting"] = "restarting"
    reconnect_after: float = Field(
        ge=0, description="seconds to wait, another number for each connection"
    )


class Push(Message):
    """A message from the learner's push log."""

    epoch: str
    offset: Count
    caused_by: tuple[OpaqueId, ...] = ()


class UserStateUpdate(Push):
    """The state changed. Conflated for a slow client: the latest wins, `caused_by` is the union."""

    type: Literal["user_state_update"] = "user_state_update"
    user_state: UserState


class Recommendations(Push):
    """The suggestions that hold now, possibly none; follows every state update."""

    type: Literal["recommendations"] = "recommendations"
    recommendations: tuple[Recommendation, ...] = ()


class Intervention(Push):
    """A reason to step in; never conflated."""

    type: Literal["intervention"] = "intervention"
    id: OpaqueId
    level: Level
    confidence: Unit
    because: tuple[str, ...]
    raised_at: Millis


class TutorDelta(Push):
    """A piece of a reply that is being written.

    `attempt` grows by one when the reply begins anew: what came of earlier ones is void.
    `index` counts the pieces of an attempt from 0. Not sent to a slow client, so that one
    may be missing: the reply that follows holds the whole text.
    """

    type: Literal["tutor_delta"] = "tutor_delta"
    reply_id: OpaqueId
    attempt: Count
    index: Count
    text: str


class TutorReply(Push, ReplyFields):
    """What became of a reply; never conflated. With `final`, nothing of this reply id follows."""

    type: Literal["tutor_reply"] = "tutor_reply"


ServerMessage = (
    Hello
    | Ack
    | Error
    | Resumed
    | Pong
    | Restarting
    | UserStateUpdate
    | Recommendations
    | Intervention
    | TutorDelta
    | TutorReply
)
"""Anything the server may send."""
