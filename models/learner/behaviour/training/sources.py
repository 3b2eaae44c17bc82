"""The labelled data sets, read with a clear word on what is wrong.

Errors:
    BehaviourDataProblem    a file that is not such a data set; names file, row and column
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

NBACK_TARGETS, NBACK_LURES = 5, 15
"""Trials of one n-back block that call for a response, and that do not (Jaeggi's layout)."""
_TLX: Final = ("md", "td", "perf", "eff", "fr")
_TLX_TOP: Final = 21.0


class BehaviourDataProblem(ValueError):
    """A file that is not the data set it should be."""


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """One ASSISTments exercise of one person. Labels are None where the file lacks them."""

    row: int
    person: str
    order: int
    skill: str
    hint_total: int
    correct: bool | None
    seconds: float | None
    """Until the first response."""
    attempts: int | None
    hints: int | None
    problem: str = ""
    """The exercise's id, and its template's; empty where the file lacks them."""
    template: str = ""


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One n-back block; `rating` is the mean of the TLX scales, performance turned round."""

    row: int
    person: str
    hit: float
    correct_rejections: float
    rating: float | None

    @property
    def is_played(self) -> bool:
        """Whether a single trial was right: without one, nothing shows that it was played.

        Most such blocks (512 of 517 in `nback_tlx`) have no rating. Of the others nothing can
        be read, so they are no examples; their ratings do count in their person's mean, in
        training as in evaluation.
        """
        return self.hit > 0 or self.correct_rejections > 0


@dataclass(frozen=True, slots=True)
class ClipRow:
    """One field observation (20 s) in a tutor, with the log's response times around it.

    `last3` and `last5` are sums over the last actions of how many standard deviations
    each response was slower than is usual for its step.
    """

    row: int
    person: str
    clip: tuple[str, int]
    """Orders the clips of one person."""
    z: float
    last3: float
    last5: float
    right: float
    off_task: bool | None


def read_assistments(file: Path) -> list[ProblemRow]:
    """Rows in the file's order. Labels may be empty, or their columns absent."""
    rows = _rows(file, ("user_id", "order_id", "skill_name", "hint_total"))
    return [
        ProblemRow(
            row=number,
            person=row["user_id"],
            order=round(_number(file, number, row, "order_id")),
            skill=row["skill_name"],
            hint_total=round(_number(file, number, row, "hint_total")),
            correct=_flag(file, number, row, "correct"),
            seconds=_seconds(_optional(file, number, row, "ms_first_response")),
            attempts=_count(_optional(file, number, row, "attempt_count")),
            hints=_count(_optional(file, number, row, "hint_count")),
            problem=row.get("problem_id") or "",
            template=row.get("template_id") or "",
        )
        for number, row in enumerate(rows)
    ]


def read_nback(file: Path) -> list[BlockRow]:
    """Rows in the file's order; `rating` is None where a scale is missing."""
    rows = _rows(file, ("hit", "cr", "id"))
    return [
        BlockRow(
            row=number,
            person=row["id"],
            hit=_number(file, number, row, "hit"),
            correct_rejections=_number(file, number, row, "cr"),
            rating=_rating(file, number, row),
        )
        for number, row in enumerate(rows)
    ]


def read_offtask(file: Path) -> list[ClipRow]:
    """Rows in the file's order."""
    z, last3, last5 = "AvgtimeSDnormed", "Avgtimelast3SDnormed", "Avgtimelast5SDnormed"
    rows = _rows(file, ("Unique-id", "namea", z, last3, last5, "Avgright"))
    return [
        ClipRow(
            row=number,
            person=row["namea"],
            clip=_clip(row["Unique-id"]),
            z=_number(file, number, row, z),
            last3=_number(file, number, row, last3),
            last5=_number(file, number, row, last5),
            right=_number(file, number, row, "Avgright"),
            off_task={"Y": True, "N": False}.get(row.get("OffTask", "") or ""),
        )
        for number, row in enumerate(rows)
    ]


def _rows(file: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise BehaviourDataProblem(f"{file}: has no column {', '.join(missing)}")
            try:
                rows = list(reader)
            except csv.Error as error:
                # A quote that is never closed, most often: all that follows is one field.
                raise BehaviourDataProblem(
                    f"{file}: line {reader.reader.line_num}: not CSV: {error}"
                ) from error
    except FileNotFoundError:
        raise BehaviourDataProblem(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BehaviourDataProblem(f"{file}: not a CSV file that can be read: {error}") from error
    if not rows:
        raise BehaviourDataProblem(f"{file}: has no rows")
    for number, row in enumerate(rows):
        # What a row is too short for is None.
        short = [name for name in needed if row[name] is None]
        if short:
            raise BehaviourDataProblem(f"{file}: row {number}, {short[0]}: is missing")
    return rows


def _optional(file: Path, number: int, row: Mapping[str, str], column: str) -> float | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BehaviourDataProblem(f"{file}: row {number}, {column}: '{text}' is not a number")
    return value


def _number(file: Path, number: int, row: Mapping[str, str], column: str) -> float:
    value = _optional(file, number, row, column)
    if value is None:
        raise BehaviourDataProblem(f"{file}: row {number}, {column}: is empty")
    return value


def _flag(file: Path, number: int, row: Mapping[str, str], column: str) -> bool | None:
    value = _optional(file, number, row, column)
    return None if value is None else value >= 0.5


def _seconds(milliseconds: float | None) -> float | None:
    # The wire's longest response time is a day; some clocks in the file ran backwards.
    return None if milliseconds is None else min(max(milliseconds / 1000, 0.0), 86_400.0)


def _count(value: float | None) -> int | None:
    return None if value is None else min(max(round(value), 0), 10_000)


def _rating(file: Path, number: int, row: Mapping[str, str]) -> float | None:
    scales = [_optional(file, number, row, column) for column in _TLX]
    if any(scale is None for scale in scales):
        return None
    md, td, perf, eff, fr = (scale for scale in scales if scale is not None)
    return (md + td + eff + fr + _TLX_TOP - perf) / 5


def _clip(identity: str) -> tuple[str, int]:
    session, _, number = identity.rpartition("-")
    # What follows the time of the recording is not the same in every export.
    found = re.match(r"\d+", number)
    return (session or identity, int(found.group()) if found else 0)
