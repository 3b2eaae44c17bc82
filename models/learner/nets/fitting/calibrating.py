"""What a fitted part says in the labels' own odds: slopes, offsets and ordered thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from models.learner.nets.serving.grades import GRADES
from models.learner.nets.serving.inputs import Floats


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Slope of the text's part, and the thresholds."""

    slope: float
    centre: float
    thresholds: Floats

    @classmethod
    def fit(cls, part: Floats, grade: Floats) -> Calibrated:
        """By the ordinal loss; the part is centred, so that no text means the posts' odds."""
        centre = float(part.mean())
        x, above = part - centre, grade[:, None] > np.arange(1, GRADES)

        def unpack(p: Floats) -> tuple[float, Floats]:
            return float(p[0]), p[1] + np.concatenate(([0.0], np.exp(p[2:]).cumsum()))

        def loss(p: Floats) -> float:
            slope, thresholds = unpack(p)
            logit = slope * x[:, None] - thresholds
            # A weak prior on the steps: a grade that hardly occurs must not run away.
            spread = 0.5 * ((p[2:] - 0.3) ** 2).sum()
            return float((np.logaddexp(0, logit) - above * logit).sum() + spread)

        start = np.array([1.0, 0.5, *[0.0] * (GRADES - 2)])
        slope, thresholds = unpack(minimize(loss, start, method="L-BFGS-B").x)
        return cls(slope, centre, thresholds)

    def exceeds(self, part: Floats) -> Floats:
        """(n,) raw parts to (n, 6) P(g > k)."""
        return sigmoid(self.slope * (part - self.centre)[:, None] - self.thresholds)


def behaviour_output(raw: Floats, level: Floats, thresholds: Floats) -> tuple[float, float]:
    """Slope and offset of behaviour's part under the (5,) thresholds of the levels."""
    above = level[:, None] > np.arange(len(thresholds))

    def loss(p: Floats) -> float:
        logit = (p[0] * raw + p[1])[:, None] - thresholds
        return float((np.logaddexp(0, logit) - above * logit).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="BFGS").x
    return float(found[0]), float(found[1])


def sigmoid(x: Floats) -> Floats:
    """Logits to probabilities; clipped so that none overflows."""
    found: Floats = 1 / (1 + np.exp(-np.clip(x, -60, 60)))
    return found
