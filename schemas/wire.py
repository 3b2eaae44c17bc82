"""The wire: what passes over the WebSocket, and the bodies of the REST calls.

Client to server: interaction_batch, chat_message, feedback, resume, ping.
Server to client: hello, ack, error, resumed, pong, and the pushes
user_state_update, recommendations, intervention, tutor_delta, tutor_reply.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from schemas.base import (
    Count,
    Flag,
    InvalidMessage,
    Json,
    Message,
    OpaqueId,
    Unit,
    UserId,
    Words,
    new_event_id,
)
from schemas.times import Millis, Timestamp
from schemas.topics.actions import Level, Recommendation, TargetType
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction
from schemas.topics.state import UserState
from schemas.topics.tutor import ReplyFields, ReplyMode


class ErrorCode(StrEnum):
    """What went wrong, for programs."""

    INVALID_JSON = "invalid_json"
    INVALID_MESSAGE = "invalid_message"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_LARGE = "too_large"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    CONSENT_REQUIRED = "consent_required"
    RATE_LIMITED = "rate_limited"
    SLOW_DOWN = "slow_down"
    UNAVAILABLE = "unavailable"
    NOT_FOUND = "not_found"
    INTERNAL = "internal"


class CloseCode:
    """WebSocket close codes of our own (RFC 6455 leaves 4000-4999 to applications)."""

    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TRY_AGAIN = 4503


# -- client to server ---------------------------------------------------------------------


ClientId = Annotated[
    OpaqueId,
    Field(
        default_factory=new_event_id,
        description="makes a retry harmless; without it the server makes one, and a message "
        "that is sent again is a new event",
    ),
]
"""The id of a message with effects."""


SentAt = Annotated[
    Timestamp | None,
    Field(
        default=None,
        description="when the client sent it, by the clock that gave the other times: what "
        "that clock is off by is taken into account",
    ),
]
"""When a message was sent."""


class InteractionBatch(Message):
    """A batch of interactions; `id` makes a retry harmless."""

    type: Literal["interaction_batch"] = "interaction_batch"
    id: ClientId
    sent_at: SentAt
    interactions: tuple[Interaction, ...] = Field(min_length=1, max_length=MAX_INTERACTIONS)


class ChatMessage(Message):
    """What the learner wrote; `id` makes a retry harmless."""

    type: Literal["chat_message"] = "chat_message"
    id: ClientId
    sent_at: SentAt
    event_id: OpaqueId | None = None
    timestamp: Timestamp
    text: Words
    wants_reply: Flag | None = Field(
        default=None, description="whether the tutor is to reply; absent: as the server is set"
    )
    reply_mode: ReplyMode | None = Field(
        default=None, description="how the learner chose to be helped; absent: the tutor chooses"
    )


class Feedback(Message):
    """What came of a recommendation, intervention or reply."""

    type: Literal["feedback"] = "feedback"
    id: ClientId
    sent_at: SentAt
    target_type: TargetType
    target_id: OpaqueId
    outcome: str = Field(min_length=1, max_length=64)


class Resume(Message):
    """Ask for every push after (epoch, offset)."""

    type: Literal["resume"] = "resume"
    epoch: str = Field(min_length=1, max_length=64)
    offset: Count


class Ping(Message):
    """Are you there?"""

    type: Literal["ping"] = "ping"
    id: OpaqueId | None = None


ClientMessage = InteractionBatch | ChatMessage | Feedback | Resume | Ping
"""Anything a client may send."""

CLIENT_MESSAGE: TypeAdapter[ClientMessage] = TypeAdapter(
    Annotated[ClientMessage, Field(discriminator="type")]
)
_CLIENT_MODELS: dict[str, type[ClientMessage]] = {
    model.model_fields["type"].default: model for model in get_args(ClientMessage)
}
CLIENT_TYPES = tuple(_CLIENT_MODELS)


class UnknownType(InvalidMessage):
    """A message whose `type` we do not know."""

    code = "unknown_type"


def read_client(document: Any) -> ClientMessage:
    """A client's message from parsed JSON.

    Raises:
        InvalidMessage: not a JSON object, without a type, or not what its type promises.
        UnknownType: a type that is none of CLIENT_TYPES.
    """
    if not isinstance(document, dict):
        raise InvalidMessage("should be a JSON object")
    if not isinstance(document.get("type"), str):
        raise InvalidMessage("should be one of " + ", ".join(CLIENT_TYPES), "type")
    model = _CLIENT_MODELS.get(document["type"])
    if model is None:
        raise UnknownType("should be one of " + ", ".join(CLIENT_TYPES), "type")
    return model.read(document)


# -- server to client ---------------------------------------------------------------------


class Limits(Message):
    """The bounds that this server holds a client to."""

    max_message_bytes: int = Field(description="of one WebSocket message")
    max_text_length: int = Field(description="characters of a chat message")
    max_interactions: int = Field(description="in one batch")
    messages_per_second: float
    burst: int


class Hello(Message):
    """First message on a connection; `user_state` is absent for a learner we know nothing of."""

    type: Literal["hello"] = "hello"
    epoch: str
    offset: Count
    user_state: UserState | None = None
    recommendations: tuple[Recommendation, ...] | None = None
    limits: Limits


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
    | UserStateUpdate
    | Recommendations
    | Intervention
    | TutorDelta
    | TutorReply
)
"""Anything the server may send."""


# -- REST ---------------------------------------------------------------------------------


class InteractionRequest(Message):
    """Body of POST /interaction; a single interaction or a batch, for a service or a learner."""

    id: OpaqueId | None = Field(default=None, description="or the header Idempotency-Key")
    sent_at: SentAt
    user_id: UserId | None = None
    interactions: tuple[Interaction, ...] = Field(min_length=1, max_length=MAX_INTERACTIONS)


class ChatRequest(Message):
    """Body of POST /chat."""

    id: OpaqueId | None = Field(default=None, description="or the header Idempotency-Key")
    event_id: OpaqueId | None = None
    sent_at: SentAt
    user_id: UserId | None = None
    timestamp: Timestamp | None = None
    text: Words
    wants_reply: Flag | None = Field(
        default=None, description="whether the tutor is to reply; absent: as the server is set"
    )
    reply_mode: ReplyMode | None = Field(
        default=None, description="how the learner chose to be helped; absent: the tutor chooses"
    )


class FeedbackRequest(Message):
    """Body of POST /feedback."""

    id: OpaqueId | None = Field(default=None, description="or the header Idempotency-Key")
    sent_at: SentAt
    user_id: UserId | None = None
    target_type: TargetType
    target_id: OpaqueId
    outcome: str = Field(min_length=1, max_length=64)


class Accepted(Message):
    """202: the events are in Kafka."""

    id: OpaqueId
    event_ids: tuple[OpaqueId, ...]
    duplicates: tuple[OpaqueId, ...] = ()
    rejected: tuple[Rejected, ...] = ()


class Problem(Message):
    """Body of every REST error."""

    error: Error


class Profile(Message):
    """What is known of a learner, and where it comes from."""

    user_id: str
    known: bool
    user_state: UserState | None = None
    recommendations: tuple[Recommendation, ...] = ()
    details: Json = Field(default_factory=dict)
