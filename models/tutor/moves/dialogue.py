"""A tutoring dialogue as it stands before a teacher's turn."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Move(StrEnum):
    """What a teacher's turn does (MathDial's four)."""

    FOCUS = "focus"  # narrows the learner's attention to a step, hint or sub-problem
    PROBING = "probing"  # asks the learner to explain, or to carry an idea further
    TELLING = "telling"  # reveals a step, a strategy or the answer
    GENERIC = "generic"  # greets, praises, closes


class Strategy(StrEnum):
    """How an expert answers a learner's mistake (Bridge's ten named ones)."""

    ASK_QUESTION = "ask_question"
    EXPLAIN_CONCEPT = "explain_concept"
    PROVIDE_HINT = "provide_hint"
    PROVIDE_STRATEGY = "provide_strategy"
    PROVIDE_SIMILAR_PROBLEM = "provide_similar_problem"
    SIMPLIFY_QUESTION = "simplify_question"
    AFFIRM_CORRECT_ANSWER = "affirm_correct_answer"
    PROVIDE_CORRECTION = "provide_correction"
    ENCOURAGE_STUDENT = "encourage_student"
    PROVIDE_EXAMPLE = "provide_example"


MOVES: tuple[Move, ...] = tuple(Move)
STRATEGIES: tuple[Strategy, ...] = tuple(Strategy)


class Speaker(StrEnum):
    """Who said a turn."""

    TEACHER = "teacher"
    STUDENT = "student"


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance. move: what it did, where that is known; of teacher turns only."""

    speaker: Speaker
    text: str
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """All that may be known before the teacher's next turn.

    turns: what has been said, oldest first; empty before the first turn
    question: the problem's text; may be empty
    attempt: the solution that the student came with; may be empty
    reference: a correct worked solution whose last number is the answer; empty: not known
    topic: of the lesson; may be empty
    """

    turns: tuple[Turn, ...] = ()
    question: str = ""
    attempt: str = ""
    reference: str = ""
    topic: str = ""

    def of(self, speaker: Speaker) -> tuple[Turn, ...]:
        """The turns of one speaker, oldest first."""
        return tuple(turn for turn in self.turns if turn.speaker is speaker)


@dataclass(frozen=True, slots=True)
class Example:
    """One teacher turn of an annotated dialogue.

    dialogue: its name in the file (`qid`, `c_id`), not unique where a problem or a
        conversation was annotated several times
    row: position of its row in the file, from 0
    group: what must stay on one side of a split (the problem; the tutoring session)
    turn: the turn's position in the conversation, from 0, students' turns counted
    context: what stood before it
    gold: the annotated move or strategy; None where the file names none of ours
    """

    dialogue: int | str
    row: int
    group: str
    turn: int
    context: Context
    gold: Move | Strategy | None
