"""Ids that stay the same however often and wherever a client tries again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.intake.events import Batch, derive_id, plan, read_interactions, record_id
from app.gateway.intake.refusal import Refusal
from schemas.base import InvalidMessage
from schemas.topics.interactions import MAX_INTERACTIONS, Interaction
from schemas.wire.client import ChatMessage, Feedback, InteractionBatch

names = st.text(min_size=1, max_size=20)
NOW = 1_800_000_000_000


def interaction(event_id: str | None = None, timestamp: int = NOW) -> Interaction:
    return Interaction(event_id=event_id, timestamp=timestamp, interaction_type="click")


def sent(message_id: str, *interactions: Any) -> Batch:
    """A batch as it comes from the wire."""
    document = {
        "type": "interaction_batch",
        "id": message_id,
        "interactions": [
            one.document() if isinstance(one, Interaction) else one for one in interactions
        ],
    }
    return Batch.of(*read_interactions(InteractionBatch, document))


@given(
    st.tuples(names, names, names, st.none() | st.integers(0, 500)),
    st.tuples(names, names, names, st.none() | st.integers(0, 500)),
)
def test_ids_are_equal_exactly_when_what_they_come_from_is(one, other):
    first, second = derive_id(*one), derive_id(*other)
    assert len(first) == 36
    assert (first == second) == (one == other)


def test_a_retry_has_the_same_ids_at_another_time():
    batch = sent("b", interaction(), interaction("mine"))
    once, again = plan(batch, "ada", NOW), plan(batch, "ada", NOW + 60_000)
    assert once.event_ids == again.event_ids
    assert once.event_ids[1] == "mine"
    assert once.record(once.event_ids).event_id == again.record(again.event_ids).event_id
    assert plan(batch, "bob", NOW).event_ids[0] != once.event_ids[0]


def test_messages_of_different_kinds_with_one_id_are_different_events():
    chat = ChatMessage(id="1", timestamp=NOW, text="hello")
    said = Feedback(id="1", target_type="reply", target_id="r", outcome="good")
    batch = sent("1", interaction())
    ids = {plan(one, "ada", NOW).event_ids[0] for one in (chat, said, batch)}
    assert len(ids) == 3


def test_a_record_carries_only_what_is_new_each_once():
    batch = sent("b", interaction("a"), interaction("b"), interaction("a"), interaction())
    planned = plan(batch, "ada", NOW)
    record = planned.record({planned.event_ids[0], planned.event_ids[3]})
    assert [one.event_id for one in record.interactions] == ["a", planned.event_ids[3]]


def test_times_go_on_as_the_client_gave_them():
    batch = sent("b", interaction(timestamp=NOW - 5), interaction(timestamp=NOW + 10**9))
    planned = plan(batch, "ada", NOW)
    record = planned.record(planned.event_ids)
    assert [one.timestamp for one in record.interactions] == [NOW - 5, NOW + 10**9]
    assert (record.event_time, record.ingest_time) == (NOW + 10**9, NOW)


def test_a_record_is_named_by_the_events_in_it():
    # The first of these failed; the second brought what was new; the first comes again.
    first = plan(sent("m0", interaction("a"), interaction("b")), "ada", NOW)
    wider = [interaction(one) for one in "abcd"]
    second = plan(sent("m1", *wider), "ada", NOW)
    rest = second.record({"c", "d"}).event_id
    again = plan(sent("m1", *wider), "ada", NOW + 1).record({"a", "b"}).event_id
    assert rest != again
    assert again == first.record({"a", "b"}).event_id


@given(st.lists(names, min_size=1, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_record_ids_are_equal_exactly_when_the_events_are(one, other):
    same = record_id("ada", "interaction_batch", one) == record_id(
        "ada", "interaction_batch", other
    )
    assert same == (one == other)


GOOD = {"timestamp": NOW, "interactionType": "click"}
WRONG = [
    ({**GOOD, "timestamp": "yesterday"}, "timestamp"),
    ({**GOOD, "taskData": {"correct": 1}}, "taskData.correct"),
    ({**GOOD, "timingData": {"responseTime": "12"}}, "timingData.responseTime"),
    ({**GOOD, "timingData": {"responseTime": float("nan")}}, "timingData.responseTime"),
    ({**GOOD, "timingData": {"dwellTime": float("inf")}}, "timingData.dwellTime"),
    ({**GOOD, "elementId": "x" * 300}, "elementId"),
    ({"timestamp": NOW}, "interactionType"),
    (None, None),
    ("click", None),
]


@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_one_bad_interaction_is_named_and_the_others_keep_their_places(wrong, field):
    batch = sent("b", GOOD, wrong, GOOD)
    planned = plan(batch, "ada", NOW)

    (refused,) = planned.rejected
    assert (refused.index, refused.field) == (1, field)
    assert refused.message
    # Positions are those of the batch as sent: mended or not, a retry makes the same ids.
    whole = plan(sent("b", GOOD, GOOD, GOOD), "ada", NOW)
    assert planned.event_ids == (whole.event_ids[0], whole.event_ids[2])


def test_a_batch_of_which_nothing_is_good_names_the_first():
    with pytest.raises(InvalidMessage) as caught:
        sent("b", {}, GOOD | {"elementId": 7})
    assert caught.value.field == "interactions.0.timestamp"


def test_what_is_wrong_beside_the_interactions_refuses_the_batch():
    for wrong in ({"id": ""}, {"id": 7}):
        document = {"type": "interaction_batch", "id": "b", "interactions": [GOOD, {}]} | wrong
        with pytest.raises(InvalidMessage) as caught:
            read_interactions(InteractionBatch, document)
        assert caught.value.field == "id"
    for several in ([], [GOOD] * (MAX_INTERACTIONS + 1), {"0": GOOD}, None):
        with pytest.raises(InvalidMessage) as caught:
            read_interactions(InteractionBatch, {"id": "b", "interactions": several})
        assert caught.value.field == "interactions"


def test_learners_are_named_by_good_and_bad_interactions():
    batch = sent("b", GOOD | {"userId": "ada"}, {"userId": "bob"}, {"user_id": "eve"}, GOOD)
    assert batch.triage.named == ((0, "ada"), (1, "bob"), (2, "eve"))


@pytest.mark.parametrize(
    "measured",
    [
        {"timingData": {"dwellTime": 90_000}},
        {"timingData": {"responseTime": -0.2}},
        {"timingData": {"responseTime": 10**400}},
        {"contextData": {"sessionDuration": -1}},
        {"viewportData": {"scrollDistance": -120.5}},
    ],
)
def test_a_measurement_of_a_clock_that_jumped_is_absent(measured):
    planned = plan(sent("b", GOOD | measured, GOOD), "ada", NOW)
    record = planned.record(planned.event_ids)
    assert planned.rejected == ()
    (group,) = (name for name in measured)
    read = record.document()["interactions"][0]
    assert read.get(group, {}) == {}


YEAR = 31_557_600_000


def test_a_time_of_another_unit_is_refused_and_a_fast_clock_is_not():
    compact = 20_260_105_093_000  # 2026-01-05 09:30:00, read as milliseconds: the year 2612
    batch = sent("b", interaction("a"), interaction("b", compact), interaction("c", NOW + 9 * YEAR))
    planned = plan(batch, "ada", NOW)
    assert planned.event_ids == ("a", "c")
    assert [(one.index, one.field) for one in planned.rejected] == [(1, "timestamp")]

    with pytest.raises(Refusal) as caught:
        plan(sent("b", interaction(timestamp=compact)), "ada", NOW)
    assert caught.value.field == "interactions.0.timestamp"
    with pytest.raises(Refusal) as caught:
        plan(ChatMessage(id="1", timestamp=compact, text="hello"), "ada", NOW)
    assert caught.value.field == "timestamp"
    plan(ChatMessage(id="1", timestamp=NOW + 9 * YEAR, text="hello"), "ada", NOW)


def test_rejected_are_told_in_the_order_of_the_batch():
    batch = sent("b", interaction("a", NOW + 20 * YEAR), {}, interaction("c"))
    assert [one.index for one in plan(batch, "ada", NOW).rejected] == [0, 1]
