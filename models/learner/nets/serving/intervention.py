"""InterventionNet: how strongly a learner needs somebody to step in.

    f         = t * text(affect) + behaviour(inputs)       each 0 where its side is unknown
    P(g > k)  = sigmoid(f - theta_k)                       k = 1..6, theta ascending

g is a grade from 1 to 7 (the rubric of the forum posts); a level is a run of grades
(grades.csv). The two sides add up as evidence does that is independent given the need.
t = min(1, decayed messages): a text fades to the population's odds as it grows old.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.learner.nets.serving.artefact import NetArtefact, NetProblem
from models.learner.nets.serving.grades import GRADES, Grading
from models.learner.nets.serving.inputs import (
    AFFECT_WIDTH,
    ANSWERED,
    BEHAVIOUR_INPUTS,
    Affect,
    Features,
    Floats,
    Layout,
    NetInputs,
    model_key,
    standardised,
)
from schemas.vocabulary import Level

LAYOUT: Final = Layout(BEHAVIOUR_INPUTS)
_LEVELS: Final = tuple(Level)


@dataclass(frozen=True, slots=True)
class Need:
    """One evaluation.

    at_least: probability that the need is of this level or a higher one; 1 for `none`,
        never rising with the level
    urgency: expected grade, 1..7
    sides: which sides were known, of `text` and `behaviour`
    """

    at_least: dict[Level, float]
    urgency: float
    sides: tuple[str, ...]

    def level(self, share: float) -> Level:
        """The highest level that is needed with at least this probability.

        With a missed need costing m and a needless step 1, a level, the cheapest choice
        is that of share = 1 / (1 + m): a quantile, as for any cost linear in the error.
        """
        return max(
            (level for level, p in self.at_least.items() if p >= share),
            key=lambda level: level.rank,
            default=Level.NONE,
        )


class InterventionNet:
    """The trained net.

    text: text_in (H, A), text_bias (H,), text_out (H,), text_linear (A,), with the
        embedding standardised by text_centre, text_scale (A,)
    behaviour: in_ (H, N + T), bias (H,), out (H,) over the layout's numbers and the T masks
    thresholds (6,), ascending; text_output, behaviour_output: slope and offset, calibrated
    """

    def __init__(self, artefact: NetArtefact, grading: Grading) -> None:
        """Raises NetProblem when a tensor is missing or has the wrong shape."""
        self.version = artefact.version
        self.card = artefact.card
        self._model = model_key(artefact.card.emotion_version)
        inputs, width = len(LAYOUT.names), LAYOUT.width
        self._text_bias = artefact.tensor("text_bias", (-1,))
        self._text_linear = artefact.tensor("text_linear", (-1,))
        affect = len(self._text_linear)
        if affect > AFFECT_WIDTH:
            raise NetProblem(f"{artefact.folder}: an affect embedding of {affect} numbers")
        self._text_in = artefact.tensor("text_in", (len(self._text_bias), affect))
        self._text_out = artefact.tensor("text_out", (len(self._text_bias),))
        self._text_centre = artefact.tensor("text_centre", (affect,))
        self._text_scale = artefact.tensor("text_scale", (affect,))
        self._text_output = artefact.tensor("text_output", (2,))
        self._bias = artefact.tensor("bias", (-1,))
        self._in = artefact.tensor("in", (len(self._bias), width + inputs))
        self._out = artefact.tensor("out", (len(self._bias),))
        self._centre = artefact.tensor("centre", (width,))
        self._scale = artefact.tensor("scale", (width,))
        self._output = artefact.tensor("behaviour_output", (2,))
        self._thresholds = artefact.tensor("thresholds", (GRADES - 1,))
        if (np.diff(self._thresholds) < 0).any():
            raise NetProblem(f"{artefact.folder}: thresholds are not in order")
        self._trained = np.array([name in artefact.card.trained for name in LAYOUT.names])
        answered = np.array([name in ANSWERED for name in LAYOUT.names])
        self._evidence = np.flatnonzero(self._trained & answered).tolist()
        self._spread = np.array(
            [
                i
                for i, where in enumerate(LAYOUT.slices.values())
                for _ in range(*where.indices(width))
            ]
        )
        # Where P(g > k) is the probability of a level or more.
        self._boundaries = np.array([grading.first(level) - 2 for level in _LEVELS[1:]])

    def reads(self, affect: Affect) -> bool:
        """Whether the embedding is of the emotion model that the net was fitted to."""
        return (
            affect.model == self._model
            and len(affect.values) == len(self._text_linear)
            and affect.weight > 0
            and bool(np.isfinite(affect.values).all())
        )

    def text(self, values: Floats) -> Floats:
        """(..., A) embeddings to (...,) the text's part of f."""
        z = standardised(values, self._text_centre, self._text_scale)
        hidden = np.tanh(z @ self._text_in.T + self._text_bias)
        raw = hidden @ self._text_out + z @ self._text_linear
        part: Floats = self._text_output[0] * raw + self._text_output[1]
        return part

    def behaviour(self, features: Features) -> float | None:
        """Behaviour's part of f; None where nothing is known of any answer."""
        vector, filled = LAYOUT.fill(features)
        if not any(filled[at] for at in self._evidence):
            return None
        known = np.array(filled) & self._trained
        z = standardised(vector, self._centre, self._scale) * known[self._spread]
        hidden = np.tanh(self._in @ np.concatenate((z, known)) + self._bias)
        return float(self._output[0] * (hidden @ self._out) + self._output[1])

    def exceeds(self, f: Floats) -> Floats:
        """(...,) f to (..., 6): P(g > k) for k = 1..6, never rising with k."""
        logit = np.minimum(np.maximum(np.asarray(f)[..., None] - self._thresholds, -60.0), 60.0)
        probability: Floats = 1 / (1 + np.exp(-logit))
        return probability

    def need(self, inputs: NetInputs) -> Need | None:
        """What follows from both sides, or from the one that is known; None where neither is."""
        f, sides = 0.0, []
        if inputs.affect is not None and self.reads(inputs.affect):
            f += min(1.0, inputs.affect.weight) * float(self.text(inputs.affect.values))
            sides.append("text")
        behaviour = self.behaviour(inputs.features)
        if behaviour is not None:
            f += behaviour
            sides.append("behaviour")
        return self.of(self.exceeds(np.array(f)), tuple(sides)) if sides else None

    def of(self, exceeds: Floats, sides: tuple[str, ...]) -> Need:
        """(6,) P(g > k) as levels and an expected grade."""
        above = exceeds[self._boundaries].tolist()
        return Need(
            at_least=dict(zip(_LEVELS, [1.0, *above], strict=True)),
            urgency=1.0 + float(exceeds.sum()),
            sides=sides,
        )
