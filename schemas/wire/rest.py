"""The bodies of the REST calls."""

from __future__ import annotations

from pydantic import Field

from schemas.base import Count, Flag, Json, Message, OpaqueId, UserId, Words
from schemas.times import Timestamp
from schemas.topics.actions import Recommendation, TargetType
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction
from schemas.topics.state import UserState
from schemas.topics.tutor import ReplyMode
from schemas.wire.client import Attempt, SentAt
from schemas.wire.server import (
    Error,
    Hello,
    Intervention,
    Recommendations,
    Rejected,
    Resumed,
    TutorDelta,
    TutorReply,
    UserStateUpdate,
)


class InteractionRequest(Message):
    """Body of POST /interaction; a single interaction or a batch, for a service or a learner."""

    id: OpaqueId | None = Field(default=None, description="or the header Idempotency-Key")
    attempt: Attempt
    sent_at: SentAt
    user_id: UserId | None = None
    interactions: tuple[Interaction, ...] = Field(min_length=1, max_length=MAX_INTERACTIONS)


class ChatRequest(Message):
    """Body of POST /chat."""

    id: OpaqueId | None = Field(default=None, description="or the header Idempotency-Key")
    event_id: OpaqueId | None = None
    attempt: Attempt
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
    attempt: Attempt
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
    details: Json = Field(
        default_factory=dict,
        description="`source`: live or history. `classes`: those that the emotion model knows; "
        "one that the state does not name has a share below the setting `learner.least_emotion`",
    )


class LaterFrame(Message):
    """A frame of a type that only a newer release knows. It has a place, too."""

    type: str
    epoch: str
    offset: Count


class Pushes(Message):
    """Answer of GET /pushes: the frames that a WebSocket would bring, in order.

    The last frame's `epoch` and `offset` are the place to poll from next.
    """

    frames: tuple[
        Hello
        | Resumed
        | UserStateUpdate
        | Recommendations
        | Intervention
        | TutorDelta
        | TutorReply
        | LaterFrame,
        ...,
    ] = Field(min_length=1)
