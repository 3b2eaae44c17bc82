"""What a learner's turn is: a new problem, a try, or something else. Read from its words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.tutor.context.material import Said
from models.tutor.modes.config import ModeSettings
from models.tutor.moves.serving import text as cues
from schemas.vocabulary import Speaker

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def states_a_problem(text: str, at_least_words: int) -> bool:
    """Two sentences or more that give numbers and ask for something, and long enough."""
    if len(text.split()) < at_least_words:
        return False
    sentences = [part for part in _SENTENCE_END.split(text.strip()) if part]
    return len(sentences) > 1 and len(cues.numbers(text)) > 1 and "?" in text


def is_a_try(text: str, settings: ModeSettings) -> bool:
    """An answer rather than a question or "I don't know": it has a number, or enough words."""
    if cues.numbers(text):
        return True
    lower = text.lower().replace("\u2019", "'")
    asks = text.rstrip().endswith("?") or any(each in lower for each in settings.unsure)
    return not asks and len(text.split()) >= settings.try_words


def current_problem(turns: Sequence[Said], at_least_words: int) -> tuple[str, tuple[Said, ...]]:
    """The statement that the learner made last, empty without one, and the turns after it."""
    for place in range(len(turns) - 1, -1, -1):
        turn = turns[place]
        if turn.speaker is Speaker.STUDENT and states_a_problem(turn.text, at_least_words):
            return turn.text, tuple(turns[place + 1 :])
    return "", tuple(turns)


def tries(turns: Sequence[Said], settings: ModeSettings) -> int:
    """How often the learner has tried the current problem, in the turns that are known.

    A try answers the tutor: what stands before the tutor's first turn is the question itself.
    """
    _, since = current_problem(turns, settings.problem_words)
    counted, answered = 0, False
    for turn in since:
        if turn.speaker is Speaker.TEACHER:
            answered = True
        elif answered and is_a_try(turn.text, settings):
            counted += 1
    return counted
