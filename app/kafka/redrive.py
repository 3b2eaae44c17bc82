"""Dead letters: what lies there, and sending it again once the cause is gone.

A replayed record carries the header `replay-of: <topic>:<partition>:<offset>`, the
place of the original. That header is the memory of what was replayed: before it
sends, a replay reads the topic from the first dead letter on and leaves out what is
there already. Record and memory are one write, so no crash can part them.

What is sent again, and where:
- what the gateway accepted (interactions, chat-messages, feedback, erasures): the
  original record, to its own topic and partition
- `emotions`: the chat message it was read from. A reading carries that message's
  offset, and the learner worker would take an old one for a redelivery
- recommendations and interventions: the original record; their readers know its id
- a compacted topic's record: not at all. It would stand behind newer states, and
  compaction would keep it instead of them
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import aiokafka.errors
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from agents.runtime.topics import CHAT, DEAD_LETTERS, EMOTIONS
from app.kafka import clients
from app.kafka.admin import list_topics
from app.kafka.header_names import forgive
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, catalogue, physical
from app.process.errors import OperatorError, Unavailable
from app.settings import Settings
from schemas.base import DecodeError, UnknownVersion
from schemas.topics.emotions import EmotionRead
from schemas.topics.operations import DeadLetter

log = structlog.get_logger(__name__)

REPLAY_OF = "replay-of"
_POLL_MS = 500
_STALLED: Final = 30.0
"""Seconds without a record or a position until a scan gives up."""

Place = tuple[str, int, int]
"""Topic (as in the catalogue), partition, offset."""


class Stalled(OperatorError):
    """A topic could not be read to its end."""

    def __init__(self, topic: str) -> None:
        super().__init__(
            f"topic {topic}: the broker gave nothing for {_STALLED:g} s before its end. Look "
            "whether each of its partitions has a leader (masterx topics list), and try again."
        )


class Result(StrEnum):
    """What became of a letter."""

    REPLAYED = "replayed"
    BEFORE = "replayed before"
    REFUSED = "not replayed"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter with the key of its record; the last one, if a record was sent there twice."""

    key: bytes | None
    letter: DeadLetter

    @property
    def place(self) -> Place:
        """Where the original record is."""
        return (self.letter.topic, self.letter.partition, self.letter.offset)

    @property
    def id(self) -> str:
        """`topic:partition:offset` of the original."""
        return as_text(self.place)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one letter, and why."""

    letter: Letter
    result: Result
    reason: str = ""


def as_text(place: Place) -> str:
    """`topic:partition:offset`."""
    return ":".join(map(str, place))


async def read(settings: Settings, since_ms: int = 0) -> list[Letter]:
    """Every dead letter since `since_ms` (epoch), one an original record, oldest first.

    Raises:
        Unavailable: no broker answers.
    """
    letters: dict[Place, Letter] = {}
    async with reader(settings) as consumer:
        name = physical(settings, DEAD_LETTERS)
        async for record in scan(consumer, await partition_counts(settings), name, None, since_ms):
            try:
                letter = Letter(record.key, DeadLetter.parse(record.value or b""))
            except DecodeError:
                log.warning(
                    "redrive.letter_unreadable", partition=record.partition, offset=record.offset
                )
                continue
            letters[letter.place] = letter
    return sorted(letters.values(), key=lambda one: one.letter.failed_at)


async def replay(
    settings: Settings, letters: Sequence[Letter], *, again: bool = False
) -> list[Replayed]:
    """Send letters to where they failed. With `again` also those that were sent before.

    Raises:
        Unavailable: no broker answers.
        KafkaError: the broker did not take a record; those before it are replayed.
    """
    results: list[Replayed] = []
    async with AsyncExitStack() as stack:
        consumer = await stack.enter_async_context(reader(settings))
        producer = await stack.enter_async_context(_writer(settings))
        partitions = await partition_counts(settings)
        before = set() if again else await _replayed_before(settings, consumer, letters)
        for letter in letters:
            if letter.id in before:
                results.append(Replayed(letter, Result.BEFORE))
                continue
            record = await _what_to_send(settings, consumer, letter, partitions)
            if isinstance(record, str):
                results.append(Replayed(letter, Result.REFUSED, record))
                continue
            try:
                await _send(settings, producer, record, letter.id)
            except aiokafka.errors.MessageSizeTooLargeError:
                # It came compressed, or its topic took more then. A refused record leaves a gap in
                # the sequence of an idempotent producer; only another one goes on.
                producer = await stack.enter_async_context(_writer(settings))
                results.append(
                    Replayed(letter, Result.REFUSED, "it is larger than its topic takes")
                )
                continue
            before.add(letter.id)
            results.append(Replayed(letter, Result.REPLAYED))
    return results


@dataclass(frozen=True, slots=True)
class _Record:
    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


async def _send(
    settings: Settings, producer: AIOKafkaProducer, record: _Record, replay_of: str
) -> None:
    """Raises KafkaError."""
    topic = physical(settings, record.topic)
    headers = [*record.headers, (REPLAY_OF, replay_of.encode())]
    if record.key is not None or record.value is not None:
        await producer.send_and_wait(
            topic,
            key=record.key,
            value=record.value,
            partition=record.partition,
            headers=headers,
        )
        return
    # `send` takes no record without both, which Kafka and other clients do.
    batch = producer.create_batch()
    batch.append(key=None, value=None, timestamp=None, headers=headers)
    await (await producer.send_batch(batch, topic, partition=record.partition))


async def _what_to_send(
    settings: Settings, consumer: AIOKafkaConsumer, letter: Letter, partitions: Mapping[str, int]
) -> _Record | str:
    """The record to send, or why there is none."""
    topics = {topic.name: topic for topic in catalogue(settings.kafka)}
    topic = topics.get(letter.letter.topic)
    if topic is None:
        return "its topic is not in the catalogue"
    if letter.letter.partition not in range(partitions.get(physical(settings, topic.name), 0)):
        return "its topic has no such partition"
    if topic.compacted:
        return "its topic is compacted: newer records took its place"
    if topic.name == EMOTIONS:
        return await _source_of_reading(settings, consumer, letter)
    if letter.letter.omitted_bytes is not None:
        found = await _kept(settings, consumer, letter.place)
        return "it fitted no letter, and its topic no longer keeps it" if found is None else found
    return _Record(
        letter.letter.topic,
        letter.letter.partition,
        letter.key,
        _bytes(letter.letter.value_base64),
        _without_replay_of(_headers(letter.letter)),
    )


def _headers(letter: DeadLetter) -> Iterable[tuple[str, bytes | None]]:
    if letter.raw_headers is None:  # of an earlier release
        return [(name, text.encode()) for name, text in letter.headers.items()]
    return [(name, _bytes(text)) for name, text in letter.raw_headers]


def _without_replay_of(
    headers: Iterable[tuple[str, bytes | None]],
) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, value) for name, value in headers if name != REPLAY_OF)


async def _source_of_reading(
    settings: Settings, consumer: AIOKafkaConsumer, letter: Letter
) -> _Record | str:
    try:
        reading = EmotionRead.parse(_bytes(letter.letter.value_base64) or b"")
    except UnknownVersion:
        return "this release does not read its version either"
    except DecodeError:
        return "it is no reading, so its chat message is not known"
    if reading.source_offset < 0:
        return "it does not say which chat message it was read from"
    if reading.source_topic != CHAT or reading.source_partition != letter.letter.partition:
        return "it was not read from a chat message of its partition"
    place = (reading.source_topic, reading.source_partition, reading.source_offset)
    found = await _kept(settings, consumer, place)
    return "its chat message is no longer kept" if found is None else found


async def _kept(settings: Settings, consumer: AIOKafkaConsumer, place: Place) -> _Record | None:
    """The record at a place; None where its topic no longer keeps it."""
    topic, partition, offset = place
    tp = TopicPartition(physical(settings, topic), partition)
    first = (await consumer.beginning_offsets([tp]))[tp]
    end = (await consumer.end_offsets([tp]))[tp]
    if not first <= offset < end:
        return None
    consumer.assign([tp])
    consumer.seek(tp, offset)
    try:
        async with asyncio.timeout(settings.kafka.request_timeout):
            record = await consumer.getone()
    except TimeoutError:  # nothing but markers of transactions stand there
        return None
    if record.offset != offset:
        return None
    return _Record(topic, partition, record.key, record.value, _without_replay_of(record.headers))


async def _replayed_before(
    settings: Settings, consumer: AIOKafkaConsumer, letters: Iterable[Letter]
) -> set[str]:
    """Ids of letters whose replay stands in a topic already."""
    oldest: dict[str, int] = {}
    partitions: dict[str, set[int]] = {}
    for letter in letters:
        name = letter.letter.topic
        # In place of a reading its chat message is sent; same key, so same partition.
        name = CHAT if name == EMOTIONS else name
        oldest[name] = min(oldest.get(name, letter.letter.failed_at), letter.letter.failed_at)
        partitions.setdefault(name, set()).add(letter.letter.partition)
    found: set[str] = set()
    counts = await partition_counts(settings)
    for name, since in oldest.items():
        place = physical(settings, name)
        async for record in scan(consumer, counts, place, partitions[name], since):
            found |= {
                value.decode(errors="replace")
                for name, value in record.headers
                if name == REPLAY_OF and value is not None
            }
    return found


async def partition_counts(settings: Settings) -> dict[str, int]:
    """Partitions by topic, as the broker names it."""
    # A consumer knows the partitions of topics that it is assigned, and no others.
    return {topic.physical: topic.partitions for topic in await list_topics(settings)}


async def scan(
    consumer: AIOKafkaConsumer,
    counts: Mapping[str, int],
    topic: str,
    partitions: set[int] | None,
    since_ms: int,
) -> AsyncIterator[ConsumerRecord]:
    """Every record from `since_ms` to the end as it is now. `counts`: partitions by topic.

    Raises:
        Stalled: the broker gives nothing more.
        KafkaError, OSError: it fails.
    """
    known = range(counts.get(topic, 0))
    places = [
        TopicPartition(topic, p) for p in sorted(known) if partitions is None or p in partitions
    ]
    if not places:
        return
    ends = await consumer.end_offsets(places)
    starts = await consumer.beginning_offsets(places)
    if since_ms > 0:
        # A record's time is its producer's; a minute forgives clocks that differ.
        at = await consumer.offsets_for_times({p: max(0, since_ms - 60_000) for p in places})
        starts = {p: found.offset if (found := at.get(p)) else ends[p] for p in places}
    open_places = {p for p in places if starts[p] < ends[p]}
    consumer.assign(list(open_places))
    for place in open_places:
        consumer.seek(place, starts[place])
    progressed = time.monotonic()
    while open_places:
        batch = await consumer.getmany(timeout_ms=_POLL_MS)
        if not batch and time.monotonic() - progressed > _STALLED:
            raise Stalled(topic)
        for place, records in batch.items():
            for record in records:
                if record.offset < ends[place]:
                    yield record
        if batch:
            progressed = time.monotonic()  # the caller may have taken long over them
        for place in list(open_places):
            # By position, not by the last record: compaction and transactions leave gaps.
            try:
                async with asyncio.timeout(_STALLED):
                    position = await consumer.position(place)
            except TimeoutError:
                raise Stalled(topic) from None
            if position >= ends[place]:
                open_places.discard(place)


@asynccontextmanager
async def reader(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group. Raises Unavailable, Misconfigured."""
    forgive()
    consumer = clients.consumer(
        settings.kafka,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_DEAD_LETTER_BYTES,
        request_timeout_ms=int(settings.kafka.request_timeout * 1000),
    )
    await _start(settings, consumer)
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def _writer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = clients.producer(settings.kafka, max_request_size=MAX_DEAD_LETTER_BYTES)
    await _start(settings, producer)
    try:
        yield producer
    finally:
        await producer.stop()


async def _start(settings: Settings, client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    try:
        await clients.start(settings.kafka, client)
    except clients.FAILURES as error:
        raise Unavailable(
            "Kafka", settings.kafka.bootstrap, str(error), "MASTERX_KAFKA__BOOTSTRAP"
        ) from error


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
