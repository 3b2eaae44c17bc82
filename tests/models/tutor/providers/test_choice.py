"""The choice learns: what answers well is asked first, in the situation where it does."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tutor.providers.choice import Candidate, belief, hedge_delay, ranked
from models.tutor.providers.config import ChoiceSettings, PriorSettings, WorthSettings
from models.tutor.providers.evidence import NOTHING, Cell, Evidence, Quality, Situation, cells
from schemas.vocabulary import Mood, Task

SETTINGS = ChoiceSettings(half_life=3_600)
HERE = Situation(Task.SOCRATIC, Mood.NEGATIVE)
THERE = Situation(Task.DIRECT, Mood.POSITIVE)
A, B = (Candidate(name, PriorSettings(), 500.0) for name in "ab")


class World:
    """What is known, as it grows."""

    def __init__(self) -> None:
        self.known: dict[Cell, Evidence] = {}

    def learn(self, name, situation, quality, value, times=1, now=0.0) -> World:
        for _ in range(times):
            for cell in cells(name, situation, quality):
                old = self.known.get(cell, NOTHING)
                self.known[cell] = old.plus(value, now, SETTINGS.half_life)
        return self

    def first(self, situation=HERE, now=0.0, settings=SETTINGS, draws=400) -> Counter[str]:
        rng = random.Random(7)
        return Counter(
            ranked([A, B], situation, known=self.known, now=now, settings=settings, rng=rng)[0]
            for _ in range(draws)
        )


def test_alike_they_are_asked_alike():
    assert 150 < World().first()["a"] < 250


@pytest.mark.parametrize(
    "quality", [Quality.SUCCESS, Quality.SPEED, Quality.THRIFT, Quality.HELPFUL]
)
def test_each_quality_counts(quality):
    world = World().learn("a", HERE, quality, 0.0, 30).learn("b", HERE, quality, 1.0, 30)
    assert world.first()["b"] > 300


def test_a_quality_of_no_worth_does_not_count():
    world = World().learn("a", HERE, Quality.HELPFUL, 0.0, 500)
    settings = SETTINGS.model_copy(update={"worth": WorthSettings(helpful=0)})
    assert 150 < world.first(settings=settings)["a"] < 250


def test_what_helps_here_need_not_help_there():
    """Given learners who find a helpful when sad and b when glad, each is asked where it helps."""
    world = World()
    for name, situation in (("a", HERE), ("b", THERE)):
        other = "b" if name == "a" else "a"
        world.learn(name, situation, Quality.HELPFUL, 1.0, 60)
        world.learn(other, situation, Quality.HELPFUL, 0.0, 60)
    assert world.first(HERE)["a"] > 300
    assert world.first(THERE)["b"] > 300


def test_a_situation_never_met_learns_from_the_others():
    world = World().learn("a", THERE, Quality.SUCCESS, 0.0, 50)
    assert world.first(HERE)["b"] > 300


def test_what_was_bad_is_forgiven():
    world = World().learn("a", HERE, Quality.SUCCESS, 0.0, 30)
    assert world.first()["a"] < 50
    assert world.first(now=20 * SETTINGS.half_life)["a"] > 150


def test_the_worse_one_is_still_tried():
    world = (
        World().learn("a", HERE, Quality.HELPFUL, 0.0, 4).learn("b", HERE, Quality.HELPFUL, 1.0, 4)
    )
    assert 0 < world.first()["a"] < 200


values = st.floats(0, 1)


@given(
    st.lists(st.tuples(values, st.floats(0, 1e7)), max_size=30),
    st.floats(-1e7, 1e9),
    st.sampled_from([Quality.SUCCESS, Quality.SPEED, Quality.THRIFT, Quality.HELPFUL]),
)
def test_a_belief_is_always_a_distribution(outcomes, now, quality):
    world = World()
    for value, at in outcomes:
        world.learn("a", HERE, quality, value, now=at)
    alpha, beta = belief(A, HERE, quality, known=world.known, now=now, settings=SETTINGS)
    assert alpha > 0
    assert beta > 0
    assert 0 <= random.Random(1).betavariate(alpha, beta) <= 1


@given(st.lists(st.tuples(values, st.floats(0, 1e6)), min_size=2, max_size=20))
def test_sums_do_not_depend_on_how_often_they_faded(outcomes):
    evidence = NOTHING
    for value, at in outcomes:
        evidence = evidence.plus(value, at, 100.0)
    last = max(at for _, at in outcomes)
    again = evidence.faded(last + 50, 100.0).faded(last + 100, 100.0)
    once = evidence.faded(last + 100, 100.0)
    assert again.weight == pytest.approx(once.weight)
    assert again.total == pytest.approx(once.total, abs=1e-12)


def late(known, quantile=0.95) -> float:
    return hedge_delay(A, HERE, quantile, known=known, now=0.0, settings=SETTINGS)


def test_before_anything_is_known_the_prior_says_when_to_hedge():
    expected = 0.8 * math.exp(1.6448536 * SETTINGS.spread)
    assert late({}) == pytest.approx(expected)


def test_the_hedge_comes_when_most_answers_have_begun():
    """Given many log-normal times, the delay is about their quantile."""
    rng, world = random.Random(3), World()
    times = sorted(rng.lognormvariate(math.log(0.3), 0.4) for _ in range(4_000))
    for seconds in times:
        world.learn("a", HERE, Quality.FIRST_TEXT, math.log(seconds))
    assert late(world.known) == pytest.approx(times[3_800], rel=0.1)
    assert late(world.known, 0.75) == pytest.approx(times[3_000], rel=0.1)


def test_one_provider_that_slows_down_is_hedged_later():
    world = World().learn("a", HERE, Quality.FIRST_TEXT, math.log(0.2), 50)
    before = late(world.known)
    world.learn("a", HERE, Quality.FIRST_TEXT, math.log(4.0), 50)
    assert late(world.known) > before


def test_something_must_count():
    with pytest.raises(ValueError, match="at least one"):
        WorthSettings(success=0, speed=0, thrift=0, helpful=0)
