"""What is known of a provider: sums of outcomes that fade, pooled over tasks and moods.

Every outcome counts in three cells: the provider's, the provider's for this task, and
the provider's for this task and mood. A cell's assumption is what its wider cell says,
so that a rare situation learns from the common ones and departs from them with evidence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.vocabulary import Mood, Task

ANY: Final = "*"
"""Stands for every task, or every mood."""


class Quality(StrEnum):
    """What an outcome tells of. All in [0, 1] but FIRST_TEXT."""

    SUCCESS = "success"
    SPEED = "speed"
    THRIFT = "thrift"
    HELPFUL = "helpful"
    FIRST_TEXT = "first_text"
    """Natural logarithm of the seconds to the first text; says when to hedge."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What a provider is chosen for."""

    task: Task
    mood: Mood


@dataclass(frozen=True, slots=True)
class Cell:
    """Where evidence is kept."""

    provider: str
    task: str
    mood: str
    quality: Quality


@dataclass(frozen=True, slots=True)
class Evidence:
    """Weighted sums of one quality, as they stood at `at`.

    Attributes:
        weight: sum of weights, >= 0.
        total, square: weighted sums of values and of their squares.
        at: seconds, of any clock that all who add share.
    """

    weight: float = 0.0
    total: float = 0.0
    square: float = 0.0
    at: float = 0.0

    def faded(self, now: float, half_life: float) -> Evidence:
        """As it counts at `now`; a clock that went back fades nothing."""
        kept = 0.5 ** (max(0.0, now - self.at) / half_life)
        return Evidence(
            self.weight * kept, self.total * kept, self.square * kept, max(now, self.at)
        )

    def plus(self, value: float, now: float, half_life: float) -> Evidence:
        """With one more outcome."""
        old = self.faded(now, half_life)
        return Evidence(old.weight + 1.0, old.total + value, old.square + value * value, old.at)


NOTHING: Final = Evidence()

Known = Mapping[Cell, Evidence]
"""All evidence there is; a cell that is not in it holds nothing."""


def cells(provider: str, situation: Situation, quality: Quality) -> Iterator[Cell]:
    """The three cells of an outcome, the widest first."""
    yield Cell(provider, ANY, ANY, quality)
    yield Cell(provider, situation.task, ANY, quality)
    yield Cell(provider, situation.task, situation.mood, quality)
