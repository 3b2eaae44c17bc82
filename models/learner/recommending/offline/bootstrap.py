"""How sure an estimate is that is made of sums over people.

Intervals are percentiles of a bootstrap over learners, not over their answers: the answers
of one person are not independent. People drawn again and again are counted, so that memory
is that of the sums, however many draws there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.learner.recommending.offline.comparison import Interval

Array = NDArray[np.float64]
Estimator = Callable[[Array], Array]
"""Of sums (columns, resamples): an estimate each, (resamples,)."""

_PERCENTILES: Final = (2.5, 97.5)
MIN_LEARNERS: Final = 20
"""Below, percentiles of the few ways to draw them are far too narrow to be called 95%."""


def resampled(columns: Array, resamples: int, seed: int) -> Array | None:
    """Sums over people drawn with replacement, the same for the same seed.

    Args:
        columns: what is summed, (columns, people).
        resamples: how often all of them are drawn.
        seed: of the draws.

    Returns:
        (columns, resamples); None where there are too few people to draw from.
    """
    people = columns.shape[1]
    if people < MIN_LEARNERS:
        return None
    rng = np.random.default_rng(seed)
    sums = np.empty((columns.shape[0], resamples))
    for index in range(resamples):
        times = np.bincount(rng.integers(0, people, people), minlength=people)
        sums[:, index] = columns @ times
    return sums


def interval(columns: Array, drawn: Array | None, estimator: Estimator) -> Interval:
    """An estimate of all people, with its interval where there are enough."""
    value = float(estimator(columns.sum(axis=1, keepdims=True))[0])
    if drawn is None:
        return Interval(value, None, None)
    low, high = np.percentile(estimator(drawn), _PERCENTILES)
    return Interval(value, float(low), float(high))
