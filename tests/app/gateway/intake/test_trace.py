"""W3C Trace Context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.intake import trace

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_ours_are_valid_and_each_its_own():
    made = {trace.new() for _ in range(100)}
    assert len(made) == 100
    assert all(trace.valid(one) for one in made)


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (GOOD, True),
        ("01" + GOOD[2:] + "-what-the-future-brings", True),
        (GOOD + "-more", False),
        ("ff" + GOOD[2:], False),
        (GOOD.upper(), False),
        ("00-" + "0" * 32 + GOOD[35:], False),
        (GOOD[:36] + "0" * 16 + "-01", False),
        (GOOD + "\n", False),
        ("", False),
        (None, False),
    ],
)
def test_what_may_be_handed_on(value, good):
    assert trace.valid(value) is good


@given(st.text(max_size=80))
def test_nothing_else_passes(value):
    assert not trace.valid(value)
