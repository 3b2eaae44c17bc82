"""The memory of event ids: exact within its window and bound, oldest out first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.learner.parameters import SeenSettings
from models.learner.seen import Seen

SETTINGS = SeenSettings(window=600, max_ids=501)


@given(st.lists(st.text(max_size=20), unique=True, max_size=50), st.lists(st.text(), max_size=50))
def test_unseen_are_the_ids_that_are_new_once_each(known: list[str], asked: list[str]) -> None:
    seen = Seen().plus(known, 0, SETTINGS)

    found = [asked[position] for position in seen.unseen(asked)]

    assert found == [value for value in dict.fromkeys(asked) if value not in known]


def test_ids_leave_with_the_window() -> None:
    seen = Seen().plus(["old"], 0, SETTINGS).plus(["edge"], 10_000, SETTINGS)
    seen = seen.plus(["new"], 610_000, SETTINGS)
    assert [len(seen.unseen([value])) for value in ("old", "edge", "new")] == [1, 0, 0]


def test_ids_that_came_close_together_leave_together_and_not_early() -> None:
    seen = Seen().plus(["first"], 1, SETTINGS).plus(["second"], 9_000, SETTINGS)
    assert len(seen.runs) == 1
    kept = seen.plus(["new"], 609_000, SETTINGS)
    assert kept.unseen(["first", "second"]) == []
    gone = seen.plus(["new"], 609_001, SETTINGS)
    assert gone.unseen(["first", "second"]) == [0, 1]


def test_single_interactions_do_not_fill_a_record_with_times() -> None:
    seen = Seen()
    for number in range(2_000):
        seen = seen.plus([str(number)], number * 1_000, SETTINGS)
    assert len(seen.runs) <= 65
    assert len(seen) >= 500


def test_a_run_that_arrives_out_of_order_leaves_by_its_own_time() -> None:
    seen = Seen().plus(["late run"], 500_000, SETTINGS).plus(["earlier run"], 100_000, SETTINGS)
    seen = seen.plus(["new"], 800_000, SETTINGS)
    assert [len(seen.unseen([value])) for value in ("late run", "earlier run")] == [0, 1]


def test_the_bound_drops_the_oldest() -> None:
    ids = [f"id-{number}" for number in range(700)]
    seen = Seen()
    for start in range(0, 700, 70):
        seen = seen.plus(ids[start : start + 70], start, SETTINGS)
    assert len(seen) == sum(count for _, count in seen.runs) == SETTINGS.max_ids
    assert seen.unseen(ids) == list(range(700 - SETTINGS.max_ids))


@given(st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(0, 300)), max_size=12))
def test_runs_and_hashes_agree_and_stay_bounded(runs: list[tuple[int, int]]) -> None:
    seen = Seen()
    for number, (ingest_time, count) in enumerate(runs):
        seen = seen.plus([f"{number}:{i}" for i in range(count)], ingest_time, SETTINGS)
        assert len(seen) == sum(count for _, count in seen.runs) <= SETTINGS.max_ids
