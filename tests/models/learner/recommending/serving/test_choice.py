"""Chances are exact: they add up, and draws come out as they say."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from models.learner.recommending.serving.choice import Rated, draw, weigh
from models.learner.recommending.serving.memory import WHOLE
from tests.models.learner.recommending.build import seed

RATED = st.lists(
    st.builds(Rated, st.sampled_from("abcdefgh"), st.floats(0, 1), st.floats(0, 1)), max_size=14
)
EXPLORE = st.floats(0, 1)
LEAST = st.floats(0.001, 1)


@given(RATED, st.integers(0, 5), EXPLORE, LEAST, st.integers())
def test_chances_add_up_to_the_places_filled(
    rated: list[Rated], places: int, explore: float, least: float, cause: int
) -> None:
    choice = weigh(rated, places, explore, least)
    filled = min(places, len({one.action for one in rated}))

    shown = draw(choice, seed(cause))

    assert sum(choice.chances) == WHOLE * filled
    assert all(0 <= chance <= WHOLE for chance in choice.chances)
    assert len(shown) == filled
    assert len({rated[index].action for index in shown}) == filled
    assert all(choice.chances[index] > 0 for index in shown)
    assert draw(choice, seed(cause)) == shown


@given(RATED, st.integers(1, 5), LEAST)
def test_without_exploring_the_best_of_each_action_are_shown(
    rated: list[Rated], places: int, least: float
) -> None:
    best: dict[str, float] = {}
    for one in rated:
        best[one.action] = max(best.get(one.action, 0.0), one.mean)

    shown = draw(weigh(rated, places, 0.0, least), b"")

    assert [rated[index].mean for index in shown] == sorted(best.values(), reverse=True)[:places]


def test_draws_come_out_as_their_chances_say() -> None:
    rated = [Rated("a", 0.8, 0.01), Rated("b", 0.6, 0.01), Rated("c", 0.5, 0.02), Rated("d", 0, 0)]
    choice = weigh(rated, 2, 0.4, 0.05)
    n = 20_000

    counts = Counter(index for cause in range(n) for index in draw(choice, seed(cause)))

    for index, chance in enumerate(choice.chances):
        expected = chance / WHOLE
        # Five standard deviations of a binomial share; the seeds are fixed.
        error = 5 * (expected * (1 - expected) / n) ** 0.5
        assert abs(counts[index] / n - expected) <= error + 1e-12
    assert choice.chances[0] == WHOLE
    assert choice.chances[2] > choice.chances[3] > 0, "what may be better is explored more"


def test_only_the_last_place_explores() -> None:
    rated = [Rated(name, mean, 0.01) for name, mean in [("a", 0.9), ("b", 0.5), ("c", 0.4)]]
    for cause in range(200):
        assert draw(weigh(rated, 2, 1.0, 0.05), seed(cause)) == (0, 2)
