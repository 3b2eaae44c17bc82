"""Figures of probabilities against outcomes, with intervals from a bootstrap over people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BINS: Final = 10
"""Equal widths of probability over which calibration is compared."""
RESAMPLES: Final = 500
_SEED: Final = 2009


@dataclass(frozen=True, slots=True)
class Figures:
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


def measure(probability: Floats, truth: Bools, people: Sequence[str]) -> Figures:
    """All figures; arrays of one length. Raises ValueError where there is only one outcome."""
    if not 0 < truth.sum() < len(truth):
        raise ValueError("all outcomes are the same: nothing can be told apart")
    return Figures(
        n=len(truth),
        people=len(set(people)),
        positives=int(truth.sum()),
        auc=auc(probability, truth),
        ece=ece(probability, truth),
        brier=brier(probability, truth),
        interval=_interval(probability, truth, people),
    )


def auc(probability: Floats, truth: Bools) -> float:
    """Area under the ROC curve; ties count half."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    ranks = rankdata(probability)[truth].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def ece(probability: Floats, truth: Bools) -> float:
    """Expected calibration error over BINS equal widths (Naeini and others, 2015)."""
    bins = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, probability - truth, minlength=BINS)
    return float(np.abs(gaps).sum() / len(truth))


def brier(probability: Floats, truth: Bools) -> float:
    """Mean squared error of the probabilities; 0 is perfect."""
    return float(np.mean((probability - truth) ** 2))


def _interval(probability: Floats, truth: Bools, people: Sequence[str]) -> tuple[float, float]:
    rng = np.random.default_rng(_SEED)
    rows: dict[str, list[int]] = {}
    for index, person in enumerate(people):
        rows.setdefault(person, []).append(index)
    groups = [np.array(found) for found in rows.values()]
    values = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        if 0 < truth[drawn].sum() < len(drawn):
            values.append(auc(probability[drawn], truth[drawn]))
    low, high = np.quantile(values, (0.025, 0.975)) if values else (0.0, 1.0)
    return float(low), float(high)
