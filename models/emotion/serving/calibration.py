"""From logits to probabilities that mean what they say.

Guo et al. (2017), On Calibration of Modern Neural Networks: temperature, and the
expected calibration error. All arrays: n texts by C labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BINS = 15


def probabilities(logits: npt.ArrayLike, temperature: float, shift: npt.ArrayLike = 0.0) -> Floats:
    """sigmoid(logits / temperature + shift), each in [0, 1]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature + np.asarray(shift)
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(scaled, -60, 60)))
    return result


def reliability(confidence: Floats, correct: Bools, bins: int = BINS) -> list[dict[str, float]]:
    """Equal-width bins that hold a text: their mean confidence, accuracy and share."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for b in range(bins):
        inside = index == b
        if inside.any():
            rows.append(
                {
                    "confidence": float(confidence[inside].mean()),
                    "accuracy": float(correct[inside].mean()),
                    "share": float(inside.mean()),
                }
            )
    return rows


def expected_calibration_error(confidence: Floats, correct: Bools, bins: int = BINS) -> float:
    """Mean over the bins, weighted by share, of |accuracy - confidence|; 0 is perfect."""
    rows = reliability(confidence, correct, bins)
    return float(sum(r["share"] * abs(r["accuracy"] - r["confidence"]) for r in rows))


def top_label(probability: Floats, truth: Bools) -> tuple[Floats, Bools]:
    """Confidence of the most probable label, and whether it is among the true ones."""
    best = probability.argmax(1)
    rows = np.arange(len(best))
    return probability[rows, best], truth[rows, best]


def fit_platt(logits: Floats, truth: Bools, known: Bools | None = None) -> tuple[float, Floats]:
    """One temperature, and a shift for each label (C,), with the least negative log likelihood.

    Platt (1999), with the slope shared: a rare label alone has too few texts to fit two.
    `known` (n, C): which cells are labelled; None: all.
    """
    labels = logits.shape[1]
    counted = np.ones(logits.shape) if known is None else known.astype(np.float64)

    def loss_and_slope(x: Floats) -> tuple[float, Floats]:
        temperature, z = np.exp(x[0]), logits / np.exp(x[0]) + x[1:]
        error = (probabilities(z, 1.0) - truth) * counted
        loss = np.sum((np.logaddexp(0, z) - truth * z) * counted) / len(truth)
        by_temperature = -np.sum(error * logits) / temperature / len(truth)
        return float(loss), np.concatenate([[by_temperature], error.sum(0) / len(truth)])

    bounds = [(-2.0, 2.0), *[(-10.0, 10.0)] * labels]
    found = minimize(loss_and_slope, np.zeros(labels + 1), jac=True, bounds=bounds).x
    return float(np.exp(found[0])), np.asarray(found[1:], dtype=np.float64)
