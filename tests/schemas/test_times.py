"""Times: seconds, milliseconds and ISO 8601 come in, UTC milliseconds go out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.base import InvalidMessage
from schemas.topics.chat import ChatReceived
from schemas.topics.interactions import Interaction

FIRST = 100_000_000_000
LAST = 253_402_300_799_999
MILLIS = st.integers(FIRST, LAST)
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(timestamp: Any) -> int:
    return Interaction.read({"timestamp": timestamp, "interactionType": "x"}).timestamp


def refusal(timestamp: Any) -> str:
    with pytest.raises(InvalidMessage) as caught:
        read(timestamp)
    assert caught.value.field == "timestamp"
    return caught.value.message


@given(MILLIS)
def test_milliseconds_are_kept(millis):
    assert read(millis) == read(float(millis)) == read(str(millis)) == millis


@given(st.integers(FIRST // 1000, 99_999_999_999))
def test_seconds_become_milliseconds(seconds):
    assert read(seconds) == read(str(seconds)) == seconds * 1000


@given(st.integers(FIRST, 99_999_999_999_000))
def test_seconds_with_a_fraction_keep_every_millisecond(millis):
    # Beyond the year 5138 a number is milliseconds; below, a double holds both parts.
    assert read(millis / 1000) == millis


@given(st.integers(FIRST, LAST - 86_400_000), OFFSETS)
def test_iso_8601_is_one_moment_wherever_it_was_written(millis, offset):
    moment = EPOCH + timedelta(milliseconds=millis)
    written = moment.astimezone(offset).isoformat()

    assert read(written) == millis


@given(MILLIS)
def test_reading_what_was_written_moves_no_time(millis):
    once = Interaction.read({"timestamp": millis, "interactionType": "x"})

    assert Interaction.parse(once.json_bytes()).timestamp == millis


def test_an_iso_time_beyond_the_year_5138_is_not_taken_for_milliseconds():
    assert read("6000-01-01T00:00:00Z") == 127_174_492_800_000


@pytest.mark.parametrize(
    ("timestamp", "part"),
    [
        (12_345.6, "duration"),
        (0, "March 1973"),
        (-0.0, "March 1973"),
        ("1970-01-02T00:00:00Z", "March 1973"),
        (-1, "before 1970"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("0001-01-01T00:00:00+14:00", "before 1970"),
        (LAST + 1, "year 9999"),
        (10**400, "year 9999"),
        (-(10**400), "year 9999"),
        ("9" * 500, "year 9999"),
        ("9999-12-31T23:59:59-01:00", "year 9999"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (-float("inf"), "finite"),
        ("2026-01-01T00:00:00", "offset from UTC"),
        ("2026-01-01", "offset from UTC"),
        ("nan", "ISO 8601"),
        ("1_700_000_000", "ISO 8601"),
        ("\u0661\u0667" + "\u0660" * 8, "ISO 8601"),
        ("", "ISO 8601"),
        ("yesterday", "ISO 8601"),
        ("\ud800", "ISO 8601"),
        (True, "ISO 8601"),
        (None, "ISO 8601"),
        ([], "ISO 8601"),
        ({}, "ISO 8601"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_not_a_time_is_told_why(timestamp, part):
    assert part in refusal(timestamp)


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.datetimes(timezones=st.none() | st.just(UTC)).map(datetime.isoformat),
    )
)
def test_whatever_comes_is_a_time_within_bounds_or_is_refused(timestamp):
    try:
        millis = read(timestamp)
    except InvalidMessage as error:
        named = error.field
    else:
        named = "timestamp"
        assert FIRST <= millis <= LAST
    assert named == "timestamp"


EVENT = {"eventId": "e", "userId": "u", "ingestTime": 0, "text": "hm"}


@given(st.integers(0, LAST))
def test_the_time_of_a_record_is_exact_however_small(millis):
    # Given a record whose time could be taken for seconds
    record = ChatReceived.read(EVENT | {"eventTime": millis})

    # When it is written and read again, as every worker of the chain does
    again = ChatReceived.parse(record.json_bytes())

    # Then it has not moved
    assert record.event_time == again.event_time == millis


@pytest.mark.parametrize("bad", [True, 1.5, "1", -1, LAST + 1, float("nan"), None])
def test_the_time_of_a_record_is_whole_milliseconds(bad):
    with pytest.raises(InvalidMessage) as caught:
        ChatReceived.read(EVENT | {"eventTime": bad})
    assert caught.value.field == "eventTime"


def test_a_naive_datetime_is_nobodys_local_time():
    with pytest.raises(ValidationError, match="offset from UTC"):
        Interaction(timestamp=datetime(2026, 1, 1), interaction_type="x")
    assert Interaction(
        timestamp=datetime(2026, 1, 1, tzinfo=UTC), interaction_type="x"
    ).timestamp == (1_767_225_600_000)
