"""What replying needs of whoever finds the words, and what it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from app.tutor.providers.router_types import Listener
from app.tutor.replies.conversations import Conversation
from models.tutor.context.material import Said, Summary
from schemas.topics.concerns import ConcernRead
from schemas.topics.emotions import Emotion
from schemas.topics.tutor import Latency, ReplyMode, ReplyStatus, TokenUsage, TutorRequested
from schemas.vocabulary import Level


@dataclass(frozen=True, slots=True)
class Danger:
    """What is for a person. confidence in [0, 1]; because names no words of anybody's.

    message: said in place of any answer
    """

    message: str
    level: Level
    confidence: float
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """All that is known when words are wanted.

    Attributes:
        said: the learner's message; None for an intervention.
        mode: how the learner chose to be helped; None: not chosen.
        conversation: before it.
        since: when the request was read, in seconds of the event loop.
    """

    request: TutorRequested
    said: Said | None
    mode: ReplyMode | None
    conversation: Conversation
    since: float


@dataclass(frozen=True, slots=True)
class Worded:
    """The words.

    Attributes:
        attempt: whose pieces they are made of, as the listener heard; 0: nobody was asked.
        credit: what feedback on this reply is credited to; only who wrote it reads it.
        folded: turns that no longer fit beside these: they are to be summarised.
        danger: what was wrong with a model's words, where these stand in their place.
    """

    status: ReplyStatus
    text: str
    because: tuple[str, ...]
    attempt: int = 0
    mode: str | None = None
    provider: str | None = None
    model: str | None = None
    usage: TokenUsage | None = None
    latency: Latency | None = None
    cut_short: bool = False
    prompt_version: str | None = None
    credit: bytes = b""
    folded: tuple[Said, ...] = ()
    danger: Danger | None = None


class ReplyContract(Protocol):
    """Whoever finds the words: `app.tutor.prompt.composing.Composer`."""

    def danger(self, text: str, reading: Mapping[Emotion, float]) -> Danger | None:
        """Whether a message is for a person rather than a model."""
        ...

    def concern(self, read: ConcernRead) -> Danger:
        """What the emotion model reads as danger in a message, in plain words."""
        ...

    def feelings_count(self, reading: Mapping[Emotion, float]) -> bool:
        """Whether `danger` of any message may be another with this reading than without one."""
        ...

    async def answer(self, asked: Asked, listener: Listener) -> Worded:
        """The words. Raises app.tutor.providers.errors.NoAnswer; what `listener` raises."""
        ...

    async def summarised(
        self, request: TutorRequested, before: Summary | None, folded: tuple[Said, ...]
    ) -> Summary | None:
        """The running summary with these turns in it. Never fails for want of a model."""
        ...

    async def learn(self, credit: bytes, worth: float, feedback_id: str) -> None:
        """What feedback says of a reply, in [0, 1], once. Raises StoreDown (providers.errors)."""
        ...
