"""What goes into a prompt, and the prompt that comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from models.tutor.providers.evidence import Situation
from schemas.vocabulary import Speaker


class Layer(StrEnum):
    """A part of the prompt with a share of the budget of its own."""

    SYSTEM = "system"
    """Our instructions and the mode's: always whole, never weighed."""
    PROFILE = "profile"
    """What holds of the learner over weeks."""
    STATE = "state"
    """How the learner is now, and where that is heading."""
    HISTORY = "history"
    """Earlier exchanges that are about the same thing."""
    CONVERSATION = "conversation"
    """The running summary, and the turns of this conversation from the newest back."""


class Occasion(StrEnum):
    """Why the tutor speaks."""

    MESSAGE = "message"
    """The learner wrote: the last turn is the learner's."""
    INTERVENTION = "intervention"
    """Somebody should step in; the learner has not asked."""


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the conversation.

    at: UTC milliseconds by our clock, growing from turn to turn (a summary ends at one of them)
    id: event id of the message, or of the request that was answered
    """

    speaker: Speaker
    text: str
    at: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth telling the model. worth, in [0, 1], orders the notes of a layer."""

    text: str
    worth: float


class Compressor(StrEnum):
    """Who made a summary."""

    EXTRACTIVE = "extractive"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Summary:
    """Old turns, compressed.

    through: `at` of the newest turn that is in it, UTC milliseconds
    turns: how many are in it, >= 1
    since: `at` of the oldest turn in it; 0 where that is not known: as old as can be
    """

    text: str
    through: int
    turns: int
    by: Compressor = Compressor.EXTRACTIVE
    since: int = 0

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self) | {"by": str(self.by)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Summary:
        """What `document` made, other fields beside it; one kept before `since` was has none."""
        return cls(
            document["text"],
            document["through"],
            document["turns"],
            Compressor(document["by"]),
            document.get("since", 0),
        )


@dataclass(frozen=True, slots=True)
class Material:
    """All that a prompt may be made of.

    id: event id of the request; the draw of what is left out on trial depends on it alone
    situation: mode and mood
    rung: of the hint ladder, from 0; only the Socratic mode looks at it
    turns: oldest first; with MESSAGE the last one is the learner's
    summary: of turns before these; turns up to `summary.through` are not told again
    """

    id: str
    situation: Situation
    turns: tuple[Said, ...]
    occasion: Occasion = Occasion.MESSAGE
    rung: int = 0
    profile: tuple[Note, ...] = ()
    state: tuple[Note, ...] = ()
    history: tuple[Note, ...] = ()
    summary: Summary | None = None


class Role(StrEnum):
    """Who says a part of the prompt; the protocol's own names."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class PromptTurn:
    """A part of the prompt."""

    role: Role
    text: str


class Use(StrEnum):
    """What became of a layer."""

    KEPT = "kept"
    """Something of it is in the prompt."""
    EMPTY = "empty"
    """There was nothing to tell, or nothing of it fitted."""
    WITHHELD = "withheld"
    """Left out on trial, so that its effect can be told."""


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer's part in a prompt. weight: share of the budget it had a claim to, in [0, 1]."""

    layer: Layer
    use: Use
    tokens: int
    weight: float


@dataclass(frozen=True, slots=True)
class Prompt:
    """A packed prompt.

    turns: one system turn, then user and assistant in turn, a user turn last
    tokens: as the packer counted them, at most the budget
    uses: of every layer; kept with the reply, so that feedback can be credited
    version: of the templates
    folded: turns that are in neither the prompt nor the summary, oldest first: compress them
    cut: the learner's last message was longer than the budget
    """

    turns: tuple[PromptTurn, ...]
    tokens: int
    uses: tuple[LayerUse, ...]
    version: str
    folded: tuple[Said, ...] = ()
    cut: bool = False
