"""The memory of event ids: exact within its window and bound, oldest out first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.learner.parameters import SeenSettings
from models.learner.seen import EventId, Kind, Seen

SETTINGS = SeenSettings(window=600, max_ids=501)
KINDS = st.sampled_from(Kind)
FEW = st.builds(EventId, KINDS, st.sampled_from([str(number) for number in range(12)]))
"""Ids that often meet, of one kind or another."""


def named(*values: str, kind: Kind = Kind.MESSAGE) -> list[EventId]:
    return [EventId(kind, value) for value in values]


@given(st.lists(FEW, unique=True), st.lists(FEW))
def test_unseen_are_the_ids_that_are_new_once_each(
    known: list[EventId], asked: list[EventId]
) -> None:
    seen = Seen().plus(known, 0, SETTINGS)

    found = [asked[position] for position in seen.unseen(asked)]

    assert found == [value for value in dict.fromkeys(asked) if value not in known]


def test_ids_leave_with_the_window() -> None:
    seen = Seen().plus(named("old"), 0, SETTINGS).plus(named("edge"), 10_000, SETTINGS)
    seen = seen.plus(named("new"), 610_000, SETTINGS)
    assert seen.unseen(named("old", "edge", "new")) == [0]


def test_ids_that_came_close_together_leave_together_and_not_early() -> None:
    seen = Seen().plus(named("first"), 1, SETTINGS).plus(named("second"), 9_000, SETTINGS)
    assert len(seen.runs) == 1
    kept = seen.plus(named("new"), 609_000, SETTINGS)
    assert kept.unseen(named("first", "second")) == []
    gone = seen.plus(named("new"), 609_001, SETTINGS)
    assert gone.unseen(named("first", "second")) == [0, 1]


def test_single_interactions_do_not_fill_a_record_with_times() -> None:
    seen = Seen()
    for number in range(2_000):
        seen = seen.plus(named(str(number)), number * 1_000, SETTINGS)
    assert len(seen.runs) <= 65
    assert len(seen) >= 500


def test_a_run_that_arrives_out_of_order_leaves_by_its_own_time() -> None:
    seen = Seen().plus(named("late run"), 500_000, SETTINGS)
    seen = seen.plus(named("earlier run"), 100_000, SETTINGS)
    seen = seen.plus(named("new"), 800_000, SETTINGS)
    assert seen.unseen(named("late run", "earlier run")) == [1]


def test_the_bound_drops_the_oldest() -> None:
    ids = named(*(f"id-{number}" for number in range(700)))
    seen = Seen()
    for start in range(0, 700, 70):
        seen = seen.plus(ids[start : start + 70], start, SETTINGS)
    assert len(seen) == sum(count for _, count in seen.runs) == SETTINGS.max_ids
    assert seen.unseen(ids) == list(range(700 - SETTINGS.max_ids))


@given(st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(0, 300)), max_size=12))
def test_runs_and_hashes_agree_and_stay_bounded(runs: list[tuple[int, int]]) -> None:
    seen = Seen()
    for number, (ingest_time, count) in enumerate(runs):
        seen = seen.plus(named(*(f"{number}:{i}" for i in range(count))), ingest_time, SETTINGS)
        assert len(seen) == sum(count for _, count in seen.runs) <= SETTINGS.max_ids


# -- ids from before kinds ----------------------------------------------------------------

BATCHES = st.lists(
    st.tuples(st.lists(FEW, unique=True, max_size=4), st.integers(0, 400_000)), max_size=8
)


@given(BATCHES, st.lists(FEW, unique=True))
def test_the_old_memory_asks_for_the_id_alone(
    batches: list[tuple[list[EventId], int]], asked: list[EventId]
) -> None:
    seen = Seen(by_kind=False)
    for ids, time in batches:
        seen = seen.plus(ids, time, SETTINGS)
    values = {one.value for ids, _ in batches for one in ids}
    for one in asked:
        assert (seen.unseen([one]) == []) == (one.value in values)


@given(BATCHES, BATCHES, st.lists(FEW, unique=True))
def test_lifted_it_knows_the_old_ids_by_value_and_the_new_ones_by_kind(
    old: list[tuple[list[EventId], int]],
    new: list[tuple[list[EventId], int]],
    asked: list[EventId],
) -> None:
    seen = Seen(by_kind=False)
    for ids, time in old:
        seen = seen.plus(ids, time, SETTINGS)
    seen = seen.with_kinds()
    for ids, time in new:
        seen = seen.plus(ids, time, SETTINGS)
    values = {one.value for ids, _ in old for one in ids}
    pairs = {one for ids, _ in new for one in ids}
    for one in asked:
        assert (seen.unseen([one]) == []) == (one.value in values or one in pairs)


@given(BATCHES, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 2_000_000)), max_size=6))
def test_the_old_ids_leave_with_the_window_and_the_bound(
    old: list[tuple[list[EventId], int]], new: list[tuple[int, int]]
) -> None:
    seen, time_of = Seen(by_kind=False), {}
    for ids, time in old:
        seen = seen.plus(ids, time, SETTINGS)
        time_of |= {one.value: max(time, time_of.get(one.value, 0)) for one in ids}
    seen, now = seen.with_kinds(), 0
    for number, (count, time) in enumerate(new):
        seen = seen.plus(named(*(f"{number}:{i}" for i in range(count))), time, SETTINGS)
        assert len(seen) == sum(n for _, n in seen.runs) <= SETTINGS.max_ids
        assert 0 <= seen.kindless <= len(seen)
        now = max(now, time)
    seen = seen.without_old_kindless(now, SETTINGS)
    # Ids of one part of the window leave together, so at most that much late.
    late = round(SETTINGS.window * 1000 / 64)
    for value, time in time_of.items():
        if now - time > SETTINGS.window * 1000 + late:
            assert seen.unseen(named(value)) == [0]
    assert seen.without_old_kindless(now + 10_000_000, SETTINGS).kindless == 0


def test_the_bound_drops_old_ids_first() -> None:
    seen = Seen(by_kind=False).plus(named("old"), 0, SETTINGS).with_kinds()
    seen = seen.plus(named(*(f"new-{n}" for n in range(500))), 1, SETTINGS)
    assert (seen.kindless, len(seen)) == (1, 501)
    seen = seen.plus(named("one more"), 2, SETTINGS)
    assert (seen.kindless, len(seen)) == (0, 501)
    assert seen.unseen(named("old", "new-0")) == [0]
