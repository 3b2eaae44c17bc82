"""From a record to the figures of `schemas.topics.state.UserState`.

value       the session's decayed mean, N / D (models/learner/evidence.py)
confidence  D / (D + half): grows with evidence, falls as it fades
source      measured while D >= min_evidence, else prior (with confidence 0)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from models.learner import trajectory
from models.learner.behaviour.serving.estimating import BehaviourEstimates, Figure, estimate
from models.learner.config import LearnerSettings
from models.learner.evidence import (
    EMOTION_WEIGHT,
    FIRST_EMOTION,
    Evidence,
    Measure,
)
from models.learner.nets.serving.assembling import net_inputs, session_seconds
from models.learner.nets.serving.reading import NetReading
from models.learner.record import LearnerRecord
from models.learner.rules import BEHAVIOUR_FACTS, FACTS, SLOPE_FACT, TRAJECTORY_FACT
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source, Trajectory

_EMOTIONS: Final = tuple(Emotion)
_ACTIVITY: Final = {
    "response_time": Measure.RESPONSE_TIME,
    "dwell_time": Measure.DWELL_TIME,
    "tab_active": Measure.TAB_ACTIVE,
    "correct": Measure.CORRECT,
    "hints": Measure.HINTS,
    "attempts": Measure.ATTEMPTS,
}


class Fact(NamedTuple):
    """One figure of a state, as a rule sees it."""

    value: float | Trajectory
    confidence: float


class LongTermAffect(NamedTuple):
    """What messages said over weeks."""

    valence: Figure
    arousal: Figure
    dominance: Figure
    emotions: Mapping[Emotion, float]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a record says about its learner now: the figures of a UserState, exact."""

    valence: Figure
    arousal: Figure
    dominance: Figure
    emotions: dict[Emotion, float]
    emotions_confidence: float
    trajectory: trajectory.Called
    trajectory_confidence: float
    activity: Mapping[str, Fact]
    """Means of what interactions carried, by their names in `schemas.topics.state.Activity`."""
    long_term: LongTermAffect
    behaviour: BehaviourEstimates
    """What interactions say: focus, load, the next answer, and more."""
    nets: NetReading = field(default_factory=NetReading)
    """Readiness, and the need of somebody to step in."""

    def fact(self, name: str) -> Fact | None:
        """A fact by the name that rules use (models/learner/rules.py); None without evidence."""
        return _READERS[name](self)

    def number(self, name: str) -> float | None:
        """The value of a numeric fact; None without evidence."""
        fact = self.fact(name)
        return None if fact is None or isinstance(fact.value, Trajectory) else fact.value


def summarise(record: LearnerRecord, settings: LearnerSettings) -> Summary:
    """The figures that follow from a record. Pure; the reference time is the newest event."""
    evidence, confidence = record.evidence, settings.confidence
    least = confidence.min_evidence
    emotions, emotions_weight = _mix(evidence.session, evidence.classes, least)
    valence = _estimate(evidence.session, Measure.VALENCE, confidence.prior_valence, settings)
    arousal = _estimate(evidence.session, Measure.AROUSAL, confidence.prior_arousal, settings)
    dominance = _estimate(evidence.session, Measure.DOMINANCE, confidence.prior_dominance, settings)
    called = trajectory.call(record.trend, least, settings.trajectory)
    trajectory_confidence = trust(record.trend.weight, confidence.messages_half)
    emotions_confidence = trust(emotions_weight, confidence.messages_half)
    behaviour = estimate(record.behaviour, emotions, emotions_confidence, settings.behaviour)
    inputs = net_inputs(
        evidence,
        record.affect,
        (called, trajectory_confidence, valence.value),
        confidence,
        estimates=behaviour,
        session_seconds=session_seconds(record.behaviour),
    )
    return Summary(
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        emotions=emotions,
        emotions_confidence=emotions_confidence,
        trajectory=called,
        trajectory_confidence=trajectory_confidence,
        activity=_activity(evidence, settings),
        long_term=_long_term(evidence, settings),
        behaviour=behaviour,
        nets=settings.trained_nets.read(inputs),
    )


def trust(weight: float, half: float) -> float:
    """Confidence in [0, 1) from decayed evidence: 0.5 at `half`."""
    return weight / (weight + half)


def _long_term(evidence: Evidence, settings: LearnerSettings) -> LongTermAffect:
    sums, confidence = evidence.long, settings.confidence
    emotions, _ = _mix(sums, evidence.classes, confidence.min_evidence)
    return LongTermAffect(
        _estimate(sums, Measure.VALENCE, confidence.prior_valence, settings),
        _estimate(sums, Measure.AROUSAL, confidence.prior_arousal, settings),
        _estimate(sums, Measure.DOMINANCE, confidence.prior_dominance, settings),
        emotions,
    )


def _estimate(
    sums: tuple[float, ...], measure: Measure, prior: float, settings: LearnerSettings
) -> Figure:
    weight = sums[2 * measure + 1]
    if weight < settings.confidence.min_evidence:
        return Figure(prior, 0.0, Source.PRIOR)
    return Figure(
        sums[2 * measure] / weight,
        trust(weight, settings.confidence.messages_half),
        Source.MEASURED,
    )


def _mix(sums: tuple[float, ...], classes: int, least: float) -> tuple[dict[Emotion, float], float]:
    weight = sums[EMOTION_WEIGHT]
    if weight < least:
        return {}, 0.0
    shares = sums[FIRST_EMOTION:]
    # Never above 1 in sum, by rounding.
    whole = max(weight, sum(shares))
    return {
        emotion: share / whole
        for index, (emotion, share) in enumerate(zip(_EMOTIONS, shares, strict=True))
        if classes >> index & 1
    }, weight


def _activity(evidence: Evidence, settings: LearnerSettings) -> dict[str, Fact]:
    known: dict[str, Fact] = {}
    for name, measure in _ACTIVITY.items():
        weight = evidence.weight(measure)
        if weight >= settings.confidence.min_evidence:
            confidence = trust(weight, settings.confidence.interactions_half)
            known[name] = Fact(evidence.mean(measure), confidence)
    return known


# -- facts by name ------------------------------------------------------------------------

_Reader = Callable[[Summary], Fact | None]


def _reader(name: str) -> _Reader:
    """What finds one fact in a summary. Once a name: rules ask for a few dozen an update."""
    group, _, member = name.partition(".")
    if name == TRAJECTORY_FACT:
        return _called
    if name == SLOPE_FACT:
        return _slope
    if group == "emotions":
        return _share(Emotion(member))
    if group == "activity":
        return lambda summary: summary.activity.get(member)
    if name in BEHAVIOUR_FACTS:
        return lambda summary: _measured(getattr(summary.behaviour, name))
    return lambda summary: _measured(getattr(summary, name))


def _called(summary: Summary) -> Fact | None:
    called = summary.trajectory.call
    return None if called is None else Fact(called, summary.trajectory_confidence)


def _slope(summary: Summary) -> Fact | None:
    slope = summary.trajectory.slope
    return None if slope is None else Fact(slope, summary.trajectory_confidence)


def _share(emotion: Emotion) -> _Reader:
    def read(summary: Summary) -> Fact | None:
        share = summary.emotions.get(emotion)
        return None if share is None else Fact(share, summary.emotions_confidence)

    return read


def _measured(figure: Figure) -> Fact | None:
    return None if figure.source is Source.PRIOR else Fact(figure.value, figure.confidence)


_READERS: Final = {name: _reader(name) for name in FACTS}
