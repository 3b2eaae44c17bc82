"""What a client sends over the WebSocket."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from schemas.base import (
    Count,
    Flag,
    InvalidMessage,
    Message,
    OpaqueId,
    Ordinal,
    Words,
    new_event_id,
)
from schemas.times import Timestamp
from schemas.topics.actions import TargetType
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction
from schemas.topics.tutor import ReplyMode

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


Attempt = Annotated[
    Ordinal | None,
    Field(
        default=None,
        description="1 when it is sent for the first time, 2 for the second, and so on: from 2 on "
        "the server also looks among events that it accepted long ago",
    ),
]
"""Which try of a message this is."""


class InteractionBatch(Message):
    """A batch of interactions; `id` makes a retry harmless."""

    type: Literal["interaction_batch"] = "interaction_batch"
    id: ClientId
    attempt: Attempt
    sent_at: SentAt
    interactions: tuple[Interaction, ...] = Field(min_length=1, max_length=MAX_INTERACTIONS)


class ChatMessage(Message):
    """What the learner wrote; `id` makes a retry harmless."""

    type: Literal["chat_message"] = "chat_message"
    id: ClientId
    attempt: Attempt
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
    attempt: Attempt
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
