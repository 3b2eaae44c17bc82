"""What a learner's events add up to: time-decayed sums.

For each measure a numerator and a denominator, over the events that carried it:

    N = sum_i c_i * v_i * 2^(-(T - t_i) / h)        D = sum_i c_i * 2^(-(T - t_i) / h)

with T the newest event time of the learner, h the half-life, and c the share of a message
that was read (1 for all else); the mean is N / D (an exponential moving average over irregular
times). When T moves by d both are multiplied by 2^(-d / h), which leaves the weight of each
event a function of itself alone: the sums do not depend on the order of arrival (to rounding,
in float32), for events of any age. An event later than `lateness` is therefore still added,
with the little weight it has; it is reported, not dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import exp2
from struct import Struct
from typing import Final, NamedTuple

from models.learner.parameters import EvidenceSettings
from schemas.topics.emotions import Emotion, EmotionRead
from schemas.topics.interactions import Interaction


class Measure(IntEnum):
    """What is averaged; the order is the order of the sums in a stored record."""

    VALENCE = 0
    AROUSAL = 1
    DOMINANCE = 2
    RESPONSE_TIME = 3
    """Seconds."""
    DWELL_TIME = 4
    """Seconds."""
    TAB_ACTIVE = 5
    CORRECT = 6
    HINTS = 7
    ATTEMPTS = 8


EMOTION_WEIGHT: Final = 2 * len(Measure)
"""Index of the emotion mix's one denominator."""
FIRST_EMOTION: Final = EMOTION_WEIGHT + 1
"""Index of the first class's numerator; classes are last, so that more can be added."""
WIDTH: Final = FIRST_EMOTION + len(Emotion)
"""Numbers in one horizon's sums."""

CLASS_INDEX: Final = {emotion: index for index, emotion in enumerate(Emotion)}
_SINGLE: Final = Struct(f"<{WIDTH}f")
NO_SUMS: Final = (0.0,) * WIDTH


# Plain integers: calculating with a member costs more than all the arithmetic of an event.
_VALENCE, _AROUSAL, _DOMINANCE, _RESPONSE, _DWELL, _TAB, _CORRECT, _HINTS, _ATTEMPTS = (
    2 * int(measure) for measure in Measure
)


class Observation(NamedTuple):
    """What one event says, at its (clamped) event time in milliseconds."""

    time: int
    values: Sequence[tuple[int, float]] = ()
    """Where a measure's numerator stands in the sums (twice its number), and its value."""
    emotions: tuple[tuple[int, float], ...] | None = None
    """Class index and share, summing to at most 1; None where nothing was read."""
    weight: float = 1.0
    """What it counts beside other events of its time: the share of a message that was read."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Decayed sums over two horizons, and plain counts.

    `session` and `long` hold WIDTH numbers each: numerator and denominator of each
    measure, the emotion mix's denominator, a numerator for each class.
    """

    newest: int | None = None
    """Newest event time, milliseconds: the sums' reference time."""
    session: tuple[float, ...] = NO_SUMS
    long: tuple[float, ...] = NO_SUMS
    classes: int = 0
    """Bit i: class i has been part of a reading."""
    interactions: int = 0
    messages: int = 0

    def weight(self, measure: Measure) -> float:
        """The session's decayed number of events that carried the measure."""
        return self.session[2 * measure + 1]

    def mean(self, measure: Measure) -> float:
        """The session's decayed mean; only where the weight is above 0."""
        return self.session[2 * measure] / self.session[2 * measure + 1]


def single(sums: tuple[float, ...]) -> tuple[float, ...]:
    """Rounded to float32, as they are stored: half the bytes, and bytes round-trip exactly.

    Rounding keeps order, so a mean of values in [0, 1] stays in [0, 1].
    """
    return _SINGLE.unpack(_SINGLE.pack(*sums))


