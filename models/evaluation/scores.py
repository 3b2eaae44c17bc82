"""Figures of predictions against what was true. Pure; all in float64."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Truth = Floats | Bools
"""Of two outcomes: True or 1 is the positive one."""

_Z95: Final = 1.96
"""Standard deviations of a normal distribution within which 95% lie."""


def auc(predicted: Floats, truth: Truth) -> float:
    """Area under the ROC curve, ties counting half; NaN where truth has one outcome only.

    Args: predicted: (n,), any scale, more is likelier. truth: (n,).
    Source: as the Mann-Whitney U statistic (Hanley and McNeil, 1982).
    """
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = rankdata(predicted)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(predicted: Floats, truth: Truth) -> float:
    """Precision at each threshold, weighted by the recall that it adds; NaN without positives.

    Rows of one score come in together, whatever their order.

    Args: predicted: (n,), any scale, more is likelier. truth: (n,).
    Source: as Zhu (2004), and scikit-learn's average_precision_score.
    """
    order = np.argsort(-predicted, kind="stable")
    score, hit = predicted[order], truth[order] > 0.5
    if not hit.any():
        return float("nan")
    last = np.append(np.nonzero(np.diff(score))[0], len(score) - 1)  # of each score
    hits = np.cumsum(hit)[last]
    return float((np.diff(hits, prepend=0) * hits / (last + 1)).sum() / hit.sum())


def brier(predicted: Floats, truth: Truth) -> float:
    """Mean squared error of a probability; 0 is perfect."""
    return float(((predicted - truth) ** 2).mean())


def rmse(predicted: Floats, truth: Truth) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(((predicted - truth) ** 2).mean()))


def pearson(predicted: Floats, truth: Truth, flat: float = np.nan) -> float:
    """Correlation of two vectors; `flat` where one does not vary."""
    if len(predicted) < 2 or predicted.std() == 0 or truth.std() == 0:
        return flat
    return float(np.corrcoef(predicted, truth)[0, 1])


def spearman(predicted: Floats, truth: Truth, flat: float = np.nan) -> float:
    """Rank correlation, ties by mean rank; `flat` where one does not vary."""
    return pearson(rankdata(predicted), rankdata(truth), flat)


def f1(predicted: Bools, truth: Bools) -> Floats:
    """F1 of each label (C,); 0 where a label is neither predicted right nor ever right.

    Args: predicted, truth: (n, C).
    """
    hits = (predicted & truth).sum(0)
    total = predicted.sum(0) + truth.sum(0)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0)


def precision_and_recall(predicted: Bools, truth: Bools) -> tuple[Floats, Floats]:
    """Of each label, (C,) and (C,); 0 where it was never predicted, or is never right.

    Args: predicted, truth: (n, C).
    """
    hits = (predicted & truth).sum(0)
    return hits / np.maximum(predicted.sum(0), 1), hits / np.maximum(truth.sum(0), 1)


def calibration_error(probability: Floats, truth: Truth, bins: int) -> float:
    """Expected calibration error over bins of equal width; 0 is perfect.

    Args: probability: (n,), in [0, 1]. truth: (n,).
    Source: Naeini and others (2015), Guo and others (2017).
    """
    gaps = np.bincount(_bin_of(probability, bins), probability - truth, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def calibration_error_of_counts(probability: Floats, truth: Truth, bins: int) -> float:
    """The same over bins that hold as many rows each; not to be compared with the other."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(probability[p].mean() - truth[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(order))


def reliability(confidence: Floats, correct: Bools, bins: int) -> list[dict[str, float]]:
    """Bins of equal width that hold a row: their mean confidence, accuracy and share of rows."""
    index = _bin_of(confidence, bins)
    rows = []
    for b in np.unique(index):
        inside = index == b
        rows.append(
            {
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(correct[inside].mean()),
                "share": float(inside.mean()),
            }
        )
    return rows


def _bin_of(probability: Floats, bins: int) -> npt.NDArray[np.int64]:
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95% interval of a share of `of` > 0 independent tries. Source: Wilson (1927)."""
    z2 = _Z95**2
    share, wide = hits / of, 1 + z2 / of
    middle = (share + z2 / (2 * of)) / wide
    half = _Z95 * np.sqrt(share * (1 - share) / of + z2 / (4 * of**2)) / wide
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
