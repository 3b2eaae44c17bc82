"""A trained estimator as plain numbers, evaluated without numpy in a few microseconds.

probability = sigmoid(intercept + w . x + sum over trees of a leaf's value)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

_FAR: Final = 30.0
"""Logits are cut here: beyond, a probability is 0 or 1 to double precision anyway."""

Node = tuple[int, float, int, int]
"""Feature, threshold (at most: left), left, right; a leaf has feature -1 and its value."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """A logistic model, with a sum of trees where that was better in cross-validation."""

    weights: tuple[float, ...]
    intercept: float
    trees: tuple[tuple[Node, ...], ...] = ()

    def logit(self, features: Sequence[float]) -> float:
        """Log odds; `features` in the order of training."""
        total = self.intercept
        for weight, value in zip(self.weights, features, strict=True):
            total += weight * value
        for nodes in self.trees:
            feature, value, left, right = nodes[0]
            while feature >= 0:
                feature, value, left, right = nodes[left if features[feature] <= value else right]
            total += value
        return total

    def probability(self, features: Sequence[float]) -> float:
        """In [0, 1]."""
        return sigmoid(self.logit(features))


def sigmoid(logit: float) -> float:
    """1 / (1 + e^-x), for any x."""
    return 1.0 / (1.0 + exp(-min(max(logit, -_FAR), _FAR)))
