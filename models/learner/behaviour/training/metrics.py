"""Figures of probabilities against outcomes, with intervals from a bootstrap over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from models.evaluation.bootstrap import interval
from models.evaluation.scores import Bools, Floats, auc, brier, calibration_error

BINS: Final = 10
"""Equal widths of probability over which calibration is compared."""
RESAMPLES: Final = 500
_SEED: Final = 2009


@dataclass(frozen=True, slots=True)
class EstimatorFigures:
    """How well probabilities tell outcomes apart, and how far they can be taken at their word."""

    n: int
    people: int
    positives: int
    auc: float
    ece: float
    brier: float
    interval: tuple[float, float]
    """95% of the AUC, people drawn with replacement."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def measure(probability: Floats, truth: Bools, people: Sequence[str]) -> EstimatorFigures:
    """All figures; arrays of one length. Raises ValueError where there is only one outcome."""
    if not 0 < truth.sum() < len(truth):
        raise ValueError("all outcomes are the same: nothing can be told apart")
    return EstimatorFigures(
        n=len(truth),
        people=len(set(people)),
        positives=int(truth.sum()),
        auc=auc(probability, truth),
        ece=ece(probability, truth),
        brier=brier(probability, truth),
        interval=interval(auc, probability, truth, people, resamples=RESAMPLES, seed=_SEED),
    )


def ece(probability: Floats, truth: Bools) -> float:
    """Expected calibration error over BINS bins of equal width."""
    return calibration_error(probability, truth, BINS)
