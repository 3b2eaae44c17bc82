"""What a learner's answers teach about that learner.

A learner's own expectation of an action is the deployment's, m(x) with variance v(x),
plus an offset that is the learner's own. With s the noise of one reward and 1/k of its
variance between learners (`noise`, `person_strength`), conjugate normal updating of the
offset from surprises rᵢ - m(xᵢ) with weights wᵢ gives

    n        = s² / (v(x) + s²/k)            answers' worth of trust in m(x)
    mean     = m(x) + Σ wᵢ(rᵢ - m(xᵢ)) / (n + Σ wᵢ)
    variance = s² / (n + Σ wᵢ)

so that two sums are kept of an action, both decaying with `half_life_days` of ingest time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from models.ids import derived_id
from models.learner.recommending.serving.catalogue import Direction, Goal
from models.learner.recommending.serving.expectations import Expected
from models.learner.recommending.serving.memory import (
    MAX_APPLIED_AFTER,
    Advice,
    Decision,
    Learned,
    Shown,
    scaled,
    single,
    unscaled,
    unshare,
)
from models.learner.recommending.serving.settings import Recommending

_DAY_MS: Final = 86_400_000

Facts = Callable[[str], float | None]
"""A numeric fact of the state by its name; None if it is not known."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is expected of an action for this learner."""

    mean: float
    variance: float
    is_personal: bool
    """Whether this learner's own answers moved it."""


def believe(expected: Expected, advice: Advice, key: int, now: int, policy: Recommending) -> Belief:
    """The deployment's expectation with this learner's answers about the action."""
    settings = policy.settings
    noise = settings.noise**2
    trust = noise / (expected.variance + noise / settings.person_strength)
    weight = surprise = 0.0
    for one in advice.learned:
        if one.action == key:
            fade = _fade(advice.learned_at, now, policy)
            weight, surprise = one.weight * fade, one.surprise * fade
    mean = expected.mean + surprise / (trust + weight)
    return Belief(min(1.0, max(0.0, mean)), noise / (trust + weight), weight > 0)


def recommendation_id(decision: Decision, name: str, user_id: str) -> str:
    """The id by which a page answers to one recommendation of a decision."""
    return derived_id(f"recommendation:{name}", decision.id.hex(), user_id)


def answer(
    advice: Advice,
    user_id: str,
    target_id: str,
    outcome: str,
    *,
    now: int,
    policy: Recommending,
) -> Advice:
    """Learn from one answer. Each outcome counts once for a recommendation.

    An outcome that the catalogue does not know, or a recommendation that is no longer
    remembered, teaches nothing. `now` is ingest time in milliseconds.
    """
    catalogue = policy.catalogue
    bit = catalogue.outcome_bits.get(outcome)
    place = _find(advice, user_id, target_id, policy)
    if bit is None or place is None:
        return advice
    index, position = place
    shown = advice.decisions[index].shown[position]
    if shown.answers >> bit & 1:
        return advice
    taught = catalogue.outcomes[bit]
    changed = replace(
        shown,
        answers=shown.answers | 1 << bit,
        refused=shown.refused or taught.refuses,
    )
    if taught.applies and shown.applied_after is None:
        changed = _applied(changed, now - advice.decisions[index].at)
    advice = _put(advice, index, position, changed)
    if taught.refuses:
        # One an action, and of no action that has left the catalogue: at most as many as it has.
        others = tuple(
            one for one in advice.resting if one[0] != shown.action and one[0] in catalogue.by_key
        )
        until = now + round(policy.settings.rest * 1000)
        advice = replace(advice, resting=(*others, (shown.action, until)))
    return _learn(advice, shown, taught.reward, taught.weight, now=now, policy=policy)


