"""How labels map to levels: read from grades.csv, which gives the reason of each row.

Errors:
    NetProblem    a table that cannot be used; names the row
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.learner.nets.serving.artefact import NetProblem
from schemas.vocabulary import Level

GRADES: Final = 7
"""Grades of urgency in the posts' rubric, from 1."""
TABLE: Final = Path(__file__).parents[1] / "grades.csv"


@dataclass(frozen=True, slots=True)
class Grading:
    """Levels of the posts' grades (index 0 is grade 1) and of the outcomes of an exercise."""

    of_grade: tuple[Level, ...]
    of_outcome: dict[str, Level]

    def level(self, grade: float) -> Level:
        """The level of a grade in [1, 7]; half grades count as the higher one."""
        return self.of_grade[min(max(int(grade + 0.5), 1), GRADES) - 1]

    def first(self, level: Level) -> int:
        """The lowest grade, 2..7, of this level or a higher one."""
        return 1 + next(i for i, of in enumerate(self.of_grade) if of.rank >= level.rank)


def load_grading(path: Path = TABLE) -> Grading:
    """Read and check the table. Raises NetProblem.

    Every grade has one level, levels never fall with the grade, and all six occur.
    """
    of_grade: dict[int, Level] = {}
    of_outcome: dict[str, Level] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if not (row["reason"] or "").strip():
                    raise NetProblem(f"{path}: {row['source']} {row['grade']}: no reason given")
                if row["source"] == "post":
                    of_grade[int(row["grade"])] = Level(row["level"])
                else:
                    of_outcome[row["grade"]] = Level(row["level"])
    except (OSError, KeyError, ValueError) as error:
        raise NetProblem(f"{path}: {error}") from error
    if sorted(of_grade) != list(range(1, GRADES + 1)):
        raise NetProblem(f"{path}: grades {sorted(of_grade)}: each of 1..{GRADES} once expected")
    levels = tuple(of_grade[grade] for grade in sorted(of_grade))
    ranks = [level.rank for level in levels]
    if ranks != sorted(ranks) or set(levels) != set(Level):
        raise NetProblem(f"{path}: levels must rise with the grade, and all six must occur")
    return Grading(levels, of_outcome)
