"""What the estimators see: vectors made from a record, in training and in serving alike.

Means are shrunk to the population's by SHRINK events' worth of it, so that little or
faded evidence moves a feature little, and a learner back after a year looks new.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, log1p, sqrt
from typing import Final

from models.learner.behaviour.serving.exercises import Before, Exercises
from models.learner.behaviour.serving.observed import NO_SKILL, UNKNOWN_HINTS
from models.learner.behaviour.serving.population import HINTS_NOT_SENT, Population, hint_group
from models.learner.behaviour.serving.record import (
    NORM,
    RECENT,
    SESSION,
    Answer,
    BehaviourRecord,
    Sum,
)
from models.learner.behaviour.serving.scorer import sigmoid

SHRINK: Final = 2.0
"""Events' worth of the population in each mean (a feature's definition, as trained)."""
LAST: Final = 5
"""Answers that are seen one by one."""
FADING: Final = 0.9
"""Weight of an answer against that of the one after it, where surprises are summed."""
SURPRISES: Final = 3
"""Answers of which it is seen how hard their exercises are."""
PACE: Final = 5
"""Responses over which pace is read."""

_HORIZONS: Final = (("recent", RECENT), ("session", SESSION), ("norm", NORM))
_MEANS: Final = (
    ("correct", Sum.CORRECT, Sum.ANSWERS),
    ("hints", Sum.HINTS, Sum.HINT_ANSWERS),
    ("repeated", Sum.REPEATED, Sum.TRIED),
    ("response", Sum.RESPONSE, Sum.RESPONSES),
)

NEXT_NAMES: Final = (
    "chance_correct",
    "chance_hint",
    "no_hints",
    "hints_on_offer",
    *(f"{name}_{horizon}" for horizon, _ in _HORIZONS for name, _, _ in _MEANS),
    "answers_norm",
    "answers_recent",
    "pace_drift",
    "pace_last",
    "skill_answers",
    "skill_correct",
    "skill_hints",
    *(
        f"last{number}_{name}"
        for number in range(1, LAST + 1)
        for name in ("correct", "hint", "repeated", "same_skill", "same_hints", "no_hints")
    ),
    "last_hint_share",
    "last_attempts",
    "ease_correct",
    "ease_hint",
    "sequel_correct",
    "sequel_hint",
    *(f"last{number}_ease" for number in range(1, SURPRISES + 1)),
    "surprise",
    "surprise_alike",
)
"""For the next exercise, of which skill and hints on offer are known or -1."""

FOCUS_NAMES: Final = ("pace",)
"""One only: 32 observations of being off task do not bear more."""
LOAD_NAMES: Final = ("correct_recent", "correct_drift")


def next_features(
    record: BehaviourRecord, population: Population, skill: int, hint_total: int
) -> list[float]:
    """One vector in the order of NEXT_NAMES."""
    chances = population.chances(skill, hint_total)
    group = hint_group(hint_total)
    vector = [
        _logit(chances.correct),
        _logit(chances.hint),
        1.0 if group == 0 else 0.0,
        0.0 if group == HINTS_NOT_SENT else log1p(hint_total),
    ]
    sums = record.sums
    for _, horizon in _HORIZONS:
        for _, value, weight in _MEANS:
            vector.append(sums[horizon + value] / (sums[horizon + weight] + SHRINK))
    answers, correct, hints = record.skill(skill)
    vector += (
        log1p(max(sums[NORM + Sum.ANSWERS], 0.0)),
        log1p(max(sums[RECENT + Sum.ANSWERS], 0.0)),
        _mean(record, RECENT, Sum.RESPONSE, Sum.RESPONSES)
        - _mean(record, NORM, Sum.RESPONSE, Sum.RESPONSES),
        _last_response(record, population),
        log1p(max(answers, 0.0)),
        correct / (answers + SHRINK),
        hints / (answers + SHRINK),
    )
    since = _since(record, population)
    answers_seen = [answer for answer in record.answers if answer[0] >= since]
    for number in range(LAST):
        if number < len(answers_seen):
            _, of, right, attempts, hinted, offered, _ = answers_seen[number]
            vector += (
                1.0 if right else -1.0,
                1.0 if hinted > 0 else 0.0,
                1.0 if attempts > 1 else 0.0,
                1.0 if of == skill else 0.0,
                1.0 if offered == hint_total else 0.0,
                1.0 if offered == 0 else 0.0,
            )
        else:
            vector += (0.0,) * 6
    if answers_seen:
        _, _, _, attempts, hinted, offered, _ = answers_seen[0]
        vector += (
            min(max(hinted, 0) / offered, 1.0) if offered > 0 else 0.0,
            log1p(max(attempts, 0)),
        )
    else:
        vector += (0.0, 0.0)
    vector += _exercise_features(answers_seen, population.exercises, skill, group)
    return vector


def _exercise_features(
    answers: Sequence[Answer], exercises: Exercises, skill: int, group: int
) -> list[float]:
    """What is known of the exercise to come, and how the last answers compare with others'.

    A surprise is an answer less its chance for a learner of mean ability; surprises are
    summed with weights and divided by the sum of variances, a step of Newton's towards
    the learner's ability. Alike are exercises of the same skill with the same hint group.
    """
    before = None
    if answers:
        _, done, _, _, _, offered, problem = answers[0]
        before = Before(problem, done, hint_group(offered))
    vector = [*exercises.of_upcoming(skill, group), *exercises.of_sequel(before, skill, group)]
    eases = []
    every = every_weight = alike = alike_weight = 0.0
    fading = 1.0
    for _, done, right, _, _, offered, problem in answers:
        ease, _ = exercises.of_answered(problem, done, hint_group(offered))
        eases.append(ease)
        chance = sigmoid(ease)
        fading *= FADING
        every += fading * (right - chance)
        every_weight += fading * chance * (1.0 - chance)
        if done == skill and hint_group(offered) == group:
            alike += fading * (right - chance)
            alike_weight += fading * chance * (1.0 - chance)
    vector += [*eases[:SURPRISES], *(0.0,) * (SURPRISES - len(eases))]
    vector += [every / (every_weight + 1.0), alike / (alike_weight + 1.0)]
    return vector


def focus_features(record: BehaviourRecord, population: Population) -> list[float]:
    """One vector in the order of FOCUS_NAMES.

    `pace`: log of the mean of the PACE responses before the latest, less the mean of
    the learner's own log response times. Being away shows in what came before.
    """
    since = _since(record, population)
    responses = [value for time, value in record.responses if time >= since]
    if not responses:
        return [0.0]
    centre, _ = own_norm(record, population)
    before = responses[1 : PACE + 1] or responses
    return [log(sum(map(exp, before)) / len(before)) - centre]


def load_features(record: BehaviourRecord) -> list[float]:
    """One vector in the order of LOAD_NAMES: residuals of correct answers, and their drift."""
    recent = _mean(record, RECENT, Sum.CORRECT, Sum.ANSWERS)
    return [recent, recent - _mean(record, NORM, Sum.CORRECT, Sum.ANSWERS)]


def slowing(record: BehaviourRecord, population: Population) -> float:
    """How many of the learner's own spreads slower than their norm the recent responses are."""
    centre, spread = own_norm(record, population)
    recent = population.log_response + _mean(record, RECENT, Sum.RESPONSE, Sum.RESPONSES)
    return (recent - centre) / spread


