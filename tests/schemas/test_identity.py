"""Ids: opaque, printable, bounded; ours are unique and sortable by time."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import InvalidMessage, new_event_id, now_ms
from schemas.topics.chat import ChatReceived
from schemas.wire.client import Ping

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


@given(PRINTABLE.map(lambda text: text[:128]).filter(lambda text: text not in {".", ".."}))
def test_a_user_id_can_always_be_a_key(user_id):
    event = ChatReceived(event_id="e", user_id=user_id, event_time=0, ingest_time=0, text="hm")

    assert event.user_id.encode().decode() == user_id


def of_user(user_id: object) -> ChatReceived:
    return ChatReceived.read(
        {"eventId": "e", "userId": user_id, "eventTime": 0, "ingestTime": 0, "text": "hm"}
    )


@pytest.mark.parametrize(
    ("user_id", "reason"),
    [
        ("", "at least 1 character"),
        ("x" * 129, "at most 128"),
        (7, "valid string"),
        (" ", "is blank"),
        ("\u200d\u200c", "is blank"),
        (" ada", "surrounding blanks"),
        ("ada\u200d", "surrounding blanks"),
        ("a\nb", "cannot be seen (U+000A)"),
        ("a\u200bb", "cannot be seen (U+200B)"),
        ("a\u00a0b", "cannot be seen (U+00A0)"),
        ("a\u202eb", "cannot be seen (U+202E)"),
        ("a\ufeffb", "cannot be seen (U+FEFF)"),
        ("a\ue000", "cannot be seen (U+E000)"),
        ("a\U000e0041", "cannot be seen (U+E0041)"),
        (".", "no browser"),
        ("..", "no browser"),
    ],
)
def test_a_user_id_that_is_refused_is_told_why(user_id, reason):
    with pytest.raises(InvalidMessage) as caught:
        of_user(user_id)
    assert caught.value.field == "userId"
    assert reason in caught.value.message


@pytest.mark.parametrize(
    "name",
    [
        "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627",  # Persian, with a ZWNJ
        "\N{WOMAN}\u200d\N{GRADUATION CAP}",
        "\U0001fae8",  # an emoji of Unicode 15, which the tables of Python 3.11 do not know
        "\u845b\U000e0100\u57ce",  # a variant of a character, as Japanese names use it
        "\u0604",  # a sign of format that is seen
        "...", ".a", "a/b", "a b",
    ],
)  # fmt: skip
def test_names_of_people_and_new_emoji_are_ids(name):
    assert of_user(name).user_id == name
    assert Ping.read({"id": name}).id == name


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
