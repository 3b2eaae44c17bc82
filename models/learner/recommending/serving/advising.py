"""From what could be recommended to what is: when a decision is made, and what it says.

A decision stands while its grounds hold, `keep` has not passed, nothing of it was
refused that another candidate could replace, and no place is left free for a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models.learner.recommending.serving.catalogue import Action
from models.learner.recommending.serving.choice import Rated, draw, weigh
from models.learner.recommending.serving.expectations import Vector, vector
from models.learner.recommending.serving.learning import (
    Belief,
    Facts,
    believe,
    follow_up,
    goal_of,
    recommendation_id,
)
from models.learner.recommending.serving.memory import (
    Advice,
    Considered,
    Decision,
    Shown,
    scaled,
    share,
    unscaled,
    unshare,
)
from models.learner.recommending.serving.settings import Recommending
from models.words.words import Words
from schemas.figures import rounded
from schemas.topics.actions import Candidate, DecisionMade, FollowUp, Recommendation, ShownVariant


@dataclass(frozen=True, slots=True)
class Eligible:
    """An action whose preconditions hold."""

    action: Action
    confidence: float
    """Of the least certain fact."""
    reasons: Callable[[], tuple[str, ...]]
    """The facts in words: few of those that are eligible are shown."""


@dataclass(frozen=True, slots=True)
class _Rating:
    eligible: Eligible
    here: float
    """Expected before this learner's answers."""
    belief: Belief


def advise(
    advice: Advice,
    eligible: Sequence[Eligible],
    fact: Facts,
    decision_id: bytes,
    *,
    now: int,
    policy: Recommending,
) -> Advice:
    """The advice after one update.

    Args:
        advice: before it.
        eligible: whose preconditions hold, in the catalogue's order.
        fact: numeric facts of the state.
        decision_id: 16 bytes that follow from the cause; a decision made now has this id. None
            is made under the id of one that is still remembered.
        now: ingest time, milliseconds.
        policy: what decides.
    """
    advice = _rested(follow_up(advice, fact, now, policy), now)
    candidates = _candidates(advice, eligible, policy)
    if not candidates or policy.places == 0:
        return replace(advice, standing=False)
    if _stands(advice, candidates, now, policy):
        return advice
    if any(one.id == decision_id for one in advice.decisions):
        # The client sent the cause again when its id was no longer known. Answers could not
        # tell two decisions of one id apart: the next update decides.
        return replace(advice, standing=False)
    return _decide(advice, candidates, fact, decision_id, now=now, policy=policy)


def recommendations(
    advice: Advice, eligible: Sequence[Eligible], user_id: str, policy: Recommending, words: Words
) -> tuple[Recommendation, ...]:
    """What the page should show now, best first, with reasons in `words`."""
    current = advice.current
    if current is None:
        return ()
    by_key = {one.action.key: one for one in eligible}
    return tuple(
        Recommendation(
            id=recommendation_id(current, found.action.name, user_id),
            action=found.action.action,
            parameters=found.action.parameters,
            confidence=rounded(found.confidence),
            because=(*found.reasons(), _in_words(shown, words)),
            variant=found.action.name,
            propensity=unshare(shown.chance),
            policy_version=current.policy.hex(),
        )
        for shown in current.shown
        if not shown.refused and (found := by_key.get(shown.action)) is not None
    )


def decision_made(
    advice: Advice, decision_id: bytes, user_id: str, policy: Recommending
) -> DecisionMade | None:
    """The decision of this id for the log, while it is the newest; otherwise None.

    None also where another policy made it: its facts and candidates can then not be named.
    What was shown is told whatever became of it, so that a decision told again is the same.
    """
    if not advice.decisions or advice.decisions[-1].id != decision_id:
        return None
    made = advice.decisions[-1]
    if made.policy != policy.version:
        return None
    catalogue = policy.catalogue
    candidates = [(catalogue.by_key[one.action], one) for one in made.candidates]
    names = [catalogue.by_key[one.action].name for one in made.shown]
    return DecisionMade(
        id=made.id.hex(),
        decided_at=made.at,
        policy_version=made.policy.hex(),
        context={
            one.fact: unscaled(value)
            for one, value in zip(catalogue.context, made.context, strict=True)
            if value is not None
        },
        candidates=tuple(
            Candidate(
                variant=action.name,
                action=action.action,
                propensity=unshare(one.chance),
                expected=unshare(one.expected),
            )
            for action, one in candidates
        ),
        shown=tuple(
            ShownVariant(id=recommendation_id(made, name, user_id), variant=name) for name in names
        ),
    )


