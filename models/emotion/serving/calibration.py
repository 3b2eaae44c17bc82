"""From logits to probabilities that mean what they say.

Guo et al. (2017), On Calibration of Modern Neural Networks: temperature. All arrays: n texts by C
labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def probabilities(logits: npt.ArrayLike, temperature: float, shift: npt.ArrayLike = 0.0) -> Floats:
    """sigmoid(logits / temperature + shift), each in [0, 1]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature + np.asarray(shift)
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(scaled, -60, 60)))
    return result


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
