"""What the model reads in one text."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.topics.emotions import Emotion


@dataclass(frozen=True, slots=True)
class Reading:
    """Calibrated probabilities and PAD of one text.

    probabilities: of the classes that the model was trained on, each in [0, 1], independent
    top: the most probable of them
    valence, arousal, dominance: in [0, 1]
    affect: the affect embedding (16-64 numbers), for heads that should not read text
    version: of the artefact that read it
    """

    probabilities: dict[Emotion, float]
    top: Emotion
    valence: float
    arousal: float
    dominance: float
    version: str
    affect: tuple[float, ...] = ()
