"""MathDial's and Bridge's files, as examples of teacher turns with what stood before each.

Nothing that was written during or after a turn gets into its context: not MathDial's
`teacher_described_confusion` and `self-*` (the teacher's own words on the dialogue), not Bridge's
`e` and `z_why` (the annotator's reading, made together with the strategy), `c_r`, `c_r_`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from models.tutor.moves.dialogue import (
    MOVES,
    STRATEGIES,
    Context,
    Example,
    Move,
    Speaker,
    Strategy,
    Turn,
)

END_OF_TURN = "|EOM|"
SPOKEN = re.compile(r"([^:\n]{1,60}):\s?(.*)", re.DOTALL)
TAGGED = re.compile(rf"\(({'|'.join(MOVES)})\)\s?(.*)", re.DOTALL)
TEACHER = "Teacher"


class DataProblem(ValueError):
    """A data file that cannot be used; the message names file, row and field."""


class Layout(StrEnum):
    """How a file is laid out."""

    MATHDIAL = "mathdial"
    BRIDGE = "bridge"


def read(path: Path) -> tuple[Layout, list[Example]]:
    """Every teacher turn of a file; a JSON array is Bridge, JSON lines are MathDial.

    Raises DataProblem.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataProblem(f"{path}: cannot be read: {error}") from error
    layout = Layout.BRIDGE if text.lstrip().startswith("[") else Layout.MATHDIAL
    rows = _array(path, text) if layout is Layout.BRIDGE else _lines(path, text)
    each = _bridge if layout is Layout.BRIDGE else _mathdial
    examples = [e for place, i, row in rows for e in each(place, i, row)]
    if not examples:
        raise DataProblem(f"{path}: holds no teacher turn")
    return layout, examples


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


def _array(path: Path, text: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise DataProblem(f"{path}: not JSON: {error}") from error
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataProblem(f"{path}: row {i}: expected an object")
        yield f"{path}: row {i}", i, row


def _mathdial(place: str, row: int, fields: dict[str, Any]) -> Iterator[Example]:
    turns = tuple(
        _spoken(place, n, part)
        for n, part in enumerate(_text(place, fields, "conversation").split(END_OF_TURN))
    )
    question = _text(place, fields, "question", needed=False)
    name = _name(place, fields, "qid")
    for i, turn in enumerate(turns):
        if turn.speaker is Speaker.TEACHER:
            context = Context(
                turns=turns[:i],
                question=question,
                attempt=_text(place, fields, "student_incorrect_solution", needed=False),
                reference=_text(place, fields, "ground_truth", needed=False),
            )
            yield Example(name, row, question or str(name), i, context, turn.move)


def _spoken(place: str, number: int, part: str) -> Turn:
    match = SPOKEN.match(part.strip())
    if match is None:
        raise DataProblem(f"{place}: conversation: turn {number}: expected `Speaker: text`")
    speaker, said = match[1].strip(), match[2].strip()
    if speaker != TEACHER:
        return Turn(Speaker.STUDENT, said)
    tagged = TAGGED.match(said)
    if tagged is None:
        return Turn(Speaker.TEACHER, said)
    return Turn(Speaker.TEACHER, tagged[2].strip(), Move(tagged[1]))


def _bridge(place: str, row: int, fields: dict[str, Any]) -> Iterator[Example]:
    history = fields.get("c_h")
    if not isinstance(history, list):
        raise DataProblem(f"{place}: c_h: expected a list of messages")
    turns = []
    for n, message in enumerate(history):
        said = message if isinstance(message, dict) else {}
        user, text = said.get("user"), said.get("text")
        if user not in {"tutor", "student"} or not isinstance(text, str):
            raise DataProblem(f"{place}: c_h[{n}]: expected user tutor or student, and text")
        turns.append(Turn(Speaker.TEACHER if user == "tutor" else Speaker.STUDENT, text.strip()))
    name = _name(place, fields, "c_id")
    label = fields.get("z_what")
    gold = Strategy(label) if label in STRATEGIES else None
    topic = _text(place, fields, "lesson_topic", needed=False)
    context = Context(turns=tuple(turns), topic=topic)
    # `<session>_<message>`: several moments of one session are not independent.
    yield Example(name, row, str(name).rpartition("_")[0] or str(name), len(turns), context, gold)


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
