"""Ids: opaque, printable, bounded; ours are unique and sortable by time."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InvalidMessage, new_event_id, now_ms
from schemas.chat import ChatReceived
from schemas.wire import Ping

PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(PRINTABLE.map(lambda text: text[:64]))
def test_any_printable_id_of_64_characters_is_taken_as_it_is(opaque):
    assert Ping.parse(Ping(id=opaque).json_bytes()).id == opaque


@given(st.text())
def test_an_id_that_is_taken_can_be_printed_on_one_line(text):
    fits = text.strip() != "" and 1 <= len(text) <= 64 and len(text.splitlines()) == 1
    try:
        found = Ping.read({"type": "ping", "id": text}).id
    except InvalidMessage as error:
        named, found = error.field, text
    else:
        named = "id"
        assert fits
    assert (named, found) == ("id", text)


@given(PRINTABLE.map(lambda text: text[:128]))
def test_a_user_id_can_always_be_a_key(user_id):
    event = ChatReceived(event_id="e", user_id=user_id, event_time=0, ingest_time=0, text="hm")

    assert event.user_id.encode().decode() == user_id


@pytest.mark.parametrize("user_id", ["", " ", "x" * 129, "a\nb", "\u200b", 7])
def test_a_user_id_is_printable_and_bounded(user_id):
    with pytest.raises(InvalidMessage) as caught:
        ChatReceived.read(
            {"eventId": "e", "userId": user_id, "eventTime": 0, "ingestTime": 0, "text": "hm"}
        )
    assert caught.value.field == "userId"


def test_our_event_ids_are_uuid_7_unique_and_sorted_by_creation():
    before = now_ms()
    made = [new_event_id() for _ in range(1_000)]
    after = now_ms()

    assert len(set(made)) == len(made)
    assert made == sorted(made)
    for text in (made[0], made[-1]):
        parsed = uuid.UUID(text)
        assert parsed.version == 7
        assert before <= parsed.int >> 80 <= after
