"""Reading a record, whatever its headers hold."""

from __future__ import annotations

import contextlib
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime import envelope
from agents.runtime.topics import CHAT, EMOTIONS
from schemas.base import DecodeError, InvalidMessage, UnknownVersion
from schemas.topics.chat import ChatReceived
from schemas.topics.emotions import EmotionRead
from tests.agents.records import Record, message

TRACE = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
CHAT_MESSAGE = message(CHAT, "ada", 1)


def record(headers: object = None, value: bytes | None = None, key: bytes | None = b"ada"):
    return Record(CHAT, 0, 0, key, CHAT_MESSAGE.json_bytes() if value is None else value, headers)


def versioned(version: object) -> bytes:
    return json.dumps({**CHAT_MESSAGE.document(), "schemaVersion": version}).encode()


@pytest.mark.parametrize(
    "headers",
    [
        None,
        (),
        {},
        (("traceparent", None),),
        {"traceparent": None},
        (("traceparent", b"\xff\xfe"), ("", None), ("schema", None)),
        (("traceparent", b"x" * 3_000_000),),
    ],
    ids=repr,
)
def test_a_good_record_without_a_usable_trace_is_read_and_has_no_trace(headers):
    source = record(headers)
    assert envelope.read(ChatReceived, source) == CHAT_MESSAGE
    assert set(envelope.headers(EmotionRead, source)) == {"content-type", "schema"}


@pytest.mark.parametrize(
    "headers",
    [
        (("traceparent", TRACE),),
        {"traceparent": TRACE},
        (("traceparent", None), ("traceparent", b"no"), ("traceparent", TRACE)),
    ],
    ids=repr,
)
def test_a_trace_is_handed_on(headers):
    assert envelope.headers(EmotionRead, record(headers))["traceparent"] == TRACE


def test_pairs_keep_order_repeats_and_nulls():
    pairs = (("b", b"1"), ("a", None), ("b", b""), ("b", bytearray(b"\xff")))
    assert envelope.header_pairs(record(pairs)) == [
        ("b", b"1"),
        ("a", None),
        ("b", b""),
        ("b", b"\xff"),
    ]


@pytest.mark.parametrize("version", [2, 0, -1, 10**30, "2", "1", None, True, 1.5, [], {}])
def test_an_unknown_version_is_found_before_any_other_field(version):
    for value in (
        versioned(version),
        json.dumps({"schema_version": version, "what": "is new"}).encode(),
    ):
        with pytest.raises(UnknownVersion) as raised:
            envelope.read(ChatReceived, record(value=value))
        assert raised.value.message == "unknown_version"
        assert raised.value.field == "schemaVersion"


@pytest.mark.parametrize("value", [b"\x00avro", b"{}", CHAT_MESSAGE.json_bytes()])
@pytest.mark.parametrize("header", [b"ChatReceived/2", b"ChatReceived/0", b"Other/17"])
def test_a_header_of_an_unknown_version_is_enough(header, value):
    with pytest.raises(UnknownVersion):
        envelope.read(ChatReceived, record([("schema", header)], value))


@pytest.mark.parametrize(
    "header",
    [b"ChatReceived/1", b"", b"ChatReceived", b"/2", b"a/b", b"a/2x", b"7", b"a/" * 9, None],
)
def test_a_header_that_names_no_version_says_nothing(header):
    assert envelope.read(ChatReceived, record([("schema", header)])) == CHAT_MESSAGE


def test_a_record_without_any_version_is_of_ours():
    document = CHAT_MESSAGE.document()
    del document["schemaVersion"]
    assert envelope.read(ChatReceived, record(value=orjson.dumps(document))) == CHAT_MESSAGE


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"bob"])
def test_a_record_under_another_key_is_refused(key):
    with pytest.raises(InvalidMessage):
        envelope.read(ChatReceived, record(key=key))


HEADERS = st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=80)), max_size=5)


@given(HEADERS, st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=9))
def test_whatever_it_holds_it_is_read_or_a_decode_error(headers, value, key):
    source = Record(EMOTIONS, 0, 0, key, value, tuple(headers))
    assert all(isinstance(each, bytes) for each in envelope.headers(EmotionRead, source).values())
    with contextlib.suppress(DecodeError):
        envelope.read(EmotionRead, source)
