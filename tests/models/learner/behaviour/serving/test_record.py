"""The record of behaviour: order, duplicates' absence, bytes, bounds."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.behaviour.serving.estimating import BehaviourEstimates, Figure, estimate
from models.learner.behaviour.serving.observed import Observed
from models.learner.behaviour.serving.record import BUCKETS, NO_BEHAVIOUR, BehaviourRecord, add
from schemas.topics.state import Source
from tests.models.learner.build import NOW, SETTINGS

BEHAVIOUR = SETTINGS.behaviour
POPULATION = BEHAVIOUR.behaviour.population
PAUSE = BEHAVIOUR.fatigue.pause
LATENESS = round(SETTINGS.evidence.lateness * 1000)
YEAR = 365 * 86_400_000
FIGURES = ("help_need", "next_correct", "focus", "cognitive_load", "engagement", "fatigue")

MAYBE = {
    "skill": st.integers(0, 2**32 - 1),
    "hint_total": st.integers(-1, 255),
    "has_task": st.booleans(),
    "correct": st.none() | st.booleans(),
    "attempts": st.none() | st.integers(0, 255),
    "hints": st.none() | st.integers(0, 255),
    "log_response": st.none() | st.floats(-3, 11.4),
    "tab_active": st.none() | st.booleans(),
    "kind": st.none() | st.integers(0, 6),
    "problem": st.integers(0, 2**32 - 1),
}


def observeds(times: st.SearchStrategy[int]) -> st.SearchStrategy[Observed]:
    return st.builds(Observed, time=times, **MAYBE)


NEAR = observeds(st.integers(NOW, NOW + LATENESS))
ANYTIME = observeds(st.integers(100_000_000_000, 253_402_300_799_999))


def grown(*batches: list[Observed], start: BehaviourRecord = NO_BEHAVIOUR) -> BehaviourRecord:
    for batch in batches:
        start = add(start, batch, POPULATION, PAUSE)
    return start


def estimates(record: BehaviourRecord) -> BehaviourEstimates:
    return estimate(record, {}, 0.0, BEHAVIOUR)


def numbers(record: BehaviourRecord) -> dict[str, Any]:
    found = estimates(record)
    figures: dict[str, Figure] = {name: getattr(found, name) for name in FIGURES}
    return {
        **{f"{name}.value": figure.value for name, figure in figures.items()},
        **{f"{name}.confidence": figure.confidence for name, figure in figures.items()},
        **{name: tendency.share for name, tendency in found.tendencies.items()},
    }


@given(st.lists(NEAR, min_size=1, max_size=12), st.data())
def test_order_and_splits_within_lateness_do_not_matter(
    events: list[Observed], data: st.DataObject
) -> None:
    """Given events of a few minutes, however they arrive, When estimated, Then it is the same."""
    shuffled = data.draw(st.permutations(events))
    cut = data.draw(st.integers(0, len(events)))

    together = grown(events)
    apart = grown(shuffled[:cut], shuffled[cut:])

    assert apart.stints == together.stints
    assert apart.task == together.task
    assert [(time, right) for time, _, right, *_ in apart.answers] == [
        (time, right) for time, _, right, *_ in together.answers
    ]
    assert numbers(apart) == pytest.approx(numbers(together), abs=2e-3)


@given(st.lists(st.lists(ANYTIME, min_size=1, max_size=5), max_size=6))
def test_every_number_stays_in_range_whatever_the_clocks_do(batches: list[list[Observed]]) -> None:
    record = grown(*batches)

    assert all(0.0 <= value <= 1.0 for value in numbers(record).values())
    shares = [tendency.share for tendency in estimates(record).tendencies.values()]
    assert not shares or sum(shares) == pytest.approx(1.0)


@given(st.lists(st.lists(ANYTIME, min_size=1, max_size=5), max_size=6))
def test_bytes_round_trip(batches: list[list[Observed]]) -> None:
    record = grown(*batches)

    assert BehaviourRecord.from_bytes(record.to_bytes()) == record


@given(st.binary(max_size=300))
def test_noise_is_refused(noise: bytes) -> None:
    try:
        read = BehaviourRecord.from_bytes(noise)
    except (struct.error, ValueError):
        return
    assert len(read.to_bytes()) == len(noise)


def test_it_stays_within_1_kb() -> None:
    """Given two answers on each of 500 skills, with every field, Then it fits 1 KB."""
    events = [
        Observed(NOW + 1000 * i, i * 7919, 3, True, i % 2 == 0, 1, 0, 2.0, True, i % 7, i)
        for i in range(1000)
    ]

    record = grown(*(events[i : i + 20] for i in range(0, 1000, 20)))

    assert len(record.skills) == BUCKETS
    assert len(record.to_bytes()) <= 1024


def answered(time: int, *, correct: bool, seconds: float = 3.0) -> Observed:
    return Observed(time, 0, 3, True, correct, 1, 0, seconds, True, None)


def test_without_evidence_everything_is_the_prior() -> None:
    found = estimates(NO_BEHAVIOUR)

    for name in FIGURES:
        figure = getattr(found, name)
        assert (figure.source, figure.confidence) == (Source.PRIOR, 0.0), name
    assert found.tendencies == {}


def test_who_returns_after_a_year_is_met_as_they_are_now() -> None:
    """Given a session of mistakes a year ago, When three right answers come, Then they count."""
    old = grown([answered(NOW + i * 20_000, correct=False) for i in range(40)])
    now = [answered(NOW + YEAR + i * 20_000, correct=True) for i in range(3)]

    returned, fresh = grown(now, start=old), grown(now)

    assert numbers(returned) == pytest.approx(numbers(fresh), abs=1e-3)


def test_mistakes_lower_the_chance_of_the_next_answer_and_raise_load() -> None:
    start = [answered(NOW + i * 20_000, correct=i % 3 != 0) for i in range(30)]
    later = NOW + 30 * 20_000
    right = grown(start, [answered(later + i * 20_000, correct=True) for i in range(5)])
    wrong = grown(start, [answered(later + i * 20_000, correct=False) for i in range(5)])

    assert estimates(wrong).next_correct.value < estimates(right).next_correct.value
    assert estimates(wrong).cognitive_load.value > estimates(right).cognitive_load.value
    assert estimates(wrong).cognitive_load.source is Source.MEASURED


def test_load_without_answers_is_derived_from_slowing_down() -> None:
    def told(seconds: list[float]) -> BehaviourRecord:
        times = enumerate(seconds)
        return grown([Observed(NOW + i * 30_000, log_response=value) for i, value in times])

    steady, slower = told([2.0, 2.1] * 20), told([2.0, 2.1] * 17 + [4.0] * 6)

    assert estimates(steady).cognitive_load.source is Source.DERIVED
    assert estimates(slower).cognitive_load.value > estimates(steady).cognitive_load.value


def test_long_pauses_before_this_answer_lower_focus() -> None:
    steady = [Observed(NOW + i * 10_000, log_response=2.0) for i in range(30)]
    away = [Observed(NOW + (30 + i) * 10_000, log_response=5.0) for i in range(6)]

    before, after = grown(steady), grown(steady, away)

    assert estimates(after).focus.value < estimates(before).focus.value


def test_fatigue_grows_with_time_on_task_and_ends_with_a_pause() -> None:
    minutes = [[Observed(NOW + minute * 60_000)] for minute in range(46)]
    worked = grown(*minutes)
    rested = grown([Observed(NOW + 3 * 3_600_000)], start=worked)

    assert estimates(worked).fatigue.value == pytest.approx(0.5, abs=1e-6)  # fatigue.half
    assert estimates(worked).fatigue.source is Source.DERIVED
    assert estimates(rested).fatigue.value == 0.0


def test_tendencies_are_shares_of_use_with_counts() -> None:
    record = grown([Observed(NOW, kind=kind) for kind in (0, 0, 0, 4)])

    tendencies = estimates(record).tendencies

    assert {name: (found.share, found.count) for name, found in tendencies.items()} == {
        "video": (0.75, 3),
        "practice": (0.25, 1),
    }


def test_other_half_lives_begin_anew() -> None:
    record = grown([answered(NOW, correct=True)])
    other = BehaviourRecord(**{**{f: getattr(record, f) for f in record.__slots__}, "clock": 1})

    assert add(other, [Observed(NOW + 1)], POPULATION, PAUSE).answers == ()
