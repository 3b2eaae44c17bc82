"""Figures that leave have four decimals, and shares still make up their whole."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from schemas.figures import rounded, rounded_shares

STEP = 1e-4


def steps(share: float) -> int:
    """Ten-thousandths; fails for a figure with more decimals."""
    assert repr(share) == repr(round(share, 4))
    return round(share / STEP)


def parts(values: list[float]) -> dict[int, float]:
    whole = math.fsum(values)
    return {number: value / whole for number, value in enumerate(values)}


def test_the_nearest_figure_with_four_decimals_and_no_negative_zero() -> None:
    assert [rounded(x) for x in (0.12345678, 17.0, 1e-9, -0.00126)] == [0.1235, 17.0, 0.0, -0.0013]
    assert repr(rounded(-1e-9)) == "0.0"


def test_thirds_are_a_whole_and_the_first_gets_the_step() -> None:
    assert rounded_shares(dict.fromkeys("abc", 1 / 3)) == {"a": 0.3334, "b": 0.3333, "c": 0.3333}
    assert rounded_shares({}) == {}


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=41).map(parts))
def test_shares_of_one_sum_to_one_and_move_by_less_than_a_step(shares: dict[int, float]) -> None:
    found = rounded_shares(shares)

    assert sum(map(steps, found.values())) == 10_000
    assert list(found) == list(shares)
    assert all(abs(found[name] - share) < STEP * (1 + 1e-9) for name, share in shares.items())


@given(st.lists(st.floats(0.0, 1 / 41), max_size=41))
def test_a_sum_of_at_most_one_stays_so(values: list[float]) -> None:
    found = rounded_shares(dict(enumerate(values)))

    assert sum(map(steps, found.values())) == round(math.fsum(values) / STEP) <= 10_000
