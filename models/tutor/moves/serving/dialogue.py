"""A tutoring dialogue as it stands before a teacher's turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from schemas.vocabulary import Speaker


class Move(StrEnum):
    """What a teacher's turn does (MathDial's four)."""

    FOCUS = "focus"  # narrows the learner's attention to a step, hint or sub-problem
    PROBING = "probing"  # asks the learner to explain, or to carry an idea further
    TELLING = "telling"  # reveals a step, a strategy or the answer
    GENERIC = "generic"  # greets, praises, closes


MOVES: tuple[Move, ...] = tuple(Move)


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """All that is known before the teacher's next turn.

    turns: what has been said, oldest first; empty before the first turn
    question: the problem's text; may be empty
    """

    turns: tuple[Turn, ...] = ()
    question: str = ""

    def of(self, speaker: Speaker) -> tuple[Turn, ...]:
        """The turns of one speaker, oldest first."""
        return tuple(turn for turn in self.turns if turn.speaker is speaker)
