"""Forum posts with their urgency, and their affect embeddings by the emotion model that serves."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.emotion.artefact.artefact import Artefact
from models.emotion.config import EmotionSettings
from models.emotion.measuring.evaluation import as_served
from models.emotion.training.examples import Example
from models.emotion.training.sources import by_group
from models.learner.nets.serving.artefact import NetProblem
from models.learner.nets.serving.grades import GRADES
from models.learner.nets.serving.inputs import Floats


@dataclass(frozen=True, slots=True)
class Post:
    """One row. `group` is the post's id: rows that share it stay on one side of a split."""

    group: str
    text: str
    grade: float | None
    """1..7, or None where it was not graded."""

    @property
    def is_dev(self) -> bool:
        """Whether the emotion model's training left it out (`sources.by_group` there)."""
        return bool(by_group([(self.group, Example(self.text))])[1])


def read_posts(file: Path) -> list[Post]:
    """Rows in the file's order; the columns of the grade and the id may be missing.

    Raises NetProblem that names file, row and column.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if "post_text" not in (reader.fieldnames or ()):
                raise NetProblem(f"{file}: has no column post_text")
            return [
                Post(
                    row.get("id") or str(number), row["post_text"] or "", _grade(file, number, row)
                )
                for number, row in enumerate(reader)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NetProblem(f"{file}: cannot be read as CSV: {error}") from error


def embed(artefact: Artefact, texts: Sequence[str], settings: EmotionSettings) -> Floats:
    """(n, A) affect embeddings, cut, batched and rounded as serving does."""
    found: Floats = as_served(artefact, texts, settings).affect.astype(np.float64)
    return found


def _grade(file: Path, number: int, row: dict[str, str]) -> float | None:
    text = (row.get("Urgency_1_7") or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 1 <= value <= GRADES:
        raise NetProblem(f"{file}: row {number}, Urgency_1_7: '{text}' is not in 1..{GRADES}")
    return value
