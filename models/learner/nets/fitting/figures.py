"""How well a net does: figures, and their intervals from a bootstrap over people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from models.learner.nets.serving.inputs import Floats

RESAMPLES: Final = 1_000
BINS: Final = 10

Figure = Callable[[Floats, Floats], float]
"""(predicted, truth), each (n,)."""


def auc(predicted: Floats, truth: Floats) -> float:
    """Area under the ROC curve, ties counting half; NaN where truth has one class only."""
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = rankdata(predicted)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def ece(predicted: Floats, truth: Floats) -> float:
    """Expected calibration error over BINS bins of equal counts."""
    order = np.argsort(predicted, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    gaps = [abs(predicted[p].mean() - truth[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(order))


def brier(predicted: Floats, truth: Floats) -> float:
    """Mean squared error of a probability."""
    return float(((predicted - truth) ** 2).mean())


def rmse(predicted: Floats, truth: Floats) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(((predicted - truth) ** 2).mean()))


def spearman(predicted: Floats, truth: Floats) -> float:
    """Rank correlation, ties by mean rank; NaN where one does not vary."""
    a, b = rankdata(predicted), rankdata(truth)
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def interval(
    figure: Figure, predicted: Floats, truth: Floats, people: Sequence[str]
) -> list[float]:
    """95% of the figure over resampled people (seed fixed); [NaN, NaN] with fewer than two."""
    groups = _rows_of(people)
    if len(groups) < 2:
        return [float("nan")] * 2
    rng = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(groups), size=len(groups))
        rows = np.concatenate([groups[i] for i in chosen])
        values.append(figure(predicted[rows], truth[rows]))
    low, high = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else [np.nan] * 2
    return [float(low), float(high)]


def folds_of(people: Sequence[str], folds: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """(n,) fold of each row, a whole person in one."""
    names = sorted(set(people))
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {name: int(order[i]) % folds for i, name in enumerate(names)}
    return np.array([fold[person] for person in people])


def _rows_of(people: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    rows: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        rows.setdefault(person, []).append(row)
    return [np.array(found) for found in rows.values()]
