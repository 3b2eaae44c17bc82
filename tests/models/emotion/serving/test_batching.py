from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.emotion.serving.batching import Pool

lengths = st.lists(st.integers(2, 128), min_size=1, max_size=80)


def filled(items: list[int]) -> Pool[tuple[int, int]]:
    pool: Pool[tuple[int, int]] = Pool()
    for number, length in enumerate(items):
        pool.add((number, length), length)
    return pool


@given(lengths, st.integers(32, 1_024))
def test_every_text_is_taken_exactly_once_and_within_the_budget(
    items: list[int], budget: int
) -> None:
    pool, taken = filled(items), []
    while batch := pool.take(budget):
        longest = max(length for _, length in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        taken += [number for number, _ in batch]
    assert sorted(taken) == list(range(len(items)))
    assert len(pool) == 0


@given(lengths, st.integers(32, 1_024))
def test_the_oldest_is_always_in_the_batch(items: list[int], budget: int) -> None:
    pool, left = filled(items), set(range(len(items)))
    while left:
        numbers = {number for number, _ in pool.take(budget)}
        assert min(left) in numbers
        left -= numbers


@given(lengths)
def test_at_most_a_quarter_is_padding(items: list[int]) -> None:
    pool = filled(items)
    while batch := pool.take(10_000):
        tokens = [length for _, length in batch]
        assert sum(tokens) >= 0.75 * len(tokens) * max(tokens)


def test_equal_lengths_fill_the_budget() -> None:
    pool = filled([16] * 100)
    assert len(pool.take(512)) == 32


def test_drain_gives_all_in_order_of_arrival() -> None:
    pool = filled([5, 3, 9, 3])
    assert [number for number, _ in pool.drain()] == [0, 1, 2, 3]
    assert pool.take(100) == []


@given(lengths)
def test_where_lengths_must_be_equal_all_of_a_length_go_together(items: list[int]) -> None:
    pool, batches = filled(items), []
    while batch := pool.take(100_000, equal=True):
        assert len({length for _, length in batch}) == 1
        batches.append(batch)
    assert len(batches) == len(set(items))
