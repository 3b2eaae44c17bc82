"""From logits to probabilities that mean what they say, and to labels.

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


def fit_temperature(logits: Floats, truth: Floats, known: Bools) -> float:
    """The temperature with the least negative log likelihood on the known cells."""
    if not known.any():
        return 1.0
    z, y = logits[known], truth[known]
    candidates = np.geomspace(0.3, 4.0, 120)

    def loss(t: float) -> float:
        return float(np.mean(np.logaddexp(0, z / t) - y * z / t))

    return float(min(candidates, key=loss))


def fit_platt(logits: Floats, truth: Bools) -> tuple[float, Floats]:
    """One temperature, and a shift for each label (C,), with the least negative log likelihood.

    Platt (1999), with the slope shared: a rare label alone has too few texts to fit two.
    """
    labels = logits.shape[1]

    def loss_and_slope(x: Floats) -> tuple[float, Floats]:
        temperature, z = np.exp(x[0]), logits / np.exp(x[0]) + x[1:]
        error = probabilities(z, 1.0) - truth
        loss = np.sum(np.logaddexp(0, z) - truth * z) / len(truth)
        by_temperature = -np.sum(error * logits) / temperature / len(truth)
        return float(loss), np.concatenate([[by_temperature], error.sum(0) / len(truth)])

    bounds = [(-2.0, 2.0), *[(-10.0, 10.0)] * labels]
    found = minimize(loss_and_slope, np.zeros(labels + 1), jac=True, bounds=bounds).x
    return float(np.exp(found[0])), np.asarray(found[1:], dtype=np.float64)


def fit_decisive(logits: Floats, truth: Bools, most_error: float = 0.025) -> tuple[float, Floats]:
    """Temperature, and a shift for each label (C,), that make .5 a useful threshold.

    Starts from `fit_platt`, where a rare label's best threshold lies far below .5. Rare
    labels are then shifted towards it, the rarer the more (they are seldom the most
    probable one), and the temperature makes good for it: of all such changes after which
    the top label has a calibration error of at most `most_error`, the one with the best
    macro-F1 at .5; the least error when there is none. Three free numbers for all labels.
    """
    if not len(truth):
        return 1.0, np.zeros(logits.shape[1])
    base, level = fit_platt(logits, truth)
    scores = probabilities(logits, base, level)
    best = np.array([fit_threshold(scores[:, i], truth[:, i]) for i in range(truth.shape[1])])
    best = best.clip(0.02, 0.98)
    way = -np.log(best / (1 - best))
    frequency = truth.mean(0) / max(truth.mean(), 1e-12)
    found: tuple[tuple[float, float], float, Floats] | None = None
    for rarity in (0.5, 1.0, 2.0, 3.0):
        for share in np.linspace(0, 1.2, 13):
            shift = level + np.minimum(share * np.exp(-rarity * frequency), 1.0) * way
            for temperature in base * np.geomspace(0.7, 2.0, 12):
                scores = probabilities(logits, temperature, shift)
                error = expected_calibration_error(*top_label(scores, truth))
                good = error <= most_error
                rank = (1.0, f1_at_half(scores, truth)) if good else (0.0, -error)
                if found is None or rank > found[0]:
                    found = (rank, float(temperature), shift)
    assert found is not None
    return found[1], found[2]


def f1_at_half(probability: Floats, truth: Bools) -> float:
    """Macro-F1 at .5 over the labels that occur."""
    predicted = probability >= 0.5
    hits = (predicted & truth).sum(0)
    total = predicted.sum(0) + truth.sum(0)
    scores = 2 * hits / np.maximum(total, 1)
    return float(scores[truth.any(0)].mean()) if truth.any() else 0.0


def fit_threshold(probability: Floats, truth: Bools) -> float:
    """The threshold on one label's probability with the best F1.

    Candidates lie halfway between neighbouring probabilities. F1 is smoothed over a
    window of candidates: a rare label's best single point is mostly luck.
    """
    positives = int(truth.sum())
    if positives == 0:
        return 0.5
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(truth[order])
    predicted = np.arange(1, len(order) + 1)
    f1 = 2 * hits / (predicted + positives)
    window = max(1, positives // 4) | 1
    padded = np.pad(f1, window // 2, mode="edge")
    smooth = np.convolve(padded, np.ones(window) / window, mode="valid")
    best = int(smooth[: min(len(smooth), 4 * positives + window)].argmax())
    ranked = probability[order]
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)
