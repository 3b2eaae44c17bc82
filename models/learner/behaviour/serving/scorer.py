"""A trained estimator as plain numbers, evaluated in a few microseconds (trees: tens).

probability = sigmoid(intercept + w . x + sum over trees of a leaf's value)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

import numpy as np

from models.learner.behaviour.serving.forest import Floats, Forest

_FAR: Final = 30.0
"""Logits are cut here: beyond, a probability is 0 or 1 to double precision anyway."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A logistic model, with a sum of trees where that was better in cross-validation."""

    weights: tuple[float, ...]
    intercept: float
    trees: Forest | None = None

    def logit(self, features: Sequence[float]) -> float:
        """Log odds; `features` in the order of training."""
        total = self.intercept
        for weight, value in zip(self.weights, features, strict=True):
            total += weight * value
        return total if self.trees is None else total + self.trees.value(features)

    def probability(self, features: Sequence[float]) -> float:
        """In [0, 1]."""
        return sigmoid(self.logit(features))


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-x), for any x."""
    return 1.0 / (1.0 + exp(-min(max(logit, -_FAR), _FAR)))


def sigmoids(logits: Floats) -> Floats:
    """`sigmoid` of each."""
    chances: Floats = 1.0 / (1.0 + np.exp(-np.clip(logits, -_FAR, _FAR)))
    return chances
