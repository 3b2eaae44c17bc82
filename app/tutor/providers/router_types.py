"""What goes into the tutor's router and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.tutor.guard.guard import ReplyGuard
from models.tutor.providers.evidence import Situation


class PromptRole(StrEnum):
    """Who says a part of the prompt; the protocol's own names."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """A part of the prompt."""

    speaker: PromptRole
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """A packed prompt and what it is for.

    Attributes:
        event_id: of the request; what logs name it by.
        user_id: whose budget it is.
        turns: the prompt, in order; at least one.
        input_tokens: of the prompt as the packer counted them, >= 0.
        max_output_tokens: of this answer; None: the setting.
        asked_at: receipt of what it answers, ms; an erasure of the learner since then ends it.
        guard: makes one that reads an attempt's answer; None: nobody is shown it.
    """

    event_id: str
    user_id: str
    situation: Situation
    turns: tuple[PromptMessage, ...]
    input_tokens: int
    max_output_tokens: int | None = None
    asked_at: int | None = None
    guard: Callable[[], ReplyGuard] | None = None


class Ending(StrEnum):
    """How an answer ended."""

    COMPLETE = "complete"
    LENGTH = "length"
    """At the limit of its length: the last sentence may be half."""
    UNKNOWN = "unknown"
    """For a reason that is not known: it may be half."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an attempt used.

    Attributes:
        micros: cost in millionths of a dollar, rounded up.
        reported: by the provider; else estimated from the text.
    """

    input_tokens: int
    output_tokens: int
    micros: int
    reported: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, after its last piece.

    Attributes:
        attempt: number of the attempt whose pieces it is made of.
        first_text, total: seconds from the request to its first text and to its end.
    """

    text: str
    attempt: int
    provider: str
    model: str
    ending: Ending
    usage: Usage
    first_text: float
    total: float


class Listener(Protocol):
    """Who receives the answer while it is being written.

    One call at a time, in order. Attempts are numbered from 1 as the learner sees them:
    all pieces of attempt n come before `superseded(n)`, and that before any of n + 1.
    Either may be cancelled at the deadline.
    """

    async def piece(self, attempt: int, index: int, text: str) -> None:
        """The next piece of text, not empty; `index` counts from 0 in each attempt."""
        ...

    async def superseded(self, attempt: int) -> None:
        """What was shown of this attempt is void; another may follow."""
        ...
