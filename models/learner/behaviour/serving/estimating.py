"""From a record to the estimates: learned where labels exist, derived where none do.

confidence  weight / (weight + half), the weight decayed to the reference time `now`:
            it grows with evidence and falls as that goes stale
source      measured   a trained estimator read the learner's own data
            derived    a formula of this module, with settings as its parameters
            prior      below `min_evidence`: the population's value, confidence 0
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from models.learner.behaviour.serving.artefact import Behaviour
from models.learner.behaviour.serving.config import BehaviourSettings
from models.learner.behaviour.serving.features import (
    focus_features,
    load_features,
    next_features,
    slowing,
    upcoming,
)
from models.learner.behaviour.serving.record import RECENT, SESSION, BehaviourRecord, Sum, decay
from schemas.topics.emotions import Emotion
from schemas.topics.state import Source


class Figure(NamedTuple):
    """One estimate, exact; `schemas.topics.state.Estimate` is how it leaves."""

    value: float
    """In [0, 1]."""
    confidence: float
    """In [0, 1)."""
    source: Source


@dataclass(frozen=True, slots=True)
class Tendency:
    """How much of what a learner used was of one kind of content."""

    share: float
    """In [0, 1], time-decayed over weeks; the shares of all kinds sum to 1."""
    count: int
    """How many interactions with that kind there have been, ever."""


@dataclass(frozen=True, slots=True)
class BehaviourEstimates:
    """One moment's estimates, each in [0, 1] with a confidence in [0, 1) and its source."""

    help_need: Figure
    """Probability that the learner asks for a hint on the next exercise."""
    next_correct: Figure
    """Probability that the next answer is right at the first attempt."""
    focus: Figure
    """1 - probability of being off task."""
    cognitive_load: Figure
    """Probability that the load is above the learner's own mean."""
    engagement: Figure
    """Derived: taking part on the page, and the text's engagement against boredom."""
    fatigue: Figure
    """Derived: time on task and drift against the learner's own norm."""
    tendencies: Mapping[str, Tendency]
    """Kinds of content by use; empty before any was used."""


def estimate(
    record: BehaviourRecord,
    emotions: Mapping[Emotion, float],
    emotions_confidence: float,
    settings: BehaviourSettings,
) -> BehaviourEstimates:
    """All estimates at the record's newest event. `emotions` is the mix of the learner's texts."""
    behaviour = settings.behaviour
    answers = record.total(SESSION, Sum.ANSWERS)
    responses = record.total(SESSION, Sum.RESPONSES)
    next_correct, help_need = _next(record, behaviour, answers, settings)
    focus = _focus(record, behaviour, responses, settings)
    return BehaviourEstimates(
        help_need=help_need,
        next_correct=next_correct,
        focus=focus,
        cognitive_load=_load(record, behaviour, settings),
        engagement=_engagement(record, focus, emotions, emotions_confidence, settings),
        fatigue=_fatigue(record, behaviour, responses, settings),
        tendencies=_tendencies(record, settings),
    )


def _next(
    record: BehaviourRecord, behaviour: Behaviour, weight: float, settings: BehaviourSettings
) -> tuple[Figure, Figure]:
    skill, hint_total = upcoming(record, behaviour.population)
    if weight < settings.min_evidence:
        chances = behaviour.population.chances(skill, hint_total)
        return _prior(chances.correct), _prior(chances.hint)
    vector = next_features(record, behaviour.population, skill, hint_total)
    confidence = _trust(weight, settings.answers_half)
    scorers = behaviour.scorers
    return (
        _measured(scorers["next_correct"].probability(vector), confidence),
        _measured(scorers["next_hint"].probability(vector), confidence),
    )


def _focus(
    record: BehaviourRecord, behaviour: Behaviour, weight: float, settings: BehaviourSettings
) -> Figure:
    if weight < settings.min_evidence or not record.responses:
        return _prior(1.0 - behaviour.base_rates["offtask"])
    off_task = behaviour.scorers["offtask"].probability(
        focus_features(record, behaviour.population)
    )
    return _measured(1.0 - off_task, _trust(weight, settings.responses_half))


