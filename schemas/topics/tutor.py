"""Topics `tutor-requests`, `tutor-replies`: who asks the tutor for words, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Count, Derived, Flag, Message, OpaqueId, Unit
from schemas.times import In, Millis
from schemas.topics.emotions import Emotion
from schemas.topics.state import UserState
from schemas.vocabulary import Level


class ReplyMode(StrEnum):
    """How a learner may ask to be helped."""

    DIRECT = "direct"
    SOCRATIC = "socratic"
    ENCOURAGEMENT = "encouragement"
    WORKED_EXAMPLE = "worked_example"


class RequestKind(StrEnum):
    """Why words are wanted."""

    CHAT = "chat"
    """A chat message asks for a reply; the source position is the message's."""
    INTERVENTION = "intervention"
    """An intervention was raised whose rule asks for words; nobody waits for an answer."""


class TutorRequested(Derived):
    """Words are wanted. Holds no text: that stands at the source position, under its own retention.

    The same cause leads to the same `event_id` and `reply_id`, however often it is read.
    """

    reply_id: OpaqueId = Field(description="of the reply that is to come")
    kind: RequestKind
    state: UserState = Field(description="the learner after the update that led here")
    reading: dict[Emotion, Unit] = Field(
        default_factory=dict, description="what was read in the message; empty where it was not"
    )
    level: Level | None = Field(default=None, description="of the intervention")
    because: tuple[str, ...] = Field(default=(), description="of the intervention")


class ReplyStatus(StrEnum):
    """What a reply is."""

    ANSWERED = "answered"
    SUPERSEDED = "superseded"
    """What was shown of this attempt is void; another follows. Only on the wire."""
    UNAVAILABLE = "unavailable"
    """No answer now. With `final` false the request is tried again until `retryUntil`."""
    OFF = "off"
    """There is no provider."""
    HUMAN_HELP = "human_help"
    """What the message says is for a person, not for a model: where to find one."""


class TokenUsage(Message):
    """What the attempt used whose words these are.

    Attempts that broke off or lost a race, and a summary, are paid as well: the metrics
    `masterx_tutor_tokens_total` and `masterx_tutor_cost_dollars_total` hold them all.
    """

    input_tokens: Count
    output_tokens: Count
    micros: Annotated[Count, In("1e-6 USD")] = Field(description="cost in millionths of a dollar")
    reported: Flag = Field(description="by the provider; else estimated from the text")


class Latency(Message):
    """Seconds from the worker's asking."""

    first_text: Annotated[float, In("s")] = Field(ge=0)
    total: Annotated[float, In("s")] = Field(ge=0)


class ReplyFields(Message):
    """What a reply says, on the topic and on the wire alike."""

    reply_id: OpaqueId
    status: ReplyStatus
    final: Flag = Field(description="true exactly once for each reply id: nothing follows")
    attempt: Count = Field(default=0, description="whose pieces the text is made of; 0: of none")
    text: str = Field(default="", description="the whole reply")
    mode: str | None = Field(default=None, description="direct, socratic, ... (docs/tutor.md)")
    because: tuple[str, ...] = Field(default=(), description="why this mode, or why no answer")
    provider: str | None = None
    model: str | None = None
    usage: TokenUsage | None = None
    latency: Latency | None = None
    cut_short: Flag = Field(
        default=False,
        description="ended at the limit of its length, or in a way that masterx does not know",
    )
    prompt_version: str | None = None
    retry_until: Millis | None = Field(default=None, description="with `unavailable`, not final")

    @classmethod
    def of(cls, reply: ReplyFields) -> ReplyFields:
        """These fields alone of a message that has more."""
        return ReplyFields(**{name: getattr(reply, name) for name in ReplyFields.model_fields})


class TutorReplied(Derived, ReplyFields):
    """A reply, or why there is none. `event_id` tells duplicates; the first one counts."""

    kind: RequestKind
