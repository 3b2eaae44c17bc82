"""Kafka records of every shape, each with what must become of it.

A record starts as a good one of its topic. Most then get one or more changes, to their value, key
or headers; a change either breaks the record, or must make no difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from agents.runtime.topics import (
    CHAT,
    CONCERNS,
    EMOTIONS,
    ERASURES,
    FEEDBACK,
    INTERACTIONS,
    INTERVENTIONS,
    RECOMMENDATIONS,
    TUTOR_REPLIES,
    TUTOR_REQUESTS,
    USER_STATE,
)
from app.kafka.topics import MAX_MESSAGE_BYTES
from schemas.base import now_ms
from tests.agents.records import message
from tests.app.tutor.asking import a_chat, a_request

TOPICS = (
    CHAT,
    INTERACTIONS,
    EMOTIONS,
    CONCERNS,
    FEEDBACK,
    ERASURES,
    USER_STATE,
    RECOMMENDATIONS,
    INTERVENTIONS,
    TUTOR_REQUESTS,
    TUTOR_REPLIES,
)

Pairs = tuple[tuple[str, bytes | None], ...]

TRACE = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A record, and whether it must be given up; `why` names its changes."""

    topic: str
    user: str
    document: dict[str, Any]
    key: bytes | None
    value: bytes | None
    headers: Pairs = ()
    broken: bool = False
    unknown_version: bool = False
    why: tuple[str, ...] = field(default=())

    @property
    def tombstone(self) -> bool:
        """Where an erasure leaves one."""
        return self.topic == USER_STATE and self.value is None

    def skipped_by(self, role: str) -> bool:
        """A tombstone that is no dead letter.

        The push worker forgets the learner's versions, so it has to read whose they are.
        """
        return self.tombstone and (role != "push" or _is_text(self.key or b""))

    @property
    def spoken(self) -> Fuzzed:
        """The same, or with an empty value where there is neither key nor value."""
        return replace(self, value=b"") if self.key is None and self.value is None else self


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def good(topic: str, number: int) -> Fuzzed:
    """A valid record of a learner of its own."""
    user = f"{topic}-{number}"
    if topic == TUTOR_REQUESTS:
        # Its message was never sent: the tutor has to end it all the same.
        document = a_request(a_chat(user, "why?"), (0, 10_000 + number)).document()
    else:
        now = now_ms()
        fields = {"eventTime": now, "ingestTime": now, "wantsReply": False}
        if topic == EMOTIONS:
            # Of a message that was never sent, some in a partition that there is not.
            fields |= {
                "sourceTopic": CHAT,
                "sourcePartition": 99 if number % 3 == 0 else 0,
                "sourceOffset": 10_000 + number,
                "probabilities": {"sadness": 0.9},
            }
        document = message(topic, user, number + 1, **fields).document()
    return Fuzzed(topic, user, document, user.encode(), json.dumps(document).encode())


# -- changes ------------------------------------------------------------------------------

Change = Callable[[Fuzzed, Random], Fuzzed]


def breaks_value(value: bytes | None) -> Change:
    return lambda record, _: replace(record, value=value, broken=True)


def with_field(name: str, value: Any, *, broken: bool) -> Change:
    def change(record: Fuzzed, _: Random) -> Fuzzed:
        text = json.dumps({**record.document, name: value}).encode()
        return replace(record, value=text, broken=record.broken or broken)

    return change


def of_version(version: Any) -> Change:
    def change(record: Fuzzed, _: Random) -> Fuzzed:
        # As a later release might write it: with other fields as well.
        text = json.dumps({"schemaVersion": version, "learner": record.user}).encode()
        return replace(record, value=text, broken=True, unknown_version=True)

    return change


def of_header_version(header: bytes) -> Change:
    def change(record: Fuzzed, _: Random) -> Fuzzed:
        headers = (*record.headers, ("schema", header))
        return replace(record, headers=headers, broken=True, unknown_version=True)

    return change


def cut(record: Fuzzed, random: Random) -> Fuzzed:
    value = json.dumps(record.document).encode()
    return replace(record, value=value[: random.randrange(1, len(value))], broken=True)


def noise(record: Fuzzed, random: Random) -> Fuzzed:
    # The first byte begins no JSON.
    return replace(record, value=b"\xfe" + random.randbytes(random.randrange(400)), broken=True)


def flipped(record: Fuzzed, random: Random) -> Fuzzed:
    value = bytearray(json.dumps(record.document).encode())
    value[random.randrange(len(value))] = 0
    return replace(record, value=bytes(value), broken=True)


