"""How sure a figure is: percentiles of a bootstrap over people.

People are drawn with replacement, not their rows: the rows of one person are not independent.
The same seed gives the same draws. A figure that is made of sums takes `resampled_sums`, which
needs no more memory than the sums; any other takes `interval`.

Source: Efron and Tibshirani (1993), percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Final

import numpy as np

from models.evaluation.scores import Floats, Truth

PERCENTILES: Final = (2.5, 97.5)
"""What 95% lie between."""

Figure = Callable[[Floats, Truth], float]
"""Of (predicted, truth), each (n,)."""


def interval(
    figure: Figure,
    predicted: Floats,
    truth: Truth,
    people: Sequence[Hashable],
    *,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """95% of a figure; draws of which it is NaN do not count, and NaN where all are.

    Args: predicted, truth: (n,). people: whom each row is of, (n,).
    """
    rows = list(_rows_of(people).values())
    rng = np.random.default_rng(seed)
    values = np.empty(resamples)
    for i in range(resamples):
        drawn = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        values[i] = figure(predicted[drawn], truth[drawn])
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, PERCENTILES)
    return float(low), float(high)


def mean_interval(
    values: Floats, people: Sequence[Hashable], *, resamples: int, seed: int
) -> tuple[float, float]:
    """95% of the mean of `values` (n,)."""
    rows = _rows_of(people).values()
    sums = np.array([[values[of].sum(), len(of)] for of in rows]).T
    total, count = resampled_sums(sums, resamples, seed)
    low, high = np.percentile(total / count, PERCENTILES)
    return float(low), float(high)


def resampled_sums(columns: Floats, resamples: int, seed: int) -> Floats:
    """Sums over people drawn with replacement.

    Args: columns: what is summed, (columns, people).
    Returns: (columns, resamples).
    """
    people = columns.shape[1]
    rng = np.random.default_rng(seed)
    sums = np.empty((columns.shape[0], resamples))
    for index in range(resamples):
        times = np.bincount(rng.integers(0, people, people), minlength=people)
        sums[:, index] = columns @ times
    return sums


def _rows_of(people: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    rows: dict[Hashable, list[int]] = {}
    for row, person in enumerate(people):
        rows.setdefault(person, []).append(row)
    return rows
