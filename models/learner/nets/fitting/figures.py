"""How well a net does: what its card's figures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation import bootstrap
from models.evaluation.bootstrap import Figure
from models.evaluation.scores import Floats, Truth, calibration_error_of_counts

RESAMPLES: Final = 1_000
BINS: Final = 10


def ece(predicted: Floats, truth: Truth) -> float:
    """Expected calibration error over BINS bins of equal counts."""
    return calibration_error_of_counts(predicted, truth, BINS)


def interval(
    figure: Figure, predicted: Floats, truth: Floats, people: Sequence[str]
) -> list[float]:
    """95% of the figure over resampled people (seed fixed); [NaN, NaN] with fewer than two."""
    if len(set(people)) < 2:
        return [float("nan")] * 2
    return [*bootstrap.interval(figure, predicted, truth, people, resamples=RESAMPLES, seed=0)]


def folds_of(people: Sequence[str], folds: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """(n,) fold of each row, a whole person in one."""
    names = sorted(set(people))
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {name: int(order[i]) % folds for i, name in enumerate(names)}
    return np.array([fold[person] for person in people])