def follow_ups(advice: Advice, user_id: str, policy: Recommending) -> tuple[FollowUp, ...]:
    """Every measured movement of a goal that is still remembered."""
    return tuple(
        FollowUp(
            id=recommendation_id(decision, action.name, user_id), reward=unscaled(shown.follow_up)
        )
        for decision in advice.decisions
        for shown in decision.shown
        if shown.follow_up is not None
        and (action := policy.catalogue.by_key.get(shown.action)) is not None
    )


# -- deciding -----------------------------------------------------------------------------


def _rested(advice: Advice, now: int) -> Advice:
    resting = tuple(one for one in advice.resting if one[1] > now)
    return advice if resting == advice.resting else replace(advice, resting=resting)


def _candidates(
    advice: Advice, eligible: Sequence[Eligible], policy: Recommending
) -> list[Eligible]:
    # Who refused a break of five minutes is not offered one of three in the next moment.
    actions = policy.catalogue.by_key
    resting = {actions[key].action for key, _ in advice.resting if key in actions}
    return [one for one in eligible if one.action.action not in resting]


def _stands(advice: Advice, candidates: Sequence[Eligible], now: int, policy: Recommending) -> bool:
    current = advice.current
    if current is None or now - current.at >= policy.settings.keep * 1000:
        return False
    live = {shown.action for shown in current.shown if not shown.refused}
    possible = len({one.action.action for one in candidates})
    return (
        live <= {one.action.key for one in candidates}
        and len(live) >= min(policy.places, possible)
        and len(live) <= policy.places
    )


def _decide(
    advice: Advice,
    candidates: Sequence[Eligible],
    fact: Facts,
    decision_id: bytes,
    *,
    now: int,
    policy: Recommending,
) -> Advice:
    context = tuple(scaled(fact(one.fact), one.low, one.high) for one in policy.catalogue.context)
    ratings = [_rate(one, advice, vector(context), now, policy) for one in candidates]
    settings = policy.settings
    choice = weigh(
        [Rated(r.eligible.action.action, r.belief.mean, r.belief.variance) for r in ratings],
        policy.places,
        settings.explore,
        settings.least,
    )
    drawn = draw(choice, decision_id)
    shown = tuple(
        Shown(
            action=ratings[index].eligible.action.key,
            chance=choice.chances[index],
            expected_here=share(ratings[index].here),
            expected=share(ratings[index].belief.mean),
            goal=goal_of(ratings[index].eligible.action.goal, fact, policy),
            explored=index not in choice.best,
            personal=ratings[index].belief.is_personal,
        )
        for index in drawn
    )
    considered = tuple(
        Considered(rating.eligible.action.key, chance, share(rating.belief.mean))
        for rating, chance in zip(ratings, choice.chances, strict=True)
    )
    made = Decision(decision_id, now, policy.version, shown, considered, context)
    before = tuple(one.bare() for one in advice.decisions)
    return replace(advice, standing=True, decisions=(*before, made)[-settings.remembered :])


def _rate(eligible: Eligible, advice: Advice, x: Vector, now: int, policy: Recommending) -> _Rating:
    action = eligible.action
    expected = policy.expectations.of(action, x)
    return _Rating(eligible, expected.mean, believe(expected, advice, action.key, now, policy))


def _in_words(shown: Shown, words: Words) -> str:
    because = words.because
    if shown.explored:
        return because.explored
    text = because.expected_after if shown.personal else because.expected_before
    return text.format(expected=words.number(unshare(shown.expected), ".2f"))
