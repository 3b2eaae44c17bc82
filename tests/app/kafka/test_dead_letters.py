"""A dead letter: the exact record, and never larger than its topic takes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.topics import CHAT, DEAD_LETTERS
from app.kafka.dead_letters import DeadLetterQueue
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, MAX_MESSAGE_BYTES
from app.settings import Settings
from schemas.base import InvalidMessage, UnknownVersion
from schemas.topics.operations import DeadLetter
from tests.agents.records import Record

MB = 1024 * 1024


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes, Mapping[str, bytes]]] = []

    async def send(self, topic: str, *, key, value, partition=None, headers=None) -> Any:
        assert (topic, partition) == (DEAD_LETTERS, 3)
        self.records.append((key, value, headers))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def flush(self) -> None: ...


def letter_of(key=b"ada", value=b"{", headers=None, error=None, **more):
    """What is sent: key, letter, and the size of both with the headers."""

    async def run():
        outbox = Sent()
        dead_letters = DeadLetterQueue(outbox, "emotion", Settings(), **more)
        record = Record(CHAT, 3, 7, key, value, headers)
        await dead_letters.send(record, error or InvalidMessage("is wrong", "text"))
        ((sent_key, sent, sent_headers),) = outbox.records
        size = len(sent_key or b"") + len(sent) + sum(map(len, sent_headers.values()))
        return sent_key, DeadLetter.parse(sent), size

    return asyncio.run(run())


def original(key, letter):
    """Key, value and headers, as a replay takes them."""

    def decoded(text):
        return None if text is None else base64.b64decode(text)

    return (
        key,
        decoded(letter.value_base64),
        tuple((name, decoded(value)) for name, value in letter.raw_headers),
    )


PAIRS = st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=9)), max_size=6)


@given(st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9), PAIRS)
def test_key_value_and_headers_are_exact(key, value, headers):
    headers = tuple((name.encode(errors="replace").decode(), data) for name, data in headers)
    sent_key, letter, _ = letter_of(key, value, headers)
    assert original(sent_key, letter) == (key, value, headers)
    assert letter.key_base64 == (None if key is None else base64.b64encode(key).decode())
    assert letter.omitted_bytes is None


def test_binary_and_repeated_headers_are_exact_and_readable():
    headers = [("x", b"\xff\xfe"), ("a", b"1"), ("n", None), ("a", b"2"), ("long", b"y" * 5000)]
    _, letter, _ = letter_of(headers=headers)
    assert letter.raw_headers == (
        ("x", "//4="),
        ("a", "MQ=="),
        ("n", None),
        ("a", "Mg=="),
        ("long", base64.b64encode(b"y" * 5000).decode()),
    )
    assert letter.headers == {"x": "��", "a": "2"}


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"ada", bytes(range(256)) * (MAX_MESSAGE_BYTES // 256), None),
        (b"\xff" * (MAX_MESSAGE_BYTES - 100), b"", None),
        (b"k" * (2 * MB), b"\x00" * (2 * MB - 200), [("h", b"\x01" * 100)]),
        (b"ada", b"{}", [("h", b"\x00" * (MAX_MESSAGE_BYTES - 200))]),
        (b"ada", b"{}", [("\x00" * 3000 + str(n), b"\x00" * 1000) for n in range(900)]),
        (None, None, [("traceparent", b"t" * (MAX_MESSAGE_BYTES - 200))]),
    ],
    ids=["value", "key", "half and half", "header", "escaped names", "trace"],
)
def test_the_largest_record_fits_with_every_byte(key, value, headers):
    sent_key, letter, size = letter_of(key, value, headers)
    assert size < MAX_DEAD_LETTER_BYTES
    if letter.omitted_bytes is None:
        assert original(sent_key, letter) == (key, value, tuple(headers or ()))
    else:
        # Control characters in names are the one thing that JSON makes six times as long.
        assert headers is not None
        assert headers[0][0].startswith("\x00")


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"ada", b"z" * (30 * MB), None),
        (b"k" * (30 * MB), b"{}", None),
        (b"ada", b"{}", [("a", b"")] * 1_000_000),
    ],
    ids=["value", "key", "headers"],
)
def test_what_fits_no_letter_is_named_without_its_bytes(key, value, headers):
    sent_key, letter, size = letter_of(key, value, headers)
    assert size < 10_000
    assert sent_key == (key if len(key) < 100 else None)
    assert (letter.value_base64, letter.raw_headers, letter.headers) == (None, None, {})
    assert letter.omitted_bytes >= 1_000_000
    assert (letter.topic, letter.partition, letter.offset) == (CHAT, 3, 7)


def test_a_topic_that_takes_less_gets_smaller_letters():
    _, letter, size = letter_of(value=b"z" * 100_000, max_bytes=100_000)
    assert size < 10_000
    assert letter.omitted_bytes > 100_000


def test_a_field_of_megabytes_is_cut():
    _, letter, size = letter_of(
        error=InvalidMessage("is wrong", "probabilities." + "x" * 3_000_000)
    )
    assert size < 5_000
    assert letter.field.startswith("probabilities.xxx")


def test_an_unknown_version_is_told_in_words_for_a_machine():
    _, letter, _ = letter_of(error=UnknownVersion("schemaVersion"))
    assert (letter.error, letter.reason) == ("UnknownVersion", "unknown_version")


def test_the_words_of_other_errors_are_not_told():
    _, letter, _ = letter_of(error=RuntimeError("the learner's words"))
    assert "words" not in orjson.dumps(letter.document()).decode()
