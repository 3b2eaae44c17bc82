"""Which of the 41 emotions a source's label teaches, read from `mapping.csv`.

Every row of that file gives a reason. A label that maps to no emotion still
teaches the auxiliary head of its source, never one of the 41.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from schemas.topics.emotions import Emotion

EMOTIONS: tuple[Emotion, ...] = tuple(Emotion)
MAPPING = Path(__file__).parent / "mapping.csv"


class MappedLabel(NamedTuple):
    """One row of the mapping."""

    source: str
    label: str
    emotion: Emotion | None
    reason: str


@lru_cache(maxsize=1)
def mapping() -> tuple[MappedLabel, ...]:
    """Every row, in the file's order.

    Raises ValueError that names the row when an emotion is not one of the 41.
    """
    rows = []
    with MAPPING.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            name = row["emotion"]
            if name and name not in set(EMOTIONS):
                raise ValueError(f"{MAPPING.name}:{line}: {name!r} is not one of the 41 emotions")
            emotion = Emotion(name) if name else None
            rows.append(MappedLabel(row["source"], row["label"], emotion, row["reason"]))
    return tuple(rows)


def source_labels(source: str) -> tuple[str, ...]:
    """The source's own label names, in the order of its ids."""
    return tuple(row.label for row in mapping() if row.source == source)


def emotion_of(source: str, label: str) -> Emotion | None:
    """The emotion that the label teaches, or None. KeyError for an unknown label."""
    for row in mapping():
        if row.source == source and row.label == label:
            return row.emotion
    raise KeyError(f"{source} has no label {label!r}")


def annotated(source: str) -> frozenset[Emotion]:
    """The emotions that a source annotates: those whose absence it teaches as well."""
    return frozenset(row.emotion for row in mapping() if row.source == source and row.emotion)


GOEMOTIONS: tuple[str, ...] = source_labels("goemotions")
