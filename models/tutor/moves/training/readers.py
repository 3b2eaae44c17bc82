"""MathDial's file, as examples of teacher turns with what stood before each.

Nothing that was written during or after a turn gets into its context: not
`teacher_described_confusion` and `self-*`, which are the teacher's own words on the dialogue. Nor
does what a tutor worker never has: the student's first solution and the reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.tutor.moves.serving.dialogue import MOVES, Context, Move, Turn
from schemas.vocabulary import Speaker

END_OF_TURN = "|EOM|"
SPOKEN = re.compile(r"([^:\n]{1,60}):\s?(.*)", re.DOTALL)
TAGGED = re.compile(rf"\(({'|'.join(MOVES)})\)\s?(.*)", re.DOTALL)
TEACHER = "Teacher"


class DataProblem(ValueError):
    """A data file that cannot be used; the message names file, row and field."""


@dataclass(frozen=True, slots=True)
class Example:
    """One teacher turn of an annotated dialogue.

    dialogue: its name in the file (`qid`), not unique where a problem was annotated several times
    row: position of its row in the file, from 0
    group: what must stay on one side of a split: the problem
    turn: the turn's position in the conversation, from 0, students' turns counted
    context: what stood before it
    said: the turn's own words; no feature of this turn reads them
    gold: the annotated move; None where the file names none of ours
    """

    dialogue: int | str
    row: int
    group: str
    turn: int
    context: Context
    said: str
    gold: Move | None


def read(path: Path) -> list[Example]:
    """Every teacher turn of a file of MathDial's JSON lines, in its order. Raises DataProblem."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataProblem(f"{path}: cannot be read: {error}") from error
    examples = [e for place, i, row in _lines(path, text) for e in _mathdial(place, i, row)]
    if not examples:
        raise DataProblem(f"{path}: holds no teacher turn")
    return examples


def _lines(path: Path, text: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    # Not splitlines(): a JSON string may hold U+2028, which that would cut at.
    filled = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    for i, (number, line) in enumerate(filled):
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataProblem(f"{place}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DataProblem(f"{place}: expected an object")
        yield place, i, row


def _mathdial(place: str, row: int, fields: dict[str, Any]) -> Iterator[Example]:
    spoken = [
        _spoken(place, n, part)
        for n, part in enumerate(_text(place, fields, "conversation").split(END_OF_TURN))
    ]
    turns = tuple(turn for turn, _ in spoken)
    question = _text(place, fields, "question", needed=False)
    name = _name(place, fields, "qid")
    for i, (turn, move) in enumerate(spoken):
        if turn.speaker is Speaker.TEACHER:
            context = Context(turns[:i], question)
            yield Example(name, row, question or str(name), i, context, turn.text, move)


def _spoken(place: str, number: int, part: str) -> tuple[Turn, Move | None]:
    match = SPOKEN.match(part.strip())
    if match is None:
        raise DataProblem(f"{place}: conversation: turn {number}: expected `Speaker: text`")
    speaker, said = match[1].strip(), match[2].strip()
    if speaker != TEACHER:
        return Turn(Speaker.STUDENT, said), None
    tagged = TAGGED.match(said)
    if tagged is None:
        return Turn(Speaker.TEACHER, said), None
    return Turn(Speaker.TEACHER, tagged[2].strip()), Move(tagged[1])


def _name(place: str, fields: dict[str, Any], field: str) -> int | str:
    name = fields.get(field)
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise DataProblem(f"{place}: {field}: expected a number or text that names the dialogue")
    return name


def _text(place: str, fields: dict[str, Any], field: str, *, needed: bool = True) -> str:
    value = fields.get(field)
    if isinstance(value, str):
        return value
    if value is None and not needed:
        return ""
    raise DataProblem(f"{place}: {field}: expected text")
