"""The steps of reading a text, apart from how they are scheduled: tokenise, collate, run, post.

`reader` runs the steps in threads; `read_all` one after the other. All arrays are numpy's, on
the processor, whatever the model runs on: no torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from models.emotion.artefact.card import EmotionCard
from models.emotion.labels import GOEMOTIONS
from models.emotion.reading import Reading
from schemas.vocabulary import Concern

Floats = npt.NDArray[np.float64]
Raw = npt.NDArray[np.float32]
Tokens = list[int]
TokenisedText = tuple[Tokens, ...]
"""One list of ids for each encoder."""
CONCERNS: Final = 1 + len(Concern)
"""Outputs of the head that reads danger: any, and each kind."""


class Output(NamedTuple):
    """Raw outputs of the model for n texts."""

    emotions: Raw  # (n, C) logits
    goemotions: Raw  # (n, 28) logits
    pad: Raw  # (n, 3) logits
    affect: Raw  # (n, affect_width)
    urgency: Raw  # (n,) logits; for evaluation, no reading holds it
    concern: Raw  # (n, 1 + kinds) logits: any danger, then each kind; (n, 0) without that head
    speaking: Raw  # (n, 1) logits that the learner speaks; (n, 0) without that head
    coverage: Raw  # (n,) share of each text that was read, in [0, 1]


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
        self._calibration = c
        self._emotions = card.emotions
        self._temperature = c.emotions_temperature
        self._shift = np.array([c.emotions_shift.get(e, 0.0) for e in card.emotions])
        self._version = version

    def __call__(self, output: Output) -> list[Reading]:
        """One reading a text, in order."""
        emotions, c = self._emotions, self._calibration
        rows = probabilities(output.emotions, self._temperature, self._shift)
        concerns = probabilities(output.concern, c.concern_temperature, c.concern_shift)
        speaking = probabilities(output.speaking, c.speaking_temperature, c.speaking_shift)
        return [
            Reading(
                probabilities=dict(zip(emotions, row, strict=True)),
                top=emotions[top],
                valence=pad[0],
                arousal=pad[1],
                dominance=pad[2],
                affect=tuple(affect),
                version=self._version,
                coverage=coverage,
                speaking=speaks[0] if speaks else None,
                concern=danger[0] if danger else None,
                concerns=dict(zip(Concern, danger[1:], strict=True)) if danger else {},
            )
            for row, top, pad, affect, coverage, speaks, danger in zip(
                rows.tolist(),
                rows.argmax(1).tolist(),
                probabilities(output.pad, 1.0).tolist(),
                output.affect.tolist(),
                output.coverage.tolist(),
                speaking.tolist(),
                concerns.tolist(),
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
    shape = card.shape
    widths = {
        "emotions": (len(card.emotions),),
        "goemotions": (len(GOEMOTIONS),),
        "pad": (3,),
        "affect": (shape.affect,),
        "concern": (CONCERNS if shape.concern else 0,),
        "speaking": (1 if shape.speaking else 0,),
    }
    return Output(*(np.empty((0, *widths.get(f, ())), np.float32) for f in Output._fields))


def outputs_of(card: EmotionCard) -> list[str]:
    """Names of what the network gives, in the order of `Output`."""
    absent = {"coverage"}
    absent |= {"concern"} - ({"concern"} if card.shape.concern else set())
    absent |= {"speaking"} - ({"speaking"} if card.shape.speaking else set())
    return [name for name in Output._fields if name not in absent]


def output_of(card: EmotionCard, given: dict[str, Raw]) -> Output:
    """What the network gave, by name, with what its card has no head for as (n, 0).

    Whoever splits texts into windows says how much was read; until then it is all.
    """
    n = len(given["emotions"])
    absent = {name: np.empty((n, 0), np.float32) for name in ("concern", "speaking")}
    return Output(**{**absent, **given, "coverage": np.ones(n, np.float32)})
