"""What a comparison of policies found, as figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.bootstrap import PERCENTILES, resampled_sums
from models.evaluation.scores import Floats

Estimator = Callable[[Floats], Floats]
"""Of sums (columns, resamples): an estimate each, (resamples,)."""

MIN_LEARNERS: Final = 20
"""Below, percentiles of the few ways to draw them are far too narrow to be called 95%."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the 95% interval of its bootstrap; without, where people are too few."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f} [too few learners]"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def as_json(self) -> dict[str, float | None]:
        """value, low, high."""
        return {"value": self.value, "low": self.low, "high": self.high}


def resampled(columns: Floats, resamples: int, seed: int) -> Floats | None:
    """Sums over people drawn again, (columns, resamples); None where they are too few."""
    enough = columns.shape[1] >= MIN_LEARNERS
    return resampled_sums(columns, resamples, seed) if enough else None


def interval(columns: Floats, drawn: Floats | None, estimator: Estimator) -> Interval:
    """An estimate of all people, with its interval where there are enough."""
    value = float(estimator(columns.sum(axis=1, keepdims=True))[0])
    if drawn is None:
        return Interval(value, None, None)
    low, high = np.percentile(estimator(drawn), PERCENTILES)
    return Interval(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What one policy would have earned a place, by each estimator."""

    ips: Interval | None
    """None where `unsupported` is too large for the log to say."""
    doubly_robust: Interval | None
    """None where `ips` is."""
    unsupported: float
    """Share of the places, 0..1, that it would have given to what the log could not show."""
    effective_answers: float
    """(Σw)² / Σw²: how many answers the weights leave (Kish, 1965)."""
    largest_weight: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A log, and what policies would have earned on it."""

    decisions: int
    """Compared ones."""
    left_out: int
    """Decisions with a candidate that the catalogue does not have: nobody can say what a policy
    would have done there."""
    learners: int
    shown: int
    answers: int
    logged: Interval
    """Mean reward of what was really shown."""
    policies: Mapping[str, PolicyValue]

    def as_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        return {
            "n": self.decisions,
            "left_out": self.left_out,
            "learners": self.learners,
            "shown": self.shown,
            "answers": self.answers,
            "logged": self.logged.as_json(),
            "policies": {
                name: {
                    "ips": value.ips and value.ips.as_json(),
                    "doubly_robust": value.doubly_robust and value.doubly_robust.as_json(),
                    "unsupported": value.unsupported,
                    "effective_answers": value.effective_answers,
                    "largest_weight": value.largest_weight,
                }
                for name, value in self.policies.items()
            },
        }
