"""Figures of a model against labels. All arrays: n texts by C labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from models.emotion.serving.calibration import Bools, Floats


def f1(predicted: Bools, truth: Bools) -> Floats:
    """F1 of each label (C,); 0 where a label is neither predicted right nor ever right."""
    hits = (predicted & truth).sum(0)
    total = predicted.sum(0) + truth.sum(0)
    return np.where(total > 0, 2 * hits / np.maximum(total, 1), 0.0)


def per_class(
    names: Sequence[str], probability: Floats, threshold: Floats, truth: Bools
) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1, F1 at .5, threshold and support of every label."""
    predicted = probability >= threshold
    scores, scores_at_half = f1(predicted, truth), f1(probability >= 0.5, truth)
    hits = (predicted & truth).sum(0)
    return {
        name: {
            "precision": float(hits[i] / max(predicted[:, i].sum(), 1)),
            "recall": float(hits[i] / max(truth[:, i].sum(), 1)),
            "f1": float(scores[i]),
            "f1_at_half": float(scores_at_half[i]),
            "threshold": float(threshold[i]),
            "support": int(truth[:, i].sum()),
        }
        for i, name in enumerate(names)
    }


def top_k(probability: Floats, truth: Bools, k: int) -> float:
    """Share of texts with a true label among the k most probable."""
    best = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(truth, best, axis=1).any(1).mean())


def pearson(predicted: Floats, truth: Floats) -> float:
    """Correlation of two vectors; 0 where one does not vary."""
    if len(predicted) < 2 or predicted.std() == 0 or truth.std() == 0:
        return 0.0
    return float(np.corrcoef(predicted, truth)[0, 1])


def spearman(predicted: Floats, truth: Floats) -> float:
    """Rank correlation of two vectors, ties by mean rank; 0 where one does not vary."""
    return pearson(rankdata(predicted), rankdata(truth))


def confusion(probability: Floats, truth: Bools) -> npt.NDArray[np.int64]:
    """(C, C) counts: row a true label, column the most probable one."""
    table = np.zeros((truth.shape[1],) * 2, dtype=np.int64)
    best = probability.argmax(1)
    for row, label in zip(*np.nonzero(truth), strict=True):
        table[label, best[row]] += 1
    return table
