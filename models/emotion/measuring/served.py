"""What a worker would send about a text, and what the tutor would do about it.

    enters  texts as learners sent them, the settings of the model and of the safety screening
    leaves  a prediction for each, in order
    callers `evaluation`, for the formats that measure messages

Every text passes an `EmotionReader`, so that whatever serving does to it (its judged copy, its
language, what is not read at all) is measured too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Band
from models.emotion.config import EmotionSettings
from models.emotion.reading import Reading
from models.emotion.serving.engine import build_engine
from models.emotion.serving.errors import (
    ModelUnavailable,
    ReaderError,
    ReaderStopped,
    UnreadableText,
)
from models.emotion.serving.reader import EmotionReader
from models.tutor.safety.screening import Screen
from schemas.figures import rounded

Sign = Literal[-1, 0, 1]
NOTHING_TO_READ: Final = "nothing_to_read"
UNREADABLE: Final = "unreadable"
NOT_ASKED: Final = "not_asked"


@dataclass(frozen=True, slots=True)
class Limits:
    """What turns figures into a sign and an alarm.

    band: valence that is no sign: lowest, highest
    concern_at: probability of concern from which the model raises an alarm
    """

    band: Band
    concern_at: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one message.

    sign: of its valence; 0 where it was not read
    valence: in [0, 1]; None where it was not read
    confidence: its weight as evidence, in [0, 1]; 0 where it was not read
    reason: why it was not read; None where it was
    concern: probability that a person should know; None where nothing says so
    by_words: whether the tutor's screening raises an alarm: the lexicon, with the emotions read
    by_model: whether the probability of concern raises one
    """

    sign: Sign
    valence: float | None
    confidence: float
    reason: str | None
    concern: float | None
    by_words: bool
    by_model: bool

    @property
    def read(self) -> bool:
        """Whether the model has read it."""
        return self.reason is None

    @property
    def alarm(self) -> bool:
        """Whether a person would be told."""
        return self.by_words or self.by_model

    def as_json(self) -> dict[str, Any]:
        """One line of a predictions file, without the row's number."""
        return {
            "sign": self.sign,
            "valence": self.valence,
            "confidence": self.confidence,
            "status": "ok" if self.read else "unavailable",
            "reason": self.reason,
            "concern": rounded(self.concern or 0.0),
            "alarm": self.alarm,
        }


def predict_messages(
    artefact: Artefact,
    settings: EmotionSettings,
    screen: Screen,
    texts: Sequence[str],
    limits: Limits,
) -> list[Prediction]:
    """A prediction a text, in order. Raises what `read_as_served` raises."""
    readings = read_as_served(artefact, settings, texts)
    return [
        predicted(screen, text, reading, limits)
        for text, reading in zip(texts, readings, strict=True)
    ]


def read_as_served(
    artefact: Artefact, settings: EmotionSettings, texts: Sequence[str]
) -> list[Reading | ReaderError]:
    """What a worker's reader answers to each text, in order: a reading, or why there is none.

    Do not call it where an event loop runs. No reading is kept for the next text.

    Raises ArtefactProblem, EncoderNotFound; ModelUnavailable where the model fails at texts that
    it can read.
    """
    without_cache = settings.model_copy(update={"cache_size": 0})
    return asyncio.run(_read(artefact, without_cache, texts))


async def _read(
    artefact: Artefact, settings: EmotionSettings, texts: Sequence[str]
) -> list[Reading | ReaderError]:
    reader = EmotionReader(settings, load=lambda chosen: build_engine(artefact, chosen))
    await reader.start()
    try:
        outcomes: list[Reading | ReaderError] = []
        for begin in range(0, len(texts), settings.queue_size):
            part = texts[begin : begin + settings.queue_size]
            outcomes += await asyncio.gather(*(_outcome(reader, text) for text in part))
        return outcomes
    finally:
        await reader.stop()


async def _outcome(reader: EmotionReader, text: str) -> Reading | ReaderError:
    try:
        return await (await reader.submit(text))
    except (ModelUnavailable, ReaderStopped):
        raise  # of the model, and no property of this text
    except ReaderError as error:
        return error


def predicted_by_words(screen: Screen, text: str) -> Prediction:
    """What the words alone raise, as while no model answers."""
    by_words = screen.message(text).alarm
    return Prediction(0, None, 0.0, NOT_ASKED, None, by_words, by_model=False)


def predicted(
    screen: Screen, text: str, reading: Reading | ReaderError, limits: Limits
) -> Prediction:
    """What follows from a reading, or from having none."""
    if not isinstance(reading, Reading):
        by_words = screen.message(text).alarm
        return Prediction(0, None, 0.0, _reason(reading), None, by_words, by_model=False)
    # As they travel: the tutor sees no more digits.
    emotions = {emotion: rounded(p) for emotion, p in reading.probabilities.items()}
    valence = rounded(reading.valence)
    concern = reading.concern  # the worker compares it with all its digits
    return Prediction(
        sign=sign_of(valence, limits.band),
        valence=valence,
        confidence=rounded(reading.coverage),
        reason=None,
        concern=concern,
        by_words=screen.message(text, emotions).alarm,
        by_model=concern is not None and concern >= limits.concern_at,
    )


def sign_of(valence: float, band: Band) -> Sign:
    """1 above the band, -1 below it, 0 within and on its ends."""
    low, high = band
    if valence > high:
        return 1
    return -1 if valence < low else 0


def write_lines(path: Path, predictions: Iterable[dict[str, Any]]) -> None:
    """JSON lines, one a row in their order, each with its number. Raises OSError."""
    with path.open("w", encoding="utf-8") as file:
        for row, prediction in enumerate(predictions):
            file.write(json.dumps({"row": row, **prediction}) + "\n")


def _reason(error: ReaderError) -> str:
    # An error that says why it was not read is named by that.
    otherwise = UNREADABLE if isinstance(error, UnreadableText) else NOTHING_TO_READ
    return str(getattr(error, "reason", otherwise))
