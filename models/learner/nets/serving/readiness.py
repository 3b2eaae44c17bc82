"""LearningReadinessNet: how likely a learner gets the next exercise right, and from what.

    e_i = tanh(W_i z_i + b_i)          embedding of input i; z_i standardised, with its confidence
    w   = softmax_i(q . e_i + a_i)     over the inputs that are known: attention
    p   = sigmoid(v . sum_i w_i e_i + c)

The readout is linear, so input i's part in the logit is exactly w_i (v . e_i).

Without any answer of this learner there is no figure, only the population's. The other
inputs are there from the first event on: time in session and fatigue are clocks,
engagement is known from an open tab or from words, which the training never saw, and
pace, focus and a load derived from slowing down say next to nothing by themselves: in
the replay with the answers taken out, an AUC of 0.51 to 0.53 on the very people that
the net was fitted to, 0.55 for all of them together with the clocks.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import exp
from typing import Final

import numpy as np

from models.learner.nets.serving.artefact import NetArtefact, NetProblem
from models.learner.nets.serving.inputs import (
    ANSWERED,
    READINESS_INPUTS,
    Features,
    Floats,
    Layout,
    standardised,
)
from schemas.topics.state import Readiness, ReadinessState, Source

LAYOUT: Final = Layout(READINESS_INPUTS)
ON_ANSWERS: Final = np.array([name in ANSWERED for name in LAYOUT.names])
"""(inputs,) which of them are evidence; a figure needs one."""
_STATES: Final = tuple(ReadinessState)
# The prior is a mean, and scores are skewed: its own fifth is `low`, which the average
# learner is not. Of whom nothing is known, the middle says least.
_PRIOR_STATE: Final = _STATES[len(_STATES) // 2]


@dataclass(frozen=True, slots=True)
class Attended:
    """One evaluation: probability, and the weight of each known input (they sum to 1)."""

    probability: float
    weights: dict[str, float]
    confidence: float


class LearningReadinessNet:
    """The trained net; shapes for T inputs, width D, layout width N.

    embed (T*D, N): block matrix of the W_i; bias (T, D); query (D,); attend (T,);
    readout (D,); centre, scale (N,) standardise; inputs that training never saw are masked.
    """

    def __init__(self, artefact: NetArtefact) -> None:
        """Raises NetProblem when a tensor is missing or has the wrong shape."""
        self.version = artefact.version
        self.card = artefact.card
        inputs, width = len(LAYOUT.names), LAYOUT.width
        self._bias = artefact.tensor("bias", (inputs, -1))
        dim = self._bias.shape[1]
        self._embed = artefact.tensor("embed", (inputs * dim, width))
        self._query = artefact.tensor("query", (dim,))
        self._attend = artefact.tensor("attend", (inputs,))
        self._readout = artefact.tensor("readout", (dim,))
        self._centre = artefact.tensor("centre", (width,))
        self._scale = artefact.tensor("scale", (width,))
        self._output = artefact.tensor("output", (2,))  # slope and offset, calibrated
        self._bins = artefact.tensor("bins", (len(_STATES) - 1,))
        if (np.diff(self._bins) < 0).any():
            raise NetProblem(f"{artefact.folder}: bins are not in order")
        self._edges = self._bins.tolist()
        self._trained = np.array([name in artefact.card.trained for name in LAYOUT.names])
        self._evidence = np.flatnonzero(self._trained & ON_ANSWERS).tolist()
        self._confidence_at = np.array([where.stop - 1 for where in LAYOUT.slices.values()])

    @property
    def prior(self) -> float:
        """The population's score, of a learner we know nothing of."""
        return self.card.prior

    def attend(self, features: Features) -> Attended | None:
        """Probability and weights; None where no trained input is known that rests on answers."""
        vector, filled = LAYOUT.fill(features)
        if not any(filled[at] for at in self._evidence):
            return None
        known = np.array(filled) & self._trained
        z = standardised(vector, self._centre, self._scale)
        embedded = np.tanh((self._embed @ z).reshape(self._bias.shape) + self._bias)
        scores = np.where(known, embedded @ self._query + self._attend, -np.inf)
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        logit = float(weights @ (embedded @ self._readout))
        return Attended(
            probability=sigmoid(self._output[0] * logit + self._output[1]),
            weights={
                n: w for n, w, k in zip(LAYOUT.names, weights.tolist(), known, strict=True) if k
            },
            confidence=float(weights @ vector[self._confidence_at]),
        )

    def state(self, score: float) -> ReadinessState:
        """The score's bin; the bins are quintiles of the training run."""
        return _STATES[bisect_right(self._edges, score)]

    def read(self, features: Features) -> Readiness:
        """The figure for the state; the population's, in the middle, without any answer."""
        attended = self.attend(features)
        if attended is None:
            return Readiness(
                score=self.prior, state=_PRIOR_STATE, confidence=0.0, source=Source.PRIOR
            )
        return Readiness(
            score=attended.probability,
            state=self.state(attended.probability),
            confidence=min(max(attended.confidence, 0.0), 1.0),
            source=Source.MEASURED,
            weights={name: min(weight, 1.0) for name, weight in attended.weights.items()},
        )


def sigmoid(x: float | Floats) -> float:
    """Of one number, without overflow."""
    return 1 / (1 + exp(-float(min(max(float(x), -60.0), 60.0))))
