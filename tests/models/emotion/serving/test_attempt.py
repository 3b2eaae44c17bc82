"""How large batches may be after memory ran out: smaller at once, larger again by and by."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from models.emotion.serving.attempt import (
    GROW_AFTER,
    LEAST_TOKENS,
    MOST_PATIENCE,
    TokenBound,
)

MOST = st.integers(128, 8_192)


@given(most=MOST, steps=st.lists(st.none() | st.floats(0, 1.5), max_size=300))
def test_the_bound_stays_within_its_bounds(most: int, steps: list[float | None]) -> None:
    """Each step is memory that runs out (None), or a batch of a share of the bound."""
    bound = TokenBound(most)
    for step in steps:
        before = bound.tokens
        if step is None:
            bound.ran_out()
            assert bound.tokens == max(LEAST_TOKENS, before // 2)
        else:
            grew = bound.passed(round(step * before))
            assert bound.tokens == (min(most, 2 * before) if grew else before)
            assert not grew or 2 * round(step * before) > before
        assert LEAST_TOKENS <= bound.tokens <= most


@given(most=MOST, times=st.integers(1, 40))
def test_after_trouble_that_passes_it_comes_back(most: int, times: int) -> None:
    bound = TokenBound(most)
    for _ in range(times):
        bound.ran_out()
    doublings = math.ceil(math.log2(most / bound.tokens))
    for _ in range(GROW_AFTER * doublings - 1):
        bound.passed(bound.tokens)
    assert bound.tokens < most
    bound.passed(bound.tokens)
    assert bound.tokens == most


@given(most=MOST, capacity=st.integers(64, 8_192))
def test_where_memory_never_suffices_it_runs_out_ever_more_rarely(most: int, capacity: int) -> None:
    bound = TokenBound(most)
    failed = []
    for number in range(8 * MOST_PATIENCE):
        if bound.tokens > capacity:
            bound.ran_out()
            failed.append(number)
        else:
            bound.passed(bound.tokens)
    # At first down to what suffices; then once for each time of patience, which doubles
    shrinks = max(0, math.ceil(math.log2(most / capacity)))
    patience = math.log2(MOST_PATIENCE / GROW_AFTER)
    assert len(failed) <= shrinks + patience + 8 + 1
    assert capacity >= bound.tokens > min(most, capacity) / 4


def test_small_batches_do_not_make_it_grow() -> None:
    bound = TokenBound(1_024)
    bound.ran_out()
    for _ in range(10 * GROW_AFTER):
        assert not bound.passed(256)
    assert bound.tokens == 512