def clamp(event_times: Iterable[int], ingest_time: int, settings: EvidenceSettings) -> list[int]:
    """Event times, at most `skew` after their receipt; milliseconds."""
    latest = ingest_time + round(settings.skew * 1000)
    return [min(time, latest) for time in event_times]


def observe_interaction(interaction: Interaction, time: int) -> Observation:
    """What an interaction says; a field that is absent says nothing, not zero."""
    values: list[tuple[int, float]] = []
    timing, context, task = (
        interaction.timing_data,
        interaction.context_data,
        interaction.task_data,
    )
    if timing is not None:
        if timing.response_time is not None:
            values.append((_RESPONSE, timing.response_time))
        if timing.dwell_time is not None:
            values.append((_DWELL, timing.dwell_time))
    if context is not None and context.tab_active is not None:
        values.append((_TAB, float(context.tab_active)))
    if task is not None:
        if task.correct is not None:
            values.append((_CORRECT, float(task.correct)))
        if task.hint_count is not None:
            values.append((_HINTS, float(task.hint_count)))
        if task.attempt_count is not None:
            values.append((_ATTEMPTS, float(task.attempt_count)))
    return Observation(time, values)


def observe_reading(reading: EmotionRead, time: int) -> Observation:
    """What a read message says.

    Probabilities of classes that may hold together can sum to more than 1; the mix
    shares one message's weight among its classes, so they are scaled to 1 then. A message
    that was read in part weighs that part.
    """
    weight = 1.0 if reading.coverage is None else reading.coverage
    values: tuple[tuple[int, float], ...] = ()
    if reading.pad is not None:
        values = (
            (_VALENCE, reading.pad.valence),
            (_AROUSAL, reading.pad.arousal),
            (_DOMINANCE, reading.pad.dominance),
        )
    if not reading.probabilities:
        return Observation(time, values, weight=weight)
    scale = max(1.0, sum(reading.probabilities.values()))
    shares = tuple((CLASS_INDEX[e], p / scale) for e, p in reading.probabilities.items())
    return Observation(time, values, shares, weight)


def add(
    evidence: Evidence,
    observations: Sequence[Observation],
    settings: EvidenceSettings,
    *,
    interactions: int = 0,
    messages: int = 0,
) -> Evidence:
    """The evidence with more observations in it; the reference time moves to the newest."""
    if not observations:
        return evidence
    newest = max(observation.time for observation in observations)
    if evidence.newest is not None:
        newest = max(newest, evidence.newest)
    elapsed = 0 if evidence.newest is None else newest - evidence.newest
    ages = [newest - observation.time for observation in observations]
    classes = evidence.classes
    for observation in observations:
        for index, _ in observation.emotions or ():
            classes |= 1 << index
    return Evidence(
        newest=newest,
        session=single(
            _accumulate(evidence.session, elapsed, settings.session_half_life, observations, ages)
        ),
        long=single(
            _accumulate(evidence.long, elapsed, settings.long_half_life, observations, ages)
        ),
        classes=classes,
        interactions=evidence.interactions + interactions,
        messages=evidence.messages + messages,
    )


def decay(elapsed: int, half_life: float) -> float:
    """Weight left after `elapsed` milliseconds, for a half-life in seconds; 0 after very long."""
    return exp2(-elapsed / (half_life * 1000))


def _accumulate(
    sums: tuple[float, ...],
    elapsed: int,
    half_life: float,
    observations: Sequence[Observation],
    ages: Sequence[int],
) -> tuple[float, ...]:
    left = decay(elapsed, half_life)
    total = list(sums) if left == 1.0 else [value * left for value in sums]
    for (_, values, emotions, share_read), age in zip(observations, ages, strict=True):
        weight = share_read * decay(age, half_life)
        for at, value in values:
            total[at] += weight * value
            total[at + 1] += weight
        if emotions is not None:
            total[EMOTION_WEIGHT] += weight
            for index, share in emotions:
                total[FIRST_EMOTION + index] += weight * share
    return tuple(total)
