"""Gradient-boosted trees for log odds (Friedman, 2001; histograms as in LightGBM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation.scores import Bools
from models.learner.behaviour.serving.forest import Floats, Forest
from models.learner.behaviour.serving.scorer import Scorer, sigmoids

_BINS: Final = 48

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Boosting:
    """How trees are grown. Chosen offline by cross-validation by person; the optimum is flat."""

    trees: int = 250
    rate: float = 0.03
    depth: int = 3
    rows: float = 0.7
    """Share of rows drawn for each tree."""
    columns: float = 0.3
    """Share of features drawn for each tree."""
    least: int = 60
    """Rows in a leaf."""
    ridge: float = 5.0
    seed: int = 2009


def fit_trees(features: Floats, truth: Bools, how: Boosting) -> Scorer:
    """A scorer of trees alone."""
    rng = np.random.default_rng(how.seed)
    rows, width = features.shape
    edges = [_edges(column) for column in features.T]
    codes = np.column_stack(
        [np.searchsorted(edge, column) for edge, column in zip(edges, features.T, strict=True)]
    )
    start = float(np.log(truth.mean() / (1.0 - truth.mean())))
    logits = np.full(rows, start)
    inner = 2**how.depth - 1
    asked = np.zeros((how.trees, inner), np.intp)
    thresholds = np.full((how.trees, inner), np.inf)
    values = np.zeros((how.trees, inner + 1))
    for tree in range(how.trees):
        chance = sigmoids(logits)
        drawn: Bools = rng.random((rows,)) < how.rows
        columns = np.sort(rng.choice(width, max(1, round(how.columns * width)), replace=False))
        gradient = (truth - chance) * drawn
        weight = chance * (1.0 - chance) * drawn
        node = np.zeros(rows, np.intp)
        for at in range(inner):
            here = np.flatnonzero(node == at)
            found = _split(codes, columns, here[drawn[here]], (gradient, weight), how)
            right = np.zeros(len(here), np.intp)
            if found is not None:
                column, code = found
                asked[tree, at] = column
                thresholds[tree, at] = edges[column][code]
                right = (codes[here, column] > code).astype(np.intp)
            node[here] = 2 * at + 1 + right
        leaf = node - inner
        up = np.bincount(leaf, gradient, inner + 1)
        down = np.bincount(leaf, weight, inner + 1) + how.ridge
        values[tree] = how.rate * up / down
        logits += values[tree][leaf]
    # An infinite threshold (no split) cannot be written as JSON; the largest number can.
    thresholds = np.minimum(thresholds, np.finfo(float).max)
    return Scorer((0.0,) * width, start, Forest(asked, thresholds, values))


def _edges(column: Floats) -> Floats:
    """Thresholds between a feature's values: midway, at most _BINS - 1, at quantiles."""
    values = np.unique(column)
    between: Floats = (values[1:] + values[:-1]) / 2
    if len(between) >= _BINS:
        shares = np.linspace(0.0, 1.0, _BINS + 1)[1:-1]
        between = np.unique(np.quantile(column, shares))
    return between


def _split(
    codes: Codes, columns: Codes, here: Codes, slopes: tuple[Floats, Floats], how: Boosting
) -> tuple[int, int] | None:
    """The column and the last code of its left side that tell most; None where none may."""
    if len(here) < 2 * how.least:
        return None
    gradient, weight = slopes
    flat = (codes[np.ix_(here, columns)] + _BINS * np.arange(len(columns))).ravel()
    size = _BINS * len(columns)
    repeats = len(columns)

    def summed(of: Floats | None) -> Floats:
        weights = None if of is None else np.repeat(of[here], repeats)
        counts: Floats = np.bincount(flat, weights, size).reshape(repeats, _BINS).cumsum(1)
        return counts

    up, down, count = summed(gradient), summed(weight), summed(None)
    rest_up, rest_down, rest = (total[:, -1:] - total for total in (up, down, count))
    gain = up**2 / (down + how.ridge) + rest_up**2 / (rest_down + how.ridge)
    gain[(count < how.least) | (rest < how.least)] = -np.inf
    best = int(gain.argmax())
    column, code = divmod(best, _BINS)
    whole = up[column, -1] ** 2 / (down[column, -1] + how.ridge)
    if not gain[column, code] > whole:
        return None
    return int(columns[column]), code