def without_id(record: Fuzzed, _: Random) -> Fuzzed:
    document = {name: each for name, each in record.document.items() if name != "eventId"}
    return replace(record, value=json.dumps(document).encode(), broken=True)


def as_utf_16(record: Fuzzed, _: Random) -> Fuzzed:
    return replace(record, value=json.dumps(record.document).encode("utf-16"), broken=True)


def under(key: bytes | None) -> Change:
    return lambda record, _: replace(record, key=key, broken=True)


def long_key(record: Fuzzed, random: Random) -> Fuzzed:
    return replace(record, key=random.randbytes(60_000), broken=True)


def with_headers(*pairs: tuple[str, bytes | None]) -> Change:
    return lambda record, _: replace(record, headers=(*record.headers, *pairs))


def any_headers(record: Fuzzed, random: Random) -> Fuzzed:
    names = ["", "x", "x", "traceparent", "content-type", "заголовок", "a\x00b\n", "🙂", "n" * 900]
    pairs = tuple(
        (
            random.choice(names),
            random.choice([None, b"", b"text", TRACE, random.randbytes(random.randrange(2_000))]),
        )
        for _ in range(random.randrange(1, 12))
    )
    return replace(record, headers=(*record.headers, *pairs))


DEEP = b"[" * 100_000

VALUES: tuple[Change, ...] = (
    cut,
    noise,
    flipped,
    without_id,
    as_utf_16,
    *map(breaks_value, (None, b"", b"null", b"[]", b"7", b'"x"', b"{}", DEEP, b'{"a":' * 5_000)),
    breaks_value(b'{"eventId": NaN}'),
    breaks_value(b'{"eventId": 1e999}'),
    breaks_value(b'{"eventId": "\\ud800"}'),
    with_field("eventId", "x" * 65, broken=True),
    with_field("eventId", "a\x00b", broken=True),
    with_field("userId", 7, broken=True),
    with_field("userId", "somebody-else", broken=True),
    with_field("userId", None, broken=True),
    with_field("eventTime", -1, broken=True),
    with_field("ingestTime", 10**30, broken=True),
    with_field("eventTime", "now", broken=True),
    *map(of_version, (2, 0, -7, 10**30, "2", None, True, 1.5, [1])),
    *map(of_header_version, (b"Any/2", b"ChatReceived/0", b"X/999999999")),
    # What a later minor release may add makes no difference.
    with_field("added", {"$where": "1", "a.b": None, "\x00": [[[]]]}, broken=False),
    with_field("added", "\U0001f642" * 10_000, broken=False),
)

KEYS: tuple[Change, ...] = (
    *map(under, (None, b"", b"\xff\xfe\xfd", b"a stranger", b"\x00")),
    long_key,
)

HEADERS: tuple[Change, ...] = (
    any_headers,
    any_headers,
    with_headers(("traceparent", None)),
    with_headers(("traceparent", b"\xff\xfe")),
    with_headers(("traceparent", TRACE), ("traceparent", None), ("traceparent", TRACE)),
    with_headers(("schema", None), ("schema", b""), ("schema", b"protobuf"), ("schema", b"a/b")),
    with_headers(*[("x", bytes([n])) for n in range(200)]),
    with_headers(("replay-of", b"\xff")),
)

NAMES = {VALUES: "value ", KEYS: "key ", HEADERS: "headers "}


def fuzzed(topic: str, random: Random, number: int) -> Fuzzed:
    """A record with one to three changes."""
    kinds = random.choice([(VALUES,), (KEYS,), (HEADERS,), (VALUES, HEADERS), (KEYS, HEADERS),
                           (VALUES, KEYS), (VALUES, KEYS, HEADERS)])  # fmt: skip
    record = good(topic, number)
    for kind in kinds:
        place = random.randrange(len(kind))
        record = replace(kind[place](record, random), why=(*record.why, NAMES[kind] + str(place)))
    if topic == USER_STATE and record.key is None:
        return replace(record, key=b"")  # Kafka takes none without a key: it is compacted
    return record


def largest(number: int) -> Iterator[Fuzzed]:
    """What a topic takes just so: a value, a key and headers of 4 MB that nobody can read."""
    room = MAX_MESSAGE_BYTES - 4_096
    record = good(CHAT, number)
    yield replace(record, value=b"\xff" * room, broken=True, why=("value of 4 MB",))
    # A good message with a trace that no output could carry.
    headers = (("traceparent", b"t" * (room - len(record.value or b""))),)
    yield replace(good(CHAT, number + 1), headers=headers, why=("header of 4 MB",))
