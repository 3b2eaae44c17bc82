"""What the nets read: features by name, each with how far to trust it.

A feature that is not known is absent: it is masked, not zero. Serving and training
both come through `practice_of`, so that a net sees in production what it was fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from math import isfinite, log
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.learner.evidence import Evidence, Measure

Floats = npt.NDArray[np.float64]

LARGEST: Final = 6.0
"""Standard deviations that an input is cut at."""

AFFECT_WIDTH: Final = 64
"""Numbers in an affect embedding, at most (models/emotion/artefact/card.py, Shape.affect)."""

READINESS_INPUTS: Final[Mapping[str, int]] = {
    "affect": AFFECT_WIDTH,
    "engagement": 1,
    "cognitive_load": 1,
    "focus": 1,
    "fatigue": 1,
    "accuracy": 2,
    "hints": 2,
    "attempts": 2,
    "pace": 1,
    "time_in_session": 1,
}
"""Inputs of the readiness net and how many numbers each has."""

BEHAVIOUR_INPUTS: Final[Mapping[str, int]] = {
    "readiness": 1,
    "cognitive_load": 1,
    "time_in_session": 1,
    "trajectory": 2,
    "accuracy": 2,
    "hints": 2,
    "attempts": 2,
    "pace": 1,
}
"""Inputs of the intervention net beside the affect embedding."""

ANSWERED: Final = ("accuracy", "hints", "attempts")
"""Inputs that rest on answers; without any, neither net takes behaviour for evidence."""

_PRACTICE: Final = {
    "accuracy": Measure.CORRECT,
    "hints": Measure.HINTS,
    "attempts": Measure.ATTEMPTS,
}
_FASTEST: Final = 0.05  # seconds; bounds the logarithm of a response time


class Feature(NamedTuple):
    """Numbers of one input, and how far to trust them, in [0, 1]."""

    values: tuple[float, ...]
    confidence: float


def model_key(version: str) -> int:
    """A model's version as 64 bits: a record need not hold its name."""
    return int.from_bytes(blake2b(version.encode(), digest_size=8).digest(), "little")


Features = Mapping[str, Feature]
"""Inputs by name; absent ones are masked."""


@dataclass(frozen=True, slots=True)
class Affect:
    """The decayed mean of a learner's affect embeddings.

    model: key of the emotion model's version (`model_key`); embeddings of two
        models have nothing in common, and a net reads only those it was fitted to
    weight: decayed number of messages in the mean, above 0
    values: the mean, (AFFECT_WIDTH,) or narrower
    """

    model: int
    weight: float
    values: Floats


@dataclass(frozen=True, slots=True)
class NetInputs:
    """Everything one evaluation of both nets reads."""

    features: Features = field(default_factory=dict)
    affect: Affect | None = None


def practice_of(evidence: Evidence, least: float, half: float) -> dict[str, Feature]:
    """Accuracy, hints, attempts and pace from decayed sums: now, and over weeks.

    least: weight below which there is no evidence (ConfidenceSettings.min_evidence)
    half: interactions' worth of weight at which confidence is 0.5
    """
    found: dict[str, Feature] = {}
    for name, measure in _PRACTICE.items():
        weight = evidence.session[2 * measure + 1]
        long_weight = evidence.long[2 * measure + 1]
        if weight >= least and long_weight >= least:
            now = evidence.session[2 * measure] / weight
            long = evidence.long[2 * measure] / long_weight
            if measure is not Measure.CORRECT:  # counts without a bound
                now, long = log(1 + max(now, 0.0)), log(1 + max(long, 0.0))
            found[name] = Feature((now, long), weight / (weight + half))
    at = 2 * Measure.RESPONSE_TIME
    weight, long_weight = evidence.session[at + 1], evidence.long[at + 1]
    if weight >= least and long_weight >= least:
        now = max(evidence.session[at] / weight, _FASTEST)
        norm = max(evidence.long[at] / long_weight, _FASTEST)
        found["pace"] = Feature((log(now / norm),), weight / (weight + half))
    return found


def time_feature(seconds: float) -> Feature:
    """Time in session. A clock's reading is no evidence: it adds nothing to confidence."""
    return Feature((log(1 + max(seconds, 0.0) / 60),), 0.0)


def standardised(values: Floats, centre: Floats, scale: Floats) -> Floats:
    """In standard deviations; beyond LARGEST an input says no more."""
    with np.errstate(over="ignore"):
        z = (values - centre) * scale
    # np.clip costs several times as much for so few numbers.
    found: Floats = np.minimum(np.maximum(z, -LARGEST), LARGEST)
    return found


class Layout:
    """Where each named input lies in one vector.

    A net's vector has for each input its numbers, standardised, then its confidence.
    """

    def __init__(self, widths: Mapping[str, int]) -> None:
        self.names = tuple(widths)
        self.slices: dict[str, slice] = {}
        at = 0
        for name, width in widths.items():
            self.slices[name] = slice(at, at + width + 1)
            at += width + 1
        self.width = at
        self._index = {name: i for i, name in enumerate(self.names)}
        self._places = [(where.start, where.stop) for where in self.slices.values()]

    def fill(self, features: Features) -> tuple[Floats, list[bool]]:
        """(width,) raw numbers, zero where masked; for each input whether it is known.

        Features that a net does not read are left out, as are those that are not finite.
        """
        # Lists, then one array each: numpy's cost for a few numbers is all in its calls.
        vector = [0.0] * self.width
        known = [False] * len(self.names)
        for name, feature in features.items():
            index = self._index.get(name)
            if index is None:
                continue
            values, confidence = feature.values, feature.confidence
            if not (isfinite(confidence) and all(map(isfinite, values))):
                continue
            start, stop = self._places[index]
            vector[start : start + len(values)] = values
            vector[stop - 1] = confidence
            known[index] = True
        return np.array(vector), known