def own_norm(record: BehaviourRecord, population: Population) -> tuple[float, float]:
    """Mean and spread of the learner's log response times, shrunk to the population's."""
    sums = record.sums
    weight = sums[NORM + Sum.RESPONSES] + SHRINK
    off = sums[NORM + Sum.RESPONSE] / weight
    squares = (
        sums[NORM + Sum.RESPONSE_SQUARES] + SHRINK * population.log_response_spread**2
    ) / weight
    # Never below a tenth of the population's: a learner of one speed has no unit.
    least = 0.1 * population.log_response_spread
    return population.log_response + off, max(sqrt(max(squares - off * off, 0.0)), least)


def upcoming(record: BehaviourRecord, population: Population) -> tuple[int, int]:
    """Skill and hints on offer of the exercise at hand, as far as the page told.

    One from before the norm's half-life is no longer at hand.
    """
    if record.task is None or record.task[0] < _since(record, population):
        return NO_SKILL, UNKNOWN_HINTS
    return record.task[1:]


def _since(record: BehaviourRecord, population: Population) -> float:
    """Milliseconds: what is older than the norm's half-life is not seen one by one."""
    return record.newest - 1000 * population.half_lives[2]


def _last_response(record: BehaviourRecord, population: Population) -> float:
    if not record.responses or record.responses[0][0] < _since(record, population):
        return 0.0
    return record.responses[0][1] - population.log_response


def _mean(record: BehaviourRecord, horizon: int, value: Sum, weight: Sum) -> float:
    return record.sums[horizon + value] / (record.sums[horizon + weight] + SHRINK)


def _logit(share: float) -> float:
    return log(share / (1.0 - share))
