"""A decision stands while it can, and says what it says from the record alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bayesianbandits import NormalRegressor
from hypothesis import given
from hypothesis import strategies as st

from models.learner.recommending.serving.advising import decision_made, follow_ups, recommendations
from models.learner.recommending.serving.expectations import Expected
from models.learner.recommending.serving.learning import answer, believe
from models.learner.recommending.serving.memory import WHOLE, Advice, Learned
from models.learner.recommending.serving.settings import Recommending
from tests.models.learner.recommending.build import (
    MINUTE,
    NOW,
    WORDS,
    decide,
    eligible,
    policy,
    seed,
)

GREEDY: dict[str, Any] = {"explore": 0.0}


def shown(advice: Advice, of: Recommending) -> list[str | None]:
    return [one.variant for one in recommendations(advice, eligible(of), "ann", of, WORDS)]


def say(advice: Advice, of: Recommending, variant: str, outcome: str, now: int = NOW) -> Advice:
    (target,) = (
        one.id
        for one in recommendations(advice, eligible(of), "ann", of, WORDS)
        if one.variant == variant
    )
    return answer(advice, "ann", target, outcome, now=now, policy=of)


def test_the_priors_rank_first_and_never_more_than_the_configured_number_are_shown() -> None:
    of = policy((0.3, 0.5, 0.4), places=2, **GREEDY)
    assert shown(decide(Advice(), of), of) == ["a1", "a2"]
    assert shown(decide(Advice(), policy(places=0)), of) == []


def test_a_recommendation_says_why_how_likely_it_was_and_by_which_policy() -> None:
    of = policy(places=1, **GREEDY)
    (one,) = recommendations(decide(Advice(), of), eligible(of), "ann", of, WORDS)
    assert one.because == ("because", "expected to help: 0.50, before this learner answered")
    assert (one.propensity, one.policy_version) == (1.0, of.version.hex())
    explored = policy(places=1, explore=1.0)
    (tried,) = recommendations(decide(Advice(), explored), eligible(of), "ann", explored, WORDS)
    assert tried.because[-1] == "tried in place of another, to learn whether it helps"
    assert 0 < (tried.propensity or 0) < 1
    assert tried.policy_version != one.policy_version, "settings are part of the policy"


def test_a_decision_stands_until_its_time_is_over_or_its_grounds_are_gone() -> None:
    of = policy(places=2, keep=300, **GREEDY)
    first = decide(Advice(), of)
    same = decide(first, of, now=NOW + 299_999, cause=1)
    assert same == first

    later = decide(first, of, now=NOW + 300_000, cause=1)
    gone = decide(first, of, "a1", "a2", now=NOW + MINUTE, cause=1)
    none = decide(first, of, "nothing", now=NOW + MINUTE, cause=1)

    assert later.decisions[-1].id == seed(1)
    assert shown(gone, of) == ["a1", "a2"]
    assert none.current is None


def test_no_two_decisions_that_are_remembered_have_one_id() -> None:
    of = policy(places=1, keep=300, **GREEDY)
    first = decide(Advice(), of, cause="chat")
    # The same cause, when its ids are no longer known to be seen.
    again = decide(first, of, now=NOW + 660_000, cause="chat")
    assert [one.id for one in again.decisions] == [seed("chat")]
    assert again.current is None
    then = decide(again, of, now=NOW + 661_000, cause="another")
    assert [one.id for one in then.decisions] == [seed("chat"), seed("another")]

    # In a record that holds two already, an answer is about the newer one.
    twice = replace(then, decisions=(first.decisions[0], *first.decisions), standing=True)
    refused = say(twice, of, "a0", "dismissed")
    assert [one.shown[0].refused for one in refused.decisions] == [False, True]


def test_a_free_place_is_filled_when_a_candidate_comes() -> None:
    of = policy(places=2, **GREEDY)
    first = decide(Advice(), of, "a2")
    assert shown(decide(first, of, "a0", "a2", now=NOW + 1, cause=1), of) == ["a0", "a2"]


def test_what_was_refused_goes_at_once_and_rests() -> None:
    of = policy(places=1, keep=3600, rest=600, **GREEDY)
    refused = say(decide(Advice(), of), of, "a0", "dismissed")
    assert shown(refused, of) == []

    assert shown(decide(refused, of, now=NOW + 1, cause=1), of) == ["a1"]
    assert shown(decide(refused, of, "a0", now=NOW + 599_999, cause=1), of) == []
    assert shown(decide(refused, of, "a0", now=NOW + 600_000, cause=1), of) == ["a0"]


def test_however_many_are_refused_none_comes_back_before_its_rest_is_over() -> None:
    of = policy((0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3), places=2, rest=900, keep=300, **GREEDY)
    advice, now = decide(Advice(), of), NOW
    refused: list[str | None] = []
    for cause in range(1, 4):
        for variant in shown(advice, of):
            assert variant is not None
            advice = say(advice, of, variant, "dismissed", now=now)
            refused.append(variant)
        now += 20_000
        advice = decide(advice, of, now=now, cause=cause)
    assert sorted(str(one) for one in refused) == [f"a{number}" for number in range(6)]
    assert shown(advice, of) == ["a6"]
    assert shown(decide(advice, of, now=NOW + 899_999, cause=9), of) == ["a6"]
    assert shown(decide(advice, of, now=NOW + 900_000, cause=10), of) == ["a0", "a1"]


def test_what_left_the_catalogue_does_not_rest_for_ever_in_the_record() -> None:
    of = policy(places=2, rest=1e6, **GREEDY)
    advice = decide(Advice(), of)
    gone = replace(advice, resting=((7, NOW + 10**9),))
    assert len(say(gone, of, "a0", "dismissed").resting) == 1


def test_answers_move_expectations_of_this_learner_and_its_words() -> None:
    of = policy((0.5, 0.45), places=1, keep=0, **GREEDY)
    advice = decide(Advice(), of)
    for cause in range(1, 12):
        if shown(advice, of) != ["a0"]:
            break
        advice = say(advice, of, "a0", "not_helpful")
        advice = decide(advice, of, now=NOW + cause * MINUTE, cause=cause)
    assert shown(advice, of) == ["a1"]
    advice = say(advice, of, "a1", "helpful")
    advice = decide(advice, of, now=NOW + 60 * MINUTE, cause=99)
    (one,) = recommendations(advice, eligible(of), "ann", of, WORDS)
    assert one.because[-1].endswith("after this learner's answers")


def test_each_outcome_of_a_recommendation_counts_once_and_unknown_ones_teach_nothing() -> None:
    of = policy(**GREEDY)
    advice = decide(Advice(), of)
    once = say(advice, of, "a0", "helpful")
    assert once.learned != ()
    assert say(once, of, "a0", "helpful") == once
    assert say(once, of, "a0", "not_helpful") != once
    assert say(advice, of, "a0", "sparkling") == advice
    assert answer(advice, "ann", "of somebody else", "helpful", now=NOW, policy=of) == advice
    (first, *_) = recommendations(advice, eligible(of), "ann", of, WORDS)
    assert answer(advice, "ben", first.id, "helpful", now=NOW, policy=of) == advice


@pytest.mark.parametrize(
    ("before", "after", "reward"), [(0.2, 0.5, 1.0), (0.5, 0.5, 0.5), (0.5, 0.1, 0.0)]
)
def test_the_goal_of_an_applied_action_is_measured_minutes_later_once(
    before: float, after: float, reward: float
) -> None:
    of = policy(places=1, keep=3600, follow_up_after=180, follow_up_until=900, **GREEDY)
    applied = say(decide(Advice(), of, facts={"focus": before}), of, "a0", "applied")

    early = decide(applied, of, now=NOW + 179_000, facts={"focus": after})
    unknown = decide(applied, of, now=NOW + 181_000)
    measured = decide(applied, of, now=NOW + 180_000, facts={"focus": after})
    again = decide(measured, of, now=NOW + 200_000, facts={"focus": 1.0})
    late = decide(applied, of, now=NOW + 901_000, facts={"focus": after})

    assert early == applied
    assert unknown == applied
    (told,) = follow_ups(measured, "ann", of)
    assert told.reward == pytest.approx(reward, abs=1e-3)
    assert again == measured
    assert follow_ups(late, "ann", of) == ()
    assert late.learned == applied.learned


def test_minutes_count_from_when_it_was_applied() -> None:
    of = policy(places=1, keep=3600, follow_up_after=180, follow_up_until=900, **GREEDY)
    at = NOW + 895_000
    advice = decide(Advice(), of, facts={"focus": 0.2})
    advice = say(advice, of, "a0", "applied", now=at)
    for later, count in ((1, 0), (179_999, 0), (180_000, 1), (900_000, 1), (900_001, 0)):
        told = decide(advice, of, now=at + later, cause=1, facts={"focus": 0.5})
        assert len(follow_ups(told, "ann", of)) == count, later
    # Half a second more: rounded up. Said again, it was still applied when it first was.
    odd = say(decide(Advice(), of, facts={"focus": 0.2}), of, "a0", "applied", now=NOW + 1_500)
    assert odd.decisions[0].shown[0].applied_after == 2
    assert say(odd, of, "a0", "applied", now=at).decisions == odd.decisions


def test_what_is_applied_on_another_day_is_not_compared_with_the_decision() -> None:
    of = policy(places=1, keep=1e6, follow_up_after=0, **GREEDY)
    advice = decide(Advice(), of, facts={"focus": 0.2})
    late = NOW + 20 * 60 * MINUTE
    advice = say(advice, of, "a0", "applied", now=late)
    assert Advice.from_bytes(advice.to_bytes()) == advice
    advice = decide(advice, of, now=late + MINUTE, cause=1, facts={"focus": 0.9})
    assert follow_ups(advice, "ann", of) == ()


def test_a_goal_is_not_measured_of_what_nobody_applied() -> None:
    of = policy(places=1, keep=3600, **GREEDY)
    advice = say(decide(Advice(), of, facts={"focus": 0.2}), of, "a0", "helpful")
    assert decide(advice, of, now=NOW + 300_000, facts={"focus": 0.9}) == advice


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 2)), min_size=1, max_size=30))
def test_a_learners_offset_is_what_the_library_says(answers: list[tuple[float, float]]) -> None:
    of = policy((0.4,), person_strength=7.0, noise=0.5)
    # The same posterior from bayesianbandits: an offset with a normal prior, known noise.
    expected = Expected(mean=0.4, variance=0.01, is_learned=True)
    spread = 0.01 + 0.25 / 7
    peer = NormalRegressor(alpha=1 / spread, beta=1 / 0.25)
    rewards = np.array([reward - 0.4 for reward, _ in answers])
    weights = np.array([weight for _, weight in answers])
    peer.partial_fit(np.ones((len(answers), 1)), rewards, sample_weight=weights)
    key = of.catalogue.actions[0].key
    advice = decide(Advice(), of)
    advice = replace(
        advice,
        learned=(Learned(key, float(weights.sum()), float((weights * rewards).sum())),),
        learned_at=NOW,
    )

    belief = believe(expected, advice, key, NOW, of)

    assert belief.variance == pytest.approx(1 / peer.cov_inv_[0, 0])
    assert belief.mean == pytest.approx(min(1, max(0, 0.4 + peer.coef_[0])))


def test_what_was_learned_fades() -> None:
    of = policy(half_life_days=10.0, **GREEDY)
    advice = say(decide(Advice(), of), of, "a0", "helpful")
    key = of.catalogue.by_name["a0"].key
    expected = Expected(0.5, 0.01, False)
    at_once = believe(expected, advice, key, NOW, of)
    years = believe(expected, advice, key, NOW + 400 * 86_400_000, of)
    assert at_once.mean > years.mean == pytest.approx(0.5, abs=1e-6)


def test_a_decision_is_told_the_same_after_it_was_refused_and_not_by_another_catalogue() -> None:
    of = policy(places=2, **GREEDY)
    advice = decide(Advice(), of)
    told = decision_made(advice, seed(0), "ann", of)
    assert told is not None
    assert told.shown is not None
    made = recommendations(advice, eligible(of), "ann", of, WORDS)
    assert [(one.id, one.variant) for one in told.shown] == [(r.id, r.variant) for r in made]

    refused = say(advice, of, "a0", "dismissed")
    lapsed = decide(refused, of, "nothing", now=NOW + 1, cause=1)

    assert decision_made(refused, seed(0), "ann", of) == told
    assert decision_made(lapsed, seed(0), "ann", of) == told
    for other in (policy((0.5,), places=2, **GREEDY), policy(places=2, explore=0.1)):
        assert decision_made(advice, seed(0), "ann", other) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40 * MINUTE),
            st.sampled_from(["", "helpful", "not_helpful", "applied", "dismissed", "what"]),
            st.integers(0, 2),
            st.sets(st.sampled_from(["a0", "a1", "a2"])),
            st.none() | st.floats(-5, 5),
        ),
        max_size=40,
    )
)
def test_whatever_comes_it_stays_bounded_in_range_and_reads_again(
    steps: list[tuple[int, str, int, set[str], float | None]],
) -> None:
    of = policy(places=2, explore=0.5)
    advice, now = Advice(), NOW
    for cause, (pause, outcome, which, names, focus) in enumerate(steps):
        now += pause
        facts = {} if focus is None else {"focus": focus}
        candidates = eligible(of, *names) if names else []
        advice = decide(advice, of, *(names or ["none"]), now=now, cause=cause, facts=facts)
        made = recommendations(advice, candidates, "ann", of, WORDS)
        assert len(made) <= 2
        assert decide(advice, of, *(names or ["none"]), now=now, cause=cause, facts=facts) == advice
        if outcome and which < len(made):
            target = made[which].id
            advice = answer(advice, "ann", target, outcome, now=now, policy=of)
        assert Advice.from_bytes(advice.to_bytes()) == advice
        assert len(advice.decisions) <= of.settings.remembered
        for one in made:
            assert 0 < (one.propensity or 0) <= 1
    if advice.decisions:
        logged = decision_made(advice, advice.decisions[-1].id, "ann", of)
        assert logged is not None
        assert sum(round(c.propensity * WHOLE) for c in logged.candidates) % WHOLE == 0
