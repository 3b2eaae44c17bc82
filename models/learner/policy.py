"""Which grounds hold: what may be suggested, and whether to step in.

What is suggested of what may be: models/learner/recommending/. Three things keep
decisions from flickering: a held rule lets go only when its facts
have retreated past their thresholds by `hysteresis`; an intervention waits for its
level's gap since the last one of that or a higher level; and gaps run on ingest
time, which a page's clock cannot move.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from models.learner.config import LearnerSettings, PolicySettings
from models.learner.nets.serving.intervention import Need
from models.learner.recommending.serving.advising import Eligible
from models.learner.rules import Condition, InterventionRule
from models.learner.state import Fact, Summary
from models.words.words import Words
from schemas.topics.state import Trajectory
from schemas.vocabulary import Level

_HELD: Final = {level: f"need:{level.value}" for level in Level}
"""What the net's need is called in `active`: no rule or action has a colon in its name."""


_Holding = list[tuple[Condition, Fact]]
"""Conditions that hold, each with its fact."""


@dataclass(frozen=True, slots=True)
class _Reasons:
    """Conditions that hold, in words once somebody asks."""

    holding: _Holding
    words: Words = field(compare=False)

    def __call__(self) -> tuple[str, ...]:
        return tuple(in_words(condition, fact, self.words) for condition, fact in self.holding)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A reason to step in, before it has an id."""

    rule: str
    level: Level
    confidence: float
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from one state."""

    active: tuple[str, ...]
    """Names of all rules and actions whose grounds hold, sorted; the next decision's memory."""
    eligible: tuple[Eligible, ...]
    """What may be recommended, in the catalogue's order."""
    alarm: Alarm | None
    """Of the rules that hold and the net's need the highest, whether or not its gap has passed."""
    needed: Level = Level.NONE
    """What the intervention net sees a need of."""


class _Facts(dict[str, Fact | None]):
    """A summary's facts by name, each read once: many grounds ask for the same few."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def __missing__(self, name: str) -> Fact | None:
        fact = self[name] = self._summary.fact(name)
        return fact


def decide(summary: Summary, held: tuple[str, ...], settings: LearnerSettings) -> Decision:
    """Evaluate every ground; `held` are the names of those that held before.

    Deciding again on the same summary with the resulting `active` gives the same decision.
    """
    before = frozenset(held)
    policy, words = settings.policy, settings.words
    facts = _Facts(summary)
    active: list[str] = []
    eligible: list[Eligible] = []
    alarm: Alarm | None = None
    for action in settings.recommending_policy.catalogue.actions:
        holding = _first(action.when, facts, action.name in before, policy)
        if holding is not None:
            active.append(action.name)
            eligible.append(Eligible(action, _confidence(holding), _Reasons(holding, words)))
    highest: tuple[InterventionRule, _Holding] | None = None
    for rule in settings.rules.interventions:
        holding = _holding(rule.when, facts, rule.name in before, policy)
        if holding is not None:
            active.append(rule.name)
            if highest is None or rule.level.rank > highest[0].level.rank:
                highest = rule, holding
    if highest is not None:
        rule, holding = highest
        because = _Reasons(holding, words)()
        alarm = Alarm(rule.name, rule.level, _confidence(holding), because)
    needed = needed_level(summary.nets.need, before, settings)
    if needed is not Level.NONE and summary.nets.need is not None:
        active.append(_HELD[needed])
        if alarm is None or needed.rank > alarm.level.rank:
            alarm = _alarm(summary.nets.need, needed, words)
    return Decision(tuple(sorted(active)), tuple(eligible), alarm, needed)


def needed_level(need: Need | None, held: Collection[str], settings: LearnerSettings) -> Level:
    """The highest level whose probability reaches the share that costs ask for.

    A level that held lets go only `hysteresis` (a share) below that, whatever else lies
    between the two.
    """
    if need is None:
        return Level.NONE
    share = settings.nets.share
    kept = share * (1 - settings.policy.hysteresis)
    levels = [need.level(share)]
    levels += (level for level, p in need.at_least.items() if p >= kept and _HELD[level] in held)
    return max(levels, key=lambda level: level.rank)


def _alarm(need: Need, level: Level, words: Words) -> Alarm:
    probability = need.at_least[level]
    because = words.because.need.format(
        level=words.levels[level],
        probability=words.number(probability, ".2f"),
        sides=words.both([words.sides[side] for side in need.sides]),
    )
    return Alarm(_HELD[level], level, probability, (because,))


def may_raise(
    level: Level, now: int, raised: Mapping[Level, int], settings: PolicySettings
) -> bool:
    """Whether the level's gap has passed since the last intervention of it or a higher one.

    `now` and `raised` are ingest times in milliseconds.
    """
    last = max((at for other, at in raised.items() if other.rank >= level.rank), default=None)
    return last is None or now - last >= settings.gaps.of(level) * 1000


def _first(
    alternatives: tuple[tuple[Condition, ...], ...],
    facts: Mapping[str, Fact | None],
    held: bool,
    settings: PolicySettings,
) -> _Holding | None:
    """The first ground that holds; what only lingers counts when no other does.

    In this order, so that deciding again, now that it is held, names the same ground.
    """
    for lingering in (False, True)[: 1 + held]:
        for conditions in alternatives:
            holding = _holding(conditions, facts, lingering, settings)
            if holding is not None:
                return holding
    return None


def _holding(
    conditions: tuple[Condition, ...],
    facts: Mapping[str, Fact | None],
    lingering: bool,
    settings: PolicySettings,
) -> _Holding | None:
    """The conditions with their facts; None if one does not hold."""
    slack = settings.hysteresis if lingering else 0.0
    holding: _Holding = []
    for condition in conditions:
        fact = facts[condition.fact]
        if fact is None or not _holds(condition, fact, slack):
            return None
        holding.append((condition, fact))
    return holding


def _confidence(holding: _Holding) -> float:
    """Of the least certain fact."""
    return min(fact.confidence for _, fact in holding)


def _holds(condition: Condition, fact: Fact, slack: float) -> bool:
    if fact.confidence < condition.min_confidence * (1 - slack):
        return False
    if isinstance(fact.value, Trajectory):
        return fact.value in condition.is_any
    if condition.below is not None:
        return fact.value < condition.below + slack * abs(condition.below)
    assert condition.above is not None  # checked when the rule was read
    return fact.value > condition.above - slack * abs(condition.above)


def in_words(condition: Condition, fact: Fact, words: Words) -> str:
    """For people: `valence 0.31 is below 0.35 (confidence 0.80)`."""
    because, name = words.because, words.fact_names[condition.fact]
    confidence = words.number(fact.confidence, ".2f")
    if isinstance(fact.value, Trajectory):
        trajectory = words.trajectories[fact.value]
        return because.heading.format(fact=name, trajectory=trajectory, confidence=confidence)
    if condition.below is not None:
        threshold, is_past = condition.below, fact.value < condition.below
        text = because.below if is_past else because.was_below
    else:
        assert condition.above is not None  # checked when the rule was read
        threshold, is_past = condition.above, fact.value > condition.above
        text = because.above if is_past else because.was_above
    return text.format(
        fact=name,
        value=words.number(round(fact.value, 3), "g"),
        threshold=words.number(threshold, "g"),
        confidence=confidence,
    )