def _load(record: BehaviourRecord, behaviour: Behaviour, settings: BehaviourSettings) -> Figure:
    """Measured from answers; without them derived: slowing down stands for what it costs.

    `slowness` (trained) is how much less often an answer is right for each own spread
    that it was slower; as if answers had fallen by so much, from no drift.
    """
    scorer = behaviour.scorers["load"]
    answers = record.total(RECENT, Sum.ANSWERS)
    if answers >= settings.min_evidence:
        value = scorer.probability(load_features(record))
        return _measured(value, _trust(answers, settings.answers_half))
    responses = record.total(RECENT, Sum.RESPONSES)
    if responses < settings.min_evidence:
        return _prior(behaviour.base_rates["load"])
    residual = behaviour.slowness * slowing(record, behaviour.population)
    value = scorer.probability((residual, residual))
    return _derived(value, _trust(responses, settings.responses_half))


def _engagement(
    record: BehaviourRecord,
    focus: Figure,
    emotions: Mapping[Emotion, float],
    emotions_confidence: float,
    settings: BehaviourSettings,
) -> Figure:
    """Mean of taking part and of the text, each weighted by its confidence.

    taking part   share of events with the tab in front, times focus (what is known of them)
    text          share of the class engagement against that of boredom
    """
    tabs = record.total(SESSION, Sum.TABS)
    tabs_trust = _trust(tabs, settings.responses_half) if tabs >= settings.min_evidence else 0.0
    part, part_trust = 1.0, max(tabs_trust, focus.confidence)
    if tabs_trust:
        part *= record.total(SESSION, Sum.TAB_ACTIVE) / tabs
    if focus.source is not Source.PRIOR:
        part *= focus.value
    engaged, bored = emotions.get(Emotion.ENGAGEMENT, 0.0), emotions.get(Emotion.BOREDOM, 0.0)
    told = min(engaged + bored, 1.0)
    text_trust = emotions_confidence * told
    total = part_trust + text_trust
    if total <= 0.0:
        return _prior(settings.engagement.prior)
    text = engaged / (engaged + bored) if told > 0.0 else 0.0
    value = (part_trust * part + text_trust * text) / total
    return _derived(value, 1.0 - (1.0 - part_trust) * (1.0 - text_trust))


def _fatigue(
    record: BehaviourRecord, behaviour: Behaviour, responses: float, settings: BehaviourSettings
) -> Figure:
    """1 - (1 - time) * (1 - drift).

    time    1 - 2^(-t / half), t the seconds since the last pause of at least `pause`
    drift   the learner's own spreads of slowing down, over `drift_full`, in [0, 1],
            times the confidence in it
    """
    parameters = settings.fatigue
    events = record.total(SESSION, Sum.EVENTS)
    if events < settings.min_evidence or not record.stints:
        return _prior(parameters.prior)
    first, last = record.stints[0]
    time = 1.0 - decay(last - first, parameters.half)
    drift = 0.0
    if responses >= settings.min_evidence:
        slower = slowing(record, behaviour.population) / parameters.drift_full
        drift = min(max(slower, 0.0), 1.0) * _trust(responses, settings.responses_half)
    return _derived(1.0 - (1.0 - time) * (1.0 - drift), _trust(events, settings.responses_half))


def _tendencies(record: BehaviourRecord, settings: BehaviourSettings) -> dict[str, Tendency]:
    total = sum(uses for uses, _ in record.kinds)
    if total <= 0.0:
        return {}
    return {
        name: Tendency(_unit(uses / total), count)
        for name, (uses, count) in zip(settings.kinds, record.kinds, strict=False)
        if count
    }


def _trust(weight: float, half: float) -> float:
    return weight / (weight + half)


def _measured(value: float, confidence: float) -> Figure:
    return Figure(_unit(value), _unit(confidence), Source.MEASURED)


def _derived(value: float, confidence: float) -> Figure:
    return Figure(_unit(value), _unit(confidence), Source.DERIVED)


def _prior(value: float) -> Figure:
    return Figure(_unit(value), 0.0, Source.PRIOR)


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)
