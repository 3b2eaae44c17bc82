"""Order, splits and age of events do not change what they add up to."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learner.evidence import (
    Evidence,
    Measure,
    add,
    clamp,
    observe_interaction,
    observe_reading,
)
from models.learner.parameters import EvidenceSettings
from schemas.topics.emotions import Emotion
from tests.models.learner.build import (
    NOW,
    SETTINGS,
    batch,
    fold,
    interaction,
    interactions_at,
    raw_sums,
    reading,
    readings_at,
    sums,
)

EVIDENCE = EvidenceSettings()
WITHIN_LATENESS = st.integers(NOW - round(EVIDENCE.lateness * 1000), NOW)
ANY_AGE = st.integers(NOW - 400 * 86_400_000, NOW)


def close(expected: tuple[float, ...]) -> Any:
    return pytest.approx(expected, rel=1e-5, abs=1e-5)


@given(st.data(), st.lists(interactions_at(ANY_AGE), min_size=1, max_size=20))
def test_order_of_interactions_does_not_matter_at_any_age(
    data: st.DataObject, drawn: list[dict[str, Any]]
) -> None:
    observations = [
        observe_interaction(interaction("x", **fields), fields["time"]) for fields in drawn
    ]
    shuffled = data.draw(st.permutations(observations))

    one, other = Evidence(), Evidence()
    for observation in observations:
        one = add(one, [observation], EVIDENCE, interactions=1)
    for observation in shuffled:
        other = add(other, [observation], EVIDENCE, interactions=1)

    assert one.newest == other.newest
    assert one.interactions == other.interactions == len(drawn)
    assert sums(one) == close(sums(other))


@given(st.data(), st.lists(readings_at(WITHIN_LATENESS), min_size=1, max_size=12))
def test_order_of_messages_within_lateness_does_not_matter(
    data: st.DataObject, drawn: list[dict[str, Any]]
) -> None:
    def applied(order: list[int]) -> Any:
        # Offsets grow in the order of arrival; the messages keep their ids.
        return fold(
            [
                reading(offset, chat=f"chat-{index}", ingest=NOW, **drawn[index])
                for offset, index in enumerate(order)
            ]
        ).record

    indices = list(range(len(drawn)))
    one, other = applied(indices), applied(data.draw(st.permutations(indices)))

    assert sums(one.evidence) == close(sums(other.evidence))
    assert raw_sums(one.trend) == close(raw_sums(other.trend))


@given(st.data(), st.lists(interactions_at(WITHIN_LATENESS), min_size=2, max_size=20))
def test_splits_of_batches_do_not_matter(data: st.DataObject, drawn: list[dict[str, Any]]) -> None:
    interactions = [interaction(f"e{i}", **fields) for i, fields in enumerate(drawn)]
    cut = data.draw(st.integers(1, len(interactions) - 1))

    whole = fold([batch(interactions)]).record
    split = fold(
        [batch(interactions[:cut], batch_id="a"), batch(interactions[cut:], batch_id="b")]
    ).record

    assert whole is not None
    assert split is not None
    assert whole.evidence.interactions == split.evidence.interactions
    assert sums(whole.evidence) == close(sums(split.evidence))


def test_sums_are_what_the_formula_says() -> None:
    half_life = round(EVIDENCE.session_half_life * 1000)
    old = observe_reading(reading(0, valence=1.0), NOW - half_life)
    new = observe_reading(reading(1, valence=0.25), NOW)

    evidence = add(Evidence(), [old, new], EVIDENCE, messages=2)

    assert evidence.weight(Measure.VALENCE) == pytest.approx(1.5)
    assert evidence.mean(Measure.VALENCE) == pytest.approx((0.5 * 1.0 + 0.25) / 1.5)


def test_absent_fields_weigh_nothing() -> None:
    with_hints = interaction("a", task_data={"hint_count": 4})
    without = interaction("b")

    evidence = add(
        Evidence(), [observe_interaction(i, NOW) for i in (with_hints, without)], EVIDENCE
    )

    assert evidence.weight(Measure.HINTS) == 1.0
    assert evidence.mean(Measure.HINTS) == 4.0
    assert evidence.weight(Measure.CORRECT) == 0.0


def test_long_horizon_outlives_the_session() -> None:
    tomorrow = NOW + 86_400_000
    evidence = add(Evidence(), [observe_reading(reading(0, valence=0.9), NOW)], EVIDENCE)

    evidence = add(evidence, [observe_interaction(interaction("a"), tomorrow)], EVIDENCE)

    assert evidence.weight(Measure.VALENCE) < 1e-40
    assert evidence.long[2 * Measure.VALENCE + 1] > 0.9


def test_only_classes_that_were_read_are_known() -> None:
    observation = observe_reading(reading(0, probabilities={Emotion.JOY: 0.0}), NOW)

    evidence = add(Evidence(), [observation], EVIDENCE)

    assert evidence.classes == 1 << list(Emotion).index(Emotion.JOY)


@given(st.integers(-(10**12), 10**12))
def test_event_time_is_clamped_to_ingest_time_plus_skew(ahead: int) -> None:
    limit = NOW + round(EVIDENCE.skew * 1000)

    assert clamp([NOW + ahead, NOW], NOW, EVIDENCE) == [min(NOW + ahead, limit), NOW]


def test_late_and_clamped_events_are_counted_and_still_applied() -> None:
    first = fold([batch([interaction("now")])])
    late = interaction("late", NOW - round(EVIDENCE.lateness * 1000) - 1)
    future = interaction("future", NOW + 86_400_000)

    step = fold([batch([interaction("now")]), batch([late, future], batch_id="b")], SETTINGS)

    assert (first.late, first.clamped) == (0, 0)
    assert (step.late, step.clamped) == (1, 1)
    assert step.record is not None
    assert step.record.evidence.interactions == 3
    assert step.record.evidence.newest == NOW + round(EVIDENCE.skew * 1000)
