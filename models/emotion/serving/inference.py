"""The steps of reading a text, apart from how they are scheduled: tokenise, collate, run, post.

`reader` runs the steps in threads; `read_all` one after the other. All arrays are numpy's, on
the processor, whatever the model runs on: no torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from models.emotion.artefact.card import EmotionCard
from models.emotion.labels import GOEMOTIONS
from models.emotion.reading import Reading

Floats = npt.NDArray[np.float64]
Raw = npt.NDArray[np.float32]
Tokens = list[int]
TokenisedText = tuple[Tokens, ...]
"""One list of ids for each encoder."""


class Output(NamedTuple):
    """Raw outputs of the model for n texts."""

    emotions: Raw  # (n, C) logits
    goemotions: Raw  # (n, 28) logits
    pad: Raw  # (n, 3) logits
    affect: Raw  # (n, affect_width)
    urgency: Raw  # (n,) logits; for evaluation, no reading holds it


class Batch(Protocol):
    """Tokenised texts as one kind of model takes them."""

    @property
    def padded(self) -> int:
        """Tokens that the model computes with, padding included."""
        ...


Tokenise = Callable[[Sequence[str]], list[TokenisedText]]
Collate = Callable[[Sequence[TokenisedText]], Batch]
Run = Callable[[Any], Output]
"""What `Collate` of the same engine made, to its outputs."""
Post = Callable[[Output], list[Reading]]


class Calibrated(NamedTuple):
    """Probabilities of n texts."""

    emotions: Floats  # (n, C)
    goemotions: Floats  # (n, 28)
    pad: Floats  # (n, 3)


def probabilities(logits: npt.ArrayLike, temperature: float, shift: npt.ArrayLike = 0.0) -> Floats:
    """sigmoid(logits / temperature + shift), each in [0, 1].

    Guo et al. (2017), On Calibration of Modern Neural Networks: temperature.
    """
    scaled = np.asarray(logits, dtype=np.float64) / temperature + np.asarray(shift)
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(scaled, -60, 60)))
    return result


def calibrate(card: EmotionCard, output: Output) -> Calibrated:
    """Apply the card's temperatures and shifts."""
    c = card.calibration
    emotions = [c.emotions_shift.get(e, 0.0) for e in card.emotions]
    own = [c.goemotions_shift.get(name, 0.0) for name in GOEMOTIONS]
    return Calibrated(
        probabilities(output.emotions, c.emotions_temperature, emotions),
        probabilities(output.goemotions, c.goemotions_temperature, own),
        probabilities(output.pad, 1.0),
    )


class PostReadings:
    """Raw outputs to readings."""

    def __init__(self, card: EmotionCard, version: str) -> None:
        c = card.calibration
        self._emotions = card.emotions
        self._temperature = c.emotions_temperature
        self._shift = np.array([c.emotions_shift.get(e, 0.0) for e in card.emotions])
        self._version = version

    def __call__(self, output: Output) -> list[Reading]:
        """One reading a text, in order."""
        emotions = self._emotions
        rows = probabilities(output.emotions, self._temperature, self._shift)
        return [
            Reading(
                probabilities=dict(zip(emotions, row, strict=True)),
                top=emotions[top],
                valence=pad[0],
                arousal=pad[1],
                dominance=pad[2],
                affect=tuple(affect),
                version=self._version,
            )
            for row, top, pad, affect in zip(
                rows.tolist(),
                rows.argmax(1).tolist(),
                probabilities(output.pad, 1.0).tolist(),
                output.affect.tolist(),
                strict=True,
            )
        ]


def checked(output: Output) -> Output:
    """The output itself. Raises ArithmeticError where a value is not a number."""
    if not all(np.isfinite(array).all() for array in output):
        raise ArithmeticError("the model gave values that are not numbers")
    return output


def empty(card: EmotionCard) -> Output:
    """Of no text at all."""
    widths = ((len(card.emotions),), (len(GOEMOTIONS),), (3,), (card.shape.affect,), ())
    return Output(*(np.empty((0, *width), dtype=np.float32) for width in widths))
