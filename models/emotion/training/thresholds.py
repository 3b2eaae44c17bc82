"""From logits to probabilities that mean what they say, and to labels: where to cut, by F1.

All arrays: n texts by C labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logit

from models.emotion.measuring.figures import top_label_error
from models.emotion.serving.inference import Floats, probabilities
from models.evaluation.scores import f1

Bools = npt.NDArray[np.bool_]

LARGEST = 3.9  # log odds: a shift of more would make up a label
SMALLEST = 1e-6


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


def f1_at_half(probability: Floats, truth: Bools) -> float:
    """Macro-F1 at .5 over the labels that occur."""
    scores = f1(probability >= 0.5, truth)
    return float(scores[truth.any(0)].mean()) if truth.any() else 0.0


def fit_cuts(
    logits: Floats, truth: Bools, known: Bools | None = None, trust: float = 100.0
) -> Floats:
    """The logit (C,) above which a text is given the label; NaN for one that never occurs.

    A rare label's best threshold on a few texts is mostly luck. Where probabilities are
    calibrated there is another estimate, which only needs to know them (`expected_threshold`).
    The two are averaged in log odds: the texts' own counts as much at `trust` positives.
    """
    temperature, shift = fit_platt(logits, truth, known)
    scores = probabilities(logits, temperature, shift)
    cuts = np.full(truth.shape[1], np.nan)
    for i in range(truth.shape[1]):
        rows = slice(None) if known is None else known[:, i]
        own, positives = scores[rows, i], int(truth[rows, i].sum())
        if positives:
            share = positives / (positives + trust)
            found = share * logit(fit_threshold(own, truth[rows, i]))
            found += (1 - share) * logit(expected_threshold(own))
            cuts[i] = temperature * (found - shift[i])
    return cuts


def expected_threshold(probability: Floats) -> float:
    """The threshold with the best F1 to be expected if each probability is true.

    Nan et al. (2012), Optimizing F-measure: a tale of two approaches.
    """
    ranked = np.sort(probability)[::-1]
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + ranked.sum())
    return _between(ranked, int(expected.argmax()))


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
    reached = 2 * hits / (predicted + positives)
    window = max(1, positives // 4) | 1
    padded = np.pad(reached, window // 2, mode="edge")
    smooth = np.convolve(padded, np.ones(window) / window, mode="valid")
    best = int(smooth[: min(len(smooth), 4 * positives + window)].argmax())
    return _between(probability[order], best)


def _between(ranked: Floats, last: int) -> float:
    """Halfway from the last that is taken to the next; inside (0, 1)."""
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float(np.clip((ranked[last] + below) / 2, SMALLEST, 1 - SMALLEST))


def fit_decisive(logits: Floats, truth: Bools, most_error: float = 0.0275) -> tuple[float, Floats]:
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
    cuts = np.nan_to_num(fit_cuts(logits, truth) / base + level)
    way = -cuts.clip(-LARGEST, LARGEST)
    frequency = truth.mean(0) / max(truth.mean(), 1e-12)
    found: tuple[tuple[float, float], float, Floats] | None = None
    for rarity in (0.5, 1.0, 2.0, 3.0):
        for share in np.linspace(0, 1.2, 13):
            shift = level + np.minimum(share * np.exp(-rarity * frequency), 1.0) * way
            for temperature in base * np.geomspace(0.7, 2.0, 12):
                scores = probabilities(logits, temperature, shift)
                error = top_label_error(scores, truth)
                good = error <= most_error
                rank = (1.0, f1_at_half(scores, truth)) if good else (0.0, -error)
                if found is None or rank > found[0]:
                    found = (rank, float(temperature), shift)
    assert found is not None
    return found[1], found[2]
