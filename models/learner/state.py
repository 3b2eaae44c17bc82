"""From a record to the figures of `schemas.topics.state.UserState`.

value       the session's decayed mean, N / D (models/learner/evidence.py)
confidence  D / (D + half): grows with evidence, falls as it fades
source      measured while D >= min_evidence, else prior (with confidence 0)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from models.learner import trajectory
from models.learner.behaviour.serving.estimating import BehaviourEstimates, estimate
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
from models.learner.rules import BEHAVIOUR_FACTS, SLOPE_FACT, TRAJECTORY_FACT
from schemas.topics.emotions import Emotion
from schemas.topics.state import Activity, Estimate, LongTerm, Source, Trajectory, TrajectoryCall

_EMOTIONS: Final = tuple(Emotion)
_ACTIVITY: Final = {
    "response_time": Measure.RESPONSE_TIME,
    "dwell_time": Measure.DWELL_TIME,
    "tab_active": Measure.TAB_ACTIVE,
    "correct": Measure.CORRECT,
    "hints": Measure.HINTS,
    "attempts": Measure.ATTEMPTS,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure of a state, as a rule sees it."""

    value: float | Trajectory
    confidence: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What a record says about its learner now; the figures of a UserState."""

    valence: Estimate
    arousal: Estimate
    dominance: Estimate
    emotions: dict[Emotion, float]
    emotions_confidence: float
    trajectory: TrajectoryCall
    trajectory_confidence: float
    activity: Activity
    activity_confidence: dict[str, float]
    long_term: LongTerm
    """Affect over weeks."""
    behaviour: BehaviourEstimates
    """What interactions say: focus, load, the next answer, and more."""
    nets: NetReading = field(default_factory=NetReading)
    """Readiness, and the need of somebody to step in."""

    def fact(self, name: str) -> Fact | None:
        """A fact by the name that rules use (models/learner/rules.py); None without evidence."""
        if name == TRAJECTORY_FACT:
            called = self.trajectory.call
            return None if called is None else Fact(called, self.trajectory_confidence)
        if name == SLOPE_FACT:
            slope = self.trajectory.slope
            return None if slope is None else Fact(slope, self.trajectory_confidence)
        group, _, member = name.partition(".")
        if group == "emotions":
            share = self.emotions.get(Emotion(member))
            return None if share is None else Fact(share, self.emotions_confidence)
        if group == "activity":
            mean = getattr(self.activity, member)
            return None if mean is None else Fact(mean, self.activity_confidence[member])
        held = self.behaviour if name in BEHAVIOUR_FACTS else self
        figure: Estimate = getattr(held, name)
        if figure.source is Source.PRIOR:
            return None
        return Fact(figure.value, figure.confidence)

    def number(self, name: str) -> float | None:
        """The value of a numeric fact; None without evidence."""
        fact = self.fact(name)
        return None if fact is None or isinstance(fact.value, Trajectory) else fact.value


def summarise(record: LearnerRecord, settings: LearnerSettings) -> Summary:
    """The figures that follow from a record. Pure; the reference time is the newest event."""
    evidence, confidence = record.evidence, settings.confidence
    least = confidence.min_evidence
    emotions, emotions_weight = _mix(evidence.session, evidence.classes, least)
    activity, activity_confidence = _activity(evidence, settings)
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
        activity=activity,
        activity_confidence=activity_confidence,
        long_term=_long_term(evidence, settings),
        behaviour=behaviour,
        nets=settings.trained_nets.read(inputs),
    )


def trust(weight: float, half: float) -> float:
    """Confidence in [0, 1) from decayed evidence: 0.5 at `half`."""
    return weight / (weight + half)


def _long_term(evidence: Evidence, settings: LearnerSettings) -> LongTerm:
    sums, confidence = evidence.long, settings.confidence
    emotions, _ = _mix(sums, evidence.classes, confidence.min_evidence)
    return LongTerm(
        valence=_estimate(sums, Measure.VALENCE, confidence.prior_valence, settings),
        arousal=_estimate(sums, Measure.AROUSAL, confidence.prior_arousal, settings),
        dominance=_estimate(sums, Measure.DOMINANCE, confidence.prior_dominance, settings),
        emotions=emotions,
    )


def _estimate(
    sums: tuple[float, ...], measure: Measure, prior: float, settings: LearnerSettings
) -> Estimate:
    weight = sums[2 * measure + 1]
    if weight < settings.confidence.min_evidence:
        return Estimate(value=prior, confidence=0.0, source=Source.PRIOR)
    return Estimate(
        value=sums[2 * measure] / weight,
        confidence=trust(weight, settings.confidence.messages_half),
        source=Source.MEASURED,
    )


def _mix(sums: tuple[float, ...], classes: int, least: float) -> tuple[dict[Emotion, float], float]:
    weight = sums[EMOTION_WEIGHT]
    if weight < least:
        return {}, 0.0
    # Never above 1 in sum, by rounding.
    whole = max(weight, sum(sums[FIRST_EMOTION:]))
    return {
        emotion: sums[FIRST_EMOTION + index] / whole
        for index, emotion in enumerate(_EMOTIONS)
        if classes >> index & 1
    }, weight


def _activity(evidence: Evidence, settings: LearnerSettings) -> tuple[Activity, dict[str, float]]:
    means: dict[str, float] = {}
    confidences: dict[str, float] = {}
    for name, measure in _ACTIVITY.items():
        weight = evidence.weight(measure)
        if weight >= settings.confidence.min_evidence:
            means[name] = evidence.mean(measure)
            confidences[name] = trust(weight, settings.confidence.interactions_half)
    activity = Activity(
        interactions=evidence.interactions,
        messages=evidence.messages,
        response_time=means.get("response_time"),
        dwell_time=means.get("dwell_time"),
        tab_active=means.get("tab_active"),
        correct=means.get("correct"),
        hints=means.get("hints"),
        attempts=means.get("attempts"),
    )
    return activity, confidences