def follow_up(advice: Advice, fact: Facts, now: int, policy: Recommending) -> Advice:
    """Learn from where the goals of applied actions have moved, once for each.

    Minutes count from when the page did it; the goal's fact is compared with the decision's.
    """
    settings, catalogue = policy.settings, policy.catalogue
    for index, decision in enumerate(advice.decisions):
        for position, shown in enumerate(decision.shown):
            action = catalogue.by_key.get(shown.action)
            if shown.applied_after is None or shown.closed:
                continue
            if action is None or action.goal is None:
                continue
            since = now - decision.at - shown.applied_after * 1000
            if since < settings.follow_up_after * 1000:
                continue
            reward: int | None = None
            if since <= settings.follow_up_until * 1000:
                reward = _movement(shown.goal, action.goal, fact, policy)
                if reward is None:
                    continue  # not known yet; it may be before the time is over
            advice = _put(advice, index, position, replace(shown, closed=True, follow_up=reward))
            if reward is not None:
                weight = settings.follow_up_weight
                advice = _learn(advice, shown, unscaled(reward), weight, now=now, policy=policy)
    return advice


def goal_of(goal: Goal | None, fact: Facts, policy: Recommending) -> int | None:
    """Where a goal's fact stands now."""
    if goal is None:
        return None
    for one in policy.catalogue.context:
        if one.fact == goal.fact:
            return scaled(fact(one.fact), one.low, one.high)
    return None


def _applied(shown: Shown, since: int) -> Shown:
    """`since`: milliseconds from the decision. Rounded up: its minutes never begin too early."""
    after = max(0, -(-since // 1000))
    if after > MAX_APPLIED_AFTER:
        # The fact that it would be compared with is of another day.
        return replace(shown, applied_after=MAX_APPLIED_AFTER, closed=True)
    return replace(shown, applied_after=after)


def _movement(before: int | None, goal: Goal, fact: Facts, policy: Recommending) -> int | None:
    """0 much worse, ½ as before, 1 much better."""
    after = goal_of(goal, fact, policy)
    if before is None or after is None:
        return None
    moved = unscaled(after) - unscaled(before)
    towards = moved if goal.towards is Direction.UP else -moved
    return scaled(0.5 + towards / (2 * policy.settings.follow_up_scale), 0.0, 1.0)


def _learn(
    advice: Advice, shown: Shown, reward: float, weight: float, *, now: int, policy: Recommending
) -> Advice:
    if weight == 0:
        return advice
    fade = _fade(advice.learned_at, now, policy)
    sums = {one.action: (one.weight * fade, one.surprise * fade) for one in advice.learned}
    known, surprise = sums.get(shown.action, (0.0, 0.0))
    sums[shown.action] = (
        known + weight,
        surprise + weight * (reward - unshare(shown.expected_here)),
    )
    strongest = sorted(sums.items(), key=lambda one: (one[0] != shown.action, -one[1][0]))
    kept = strongest[: policy.settings.learned_actions]
    learned = tuple(Learned(key, single(w), single(s)) for key, (w, s) in sorted(kept))
    return replace(advice, learned=learned, learned_at=max(now, advice.learned_at))


def _fade(since: int, now: int, policy: Recommending) -> float:
    days = max(0, now - since) / _DAY_MS
    return float(2.0 ** -(days / policy.settings.half_life_days))


def _find(
    advice: Advice, user_id: str, target_id: str, policy: Recommending
) -> tuple[int, int] | None:
    for index, decision in reversed(tuple(enumerate(advice.decisions))):
        for position, shown in enumerate(decision.shown):
            action = policy.catalogue.by_key.get(shown.action)
            if action and recommendation_id(decision, action.name, user_id) == target_id:
                return index, position
    return None


def _put(advice: Advice, index: int, position: int, shown: Shown) -> Advice:
    decision = advice.decisions[index]
    changed = replace(
        decision, shown=(*decision.shown[:position], shown, *decision.shown[position + 1 :])
    )
    return replace(
        advice, decisions=(*advice.decisions[:index], changed, *advice.decisions[index + 1 :])
    )
