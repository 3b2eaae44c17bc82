"""Ids that stay the same however often and wherever a client tries again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.gateway.events import derive_id, plan
from schemas.interactions import Interaction
from schemas.wire import ChatMessage, Feedback, InteractionBatch

names = st.text(min_size=1, max_size=20)
NOW = 1_800_000_000_000


def interaction(event_id: str | None = None, timestamp: int = NOW) -> Interaction:
    return Interaction(event_id=event_id, timestamp=timestamp, interaction_type="click")


@given(
    st.tuples(names, names, names, st.none() | st.integers(0, 500)),
    st.tuples(names, names, names, st.none() | st.integers(0, 500)),
)
def test_ids_are_equal_exactly_when_what_they_come_from_is(one, other):
    first, second = derive_id(*one), derive_id(*other)
    assert len(first) == 36
    assert (first == second) == (one == other)


def test_a_retry_has_the_same_ids_at_another_time():
    batch = InteractionBatch(id="b", interactions=(interaction(), interaction("mine")))
    once, again = plan(batch, "ada", NOW), plan(batch, "ada", NOW + 60_000)
    assert once.event_ids == again.event_ids
    assert once.event_ids[1] == "mine"
    assert once.record(once.event_ids).event_id == again.record(again.event_ids).event_id
    assert plan(batch, "bob", NOW).event_ids[0] != once.event_ids[0]


def test_messages_of_different_kinds_with_one_id_are_different_events():
    chat = ChatMessage(id="1", timestamp=NOW, text="hello")
    said = Feedback(id="1", target_type="reply", target_id="r", outcome="good")
    batch = InteractionBatch(id="1", interactions=(interaction(),))
    ids = {plan(one, "ada", NOW).event_ids[0] for one in (chat, said, batch)}
    assert len(ids) == 3


def test_a_record_carries_only_what_is_new_each_once():
    batch = InteractionBatch(
        id="b", interactions=(interaction("a"), interaction("b"), interaction("a"), interaction())
    )
    planned = plan(batch, "ada", NOW)
    record = planned.record({planned.event_ids[0], planned.event_ids[3]})
    assert [one.event_id for one in record.interactions] == ["a", planned.event_ids[3]]


def test_times_go_on_as_the_client_gave_them():
    batch = InteractionBatch(
        id="b", interactions=(interaction(timestamp=NOW - 5), interaction(timestamp=NOW + 10**9))
    )
    planned = plan(batch, "ada", NOW)
    record = planned.record(planned.event_ids)
    assert [one.timestamp for one in record.interactions] == [NOW - 5, NOW + 10**9]
    assert (record.event_time, record.ingest_time) == (NOW + 10**9, NOW)
