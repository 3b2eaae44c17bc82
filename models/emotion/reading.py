"""What the model reads in one text."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.topics.emotions import Emotion
from schemas.vocabulary import Concern


@dataclass(frozen=True, slots=True)
class Reading:
    """Calibrated probabilities and PAD of one text.

    probabilities: of the classes that the model was trained on, each in [0, 1], independent
    top: the most probable of them
    valence, arousal, dominance: in [0, 1]
    affect: the affect embedding (16-64 numbers), for heads that should not read text
    version: of the artefact that read it
    coverage: share of the text that was read, in [0, 1]
    speaking: probability that the learner speaks, and not a pasted exercise or code; None where
        the artefact cannot tell
    concern: probability that a person should know of it; None where the artefact cannot tell
    concerns: the same of each kind
    """

    probabilities: dict[Emotion, float]
    top: Emotion
    valence: float
    arousal: float
    dominance: float
    version: str
    affect: tuple[float, ...] = ()
    coverage: float = 1.0
    speaking: float | None = None
    concern: float | None = None
    concerns: dict[Concern, float] = field(default_factory=dict)
