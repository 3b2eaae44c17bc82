"""What is known of a learner, worded for the model: figures with how far to trust them.

No word here judges ("high", "poor"): that would need thresholds. And nothing the learner or a
page wrote gets in but the names of content kinds, which the fence makes harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from models.tutor.context.config import ContextSettings
from models.tutor.context.material import Note
from schemas.topics.state import Estimate, Source, UserState


def state_notes(state: UserState, settings: ContextSettings) -> tuple[Note, ...]:
    """How the learner is now, and where that is heading; worth is the confidence."""
    return tuple(_now(state, settings))


def profile_notes(state: UserState, settings: ContextSettings) -> tuple[Note, ...]:
    """What holds over weeks: how much has been seen, answers, kinds of content used."""
    return tuple(_over_time(state, settings))


def _now(state: UserState, settings: ContextSettings) -> Iterator[Note]:
    figures = {"pleasure": state.valence, "arousal": state.arousal, "dominance": state.dominance}
    if state.behaviour is not None:
        figures |= {
            "cognitive load": state.behaviour.cognitive_load,
            "focus": state.behaviour.focus,
            "engagement": state.behaviour.engagement,
            "fatigue": state.behaviour.fatigue,
            "need for a hint": state.behaviour.help_need,
        }
    for name, estimate in figures.items():
        if _told(estimate, settings):
            yield Note(_figure(name, estimate), estimate.confidence)
    if state.readiness is not None and state.readiness.source is not Source.PRIOR:
        score, confidence = state.readiness.score, state.readiness.confidence
        if confidence >= settings.note_confidence:
            text = f"chance of getting the next exercise right: {score:.2f} of 1"
            yield Note(f"{text} (confidence {confidence:.2f})", confidence)
    likely = sorted(state.emotions.items(), key=lambda each: (-each[1], each[0]))
    if state.model_status == "ok" and likely and _told(state.valence, settings):
        named = ", ".join(
            f"{emotion.replace('_', ' ')} {share:.2f}"
            for emotion, share in likely[: settings.emotions_told]
        )
        if named:
            yield Note(f"emotions read in recent messages: {named}", state.valence.confidence)
    trend = state.trajectory
    if trend.call is not None:
        yield Note(f"mood over time: {trend.call.replace('_', ' ')}", state.valence.confidence)


def _over_time(state: UserState, settings: ContextSettings) -> Iterator[Note]:
    activity, worth = state.activity, settings.worth
    counts = f"messages so far: {activity.messages}; interactions: {activity.interactions}"
    yield Note(counts, worth.counts)
    if activity.correct is not None:
        yield Note(
            f"share of recent answers that were right: {activity.correct:.2f}", worth.correct
        )
    if activity.hints is not None:
        yield Note(f"hints used for an exercise, on average: {activity.hints:.1f}", worth.hints)
    if activity.response_time is not None:
        seconds = f"seconds to answer, on average: {activity.response_time:.0f}"
        yield Note(seconds, worth.response_time)
    if state.behaviour is None:
        return
    if _told(state.behaviour.next_correct, settings):
        estimate = state.behaviour.next_correct
        yield Note(_figure("chance that the next answer is right", estimate), estimate.confidence)
    for kind, tendency in sorted(state.behaviour.tendencies.items()):
        if tendency.count:
            yield Note(f"share of use that was {kind}: {tendency.share:.2f}", tendency.share)


def _told(estimate: Estimate, settings: ContextSettings) -> bool:
    return estimate.source is not Source.PRIOR and estimate.confidence >= settings.note_confidence


def _figure(name: str, estimate: Estimate) -> str:
    return f"{name}: {estimate.value:.2f} of 1 (confidence {estimate.confidence:.2f})"
