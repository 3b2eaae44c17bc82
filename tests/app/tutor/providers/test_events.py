"""Server-sent events, however their bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tutor.providers.events import Event, EventDecoder, EventTooLong

LINES = st.sampled_from(
    [
        b"data: a", b"data:b", b"data:", b"data: \xf0\x9f\x98\x80", b"event: ping", b"id: 1",
        b"retry: 3", b": note", b"", b"", b"data", b"other: x", "data: \u2028\x85".encode(),
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def decoded(pieces: list[bytes], most: int = 1_000) -> list[Event]:
    decoder = EventDecoder(most)
    return [event for piece in pieces for event in decoder.feed(piece)] + list(decoder.end())


@given(st.lists(LINES, max_size=10), ENDS, st.lists(st.integers(0, 80), max_size=6))
def test_how_it_is_cut_changes_nothing(lines: list[bytes], end: bytes, cuts: list[int]):
    stream = end.join(lines)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:stop] for start, stop in pairwise(places)]
    found = decoded(pieces)
    assert found == decoded([stream]) == decoded([bytes([each]) for each in stream])
    assert all(event.data for event in found)


def test_what_an_event_is():
    stream = b"\xef\xbb\xbfevent: x\ndata: 1\ndata: 2\nid: 3\n\n: no\n\nretry: 1\n\ndata: end"
    assert decoded([stream]) == [Event("x", "1\n2"), Event("", "end")]


@pytest.mark.parametrize("stream", [b"data: 12345", b"data: 123\ndata: 123\n", b"x" * 7])
def test_an_event_has_a_bound(stream: bytes):
    assert decoded([b"data: 1234\n", b"\n"], most=6)
    with pytest.raises(EventTooLong):
        decoded([stream], most=5)


def test_what_is_not_utf8_is_an_error():
    with pytest.raises(UnicodeDecodeError):
        decoded([b"data: \xff\n\n"])
