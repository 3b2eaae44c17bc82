"""A topic's records as messages: typed, each once, without those of forgotten learners.

    from app.analysis.reading import Forgotten, follow, read

    frame = await read("user-state", since="2026-11-30T08:00:00+00:00").frame()
    async for state in read("user-state"):
        print(state.user_id, state.valence.value)
    async for one in follow("user-state"):
        if isinstance(one, Forgotten):
            ...  # delete what you hold of one.user_id

Errors (all of them are OperatorErrors):
    UnknownTopic  no topic of that name holds records for readers
    Unreadable    a record that is not what its topic holds
    Unavailable   Kafka does not answer
    Stalled       Kafka gives no more before the end of the topic
"""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import TypeAdapter, ValidationError

from agents.runtime import envelope
from agents.runtime.topics import ERASURES
from app.analysis.forgetting import Forgotten, Once, erasures_of
from app.kafka import clients
from app.kafka.redrive import partition_counts, reader, scan
from app.kafka.topics import Topic, catalogue, physical
from app.process.errors import OperatorError, Unavailable
from app.settings import Settings, get_settings
from schemas.base import DecodeError, Event, Message, now_ms
from schemas.times import MAX_MILLIS, Timestamp
from schemas.topics.operations import DeadLetter, ErasureRequested

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Forgotten", "Records", "UnknownTopic", "Unreadable", "follow", "read"]

Moment = datetime | str | float | int
"""A datetime with a zone, ISO 8601 with an offset, or seconds or milliseconds since 1970."""
OnUnreadable = Literal["raise", "skip"]

_MOMENT: Final[TypeAdapter[int]] = TypeAdapter(Timestamp)
_POLL_MS: Final = 500
_FOLLOWED: Final = 100_000
"""Ids that `follow` remembers, to tell what comes again."""
_DAY_MS: Final = 86_400_000
_CLOCKS: Final = 60_000
"""Milliseconds by which the clocks of producers and readers may differ."""


class UnknownTopic(OperatorError):
    """No topic of that name holds records for readers."""


class Unreadable(OperatorError):
    """A record that is not what its topic holds."""

    def __init__(self, topic: str, record: ConsumerRecord, error: DecodeError) -> None:
        super().__init__(
            f"{topic}, partition {record.partition}, offset {record.offset}: {error}. "
            'Leave such records out with unreadable="skip"; the workers made dead letters of them.'
        )


def read(
    topic: str,
    since: Moment | None = None,
    until: Moment | None = None,
    *,
    unreadable: OnUnreadable = "raise",
    settings: Settings | None = None,
) -> Records:
    """A topic's records that masterx received from `since` to before `until`, each once.

    They come one partition after the other; a learner's are in one, in their order. A learner who
    was forgotten is left out, with all from before. So is what is past the topic's retention,
    even where Kafka has yet to delete it.

    Args:
        topic: the catalogue's name, like user-state.
        since, until: of `ingestTime` (of `failedAt` for dead letters); None: no bound.
        unreadable: "skip" counts records that cannot be read, in `Records.skipped`.
        settings: where Kafka is; None: from the environment.

    Raises:
        UnknownTopic, ValueError: `since` or `until` is no time.
    """
    chosen = settings or get_settings()
    bounds = _moment(since, 0), _moment(until, MAX_MILLIS + 1)
    return Records(chosen, _topic(chosen, topic), *bounds, unreadable)


class Records:
    """What `read` found: iterate it, or take it as a frame. Each iteration reads anew.

    Attributes:
        skipped: records that the last iteration could not read.
    """

    def __init__(
        self, settings: Settings, topic: Topic, since: int, until: int, unreadable: OnUnreadable
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._since = since
        self._until = until
        self._unreadable = unreadable
        self.skipped = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._read()

    @property
    def topic(self) -> str:
        """The catalogue's name."""
        return self._topic.name

    @property
    def schema(self) -> type[Message]:
        """What each record is."""
        assert self._topic.schema is not None
        return self._topic.schema

    async def frame(self, *, text: bool = False) -> pl.DataFrame:
        """All of them as a polars frame: a column for each figure (docs/analytics.md).

        Args:
            text: with the columns that hold words, or what follows from words.

        Raises ModuleNotFoundError: the extra `notebook` is not installed.
        """
        from app.analysis.frames import frame_of  # noqa: PLC0415 - polars is an extra

        return await frame_of(self, text=text)

    async def _read(self) -> AsyncGenerator[Any, None]:
        self.skipped = 0
        name = physical(self._settings, self._topic.name)
        oldest = _oldest(self._topic)
        async with consuming(self._settings) as consumer:
            counts = await _counts(self._settings, self._topic)
            for partition in range(counts[name]):
                erased = await erasures_of(self._settings, consumer, counts, self._topic, partition)
                once = Once(erased, await self._tombstones(consumer, counts, partition))
                async for record in scan(consumer, counts, name, {partition}, self._since):
                    if record.value is None or record.timestamp < oldest:
                        continue
                    try:
                        message = envelope.read(self.schema, record)
                    except DecodeError as error:
                        if self._unreadable == "raise":
                            raise Unreadable(self._topic.name, record, error) from error
                        self.skipped += 1
                        continue
                    if self._since <= _received(message) < self._until and once.takes(
                        record, message
                    ):
                        yield message

    async def _tombstones(
        self, consumer: AIOKafkaConsumer, counts: Mapping[str, int], partition: int
    ) -> dict[bytes, int]:
        """The offset of each learner's last tombstone."""
        if not self._topic.compacted:
            return {}
        name = physical(self._settings, self._topic.name)
        records = scan(consumer, counts, name, {partition}, self._since)
        return {record.key: record.offset async for record in records if record.value is None}


def follow(
    topic: str,
    since: Moment | None = None,
    *,
    unreadable: OnUnreadable = "raise",
    settings: Settings | None = None,
) -> AsyncGenerator[Any, None]:
    """A topic's records as they come, each once, and a `Forgotten` where a learner is forgotten.

    It waits without end for what comes next, also while Kafka is away. Of ids it remembers the
    last 100,000: what comes again after more than that counts as new.

    Args:
        topic: the catalogue's name, like user-state.
        since: first those that masterx received from then on; None: from the first step on.
        unreadable: "skip" passes over records that cannot be read.
        settings: where Kafka is; None: from the environment.

    Raises:
        UnknownTopic, ValueError: `since` is no time.
    """
    chosen = settings or get_settings()
    return _follow(chosen, _topic(chosen, topic), _moment(since, 0), unreadable)


async def _follow(
    chosen: Settings, known: Topic, earliest: int, unreadable: OnUnreadable
) -> AsyncGenerator[Any, None]:
    name, erasures = physical(chosen, known.name), physical(chosen, ERASURES)
    async with consuming(chosen) as consumer:
        counts = await _counts(chosen, known)
        places = [TopicPartition(name, partition) for partition in range(counts[name])]
        watched = [] if known.name == ERASURES else _places(erasures, counts)
        starts = await consumer.end_offsets([*places, *watched])
        if earliest:
            found = await consumer.offsets_for_times(
                dict.fromkeys(places, max(0, earliest - _CLOCKS))
            )
            starts |= {place: at.offset for place, at in found.items() if at is not None}
        erased: dict[str, int] = {}
        for partition in range(counts[name]):
            erased |= await erasures_of(chosen, consumer, counts, known, partition)
        consumer.assign([*places, *watched])
        for place, offset in starts.items():
            consumer.seek(place, offset)
        once = Once(erased, {}, most=_FOLLOWED)
        while True:
            batch = await consumer.getmany(timeout_ms=_POLL_MS)
            oldest = _oldest(known)
            # Erasures first: what was received before them is not to be given any more.
            for _, records in sorted(batch.items(), key=lambda item: item[0].topic != erasures):
                for record in records:
                    if record.topic == name and record.timestamp < oldest:
                        continue
                    one = _one(record, known, record.topic == erasures, unreadable)
                    if isinstance(one, Forgotten):
                        once.forget(one.user_id, one.at if record.topic == erasures else None)
                        yield one
                    elif one is not None and _received(one) >= earliest and once.takes(record, one):
                        yield one


def _one(
    record: ConsumerRecord, topic: Topic, is_erasure: bool, unreadable: OnUnreadable
) -> Message | Forgotten | None:
    """What a record that came says; None: nothing that can be read."""
    if record.value is None:
        return Forgotten((record.key or b"").decode(errors="replace"), record.timestamp)
    assert topic.schema is not None
    try:
        if is_erasure and topic.name != ERASURES:
            erasure = envelope.read(ErasureRequested, record)
            return Forgotten(erasure.user_id, erasure.ingest_time)
        return envelope.read(topic.schema, record)
    except DecodeError as error:
        if unreadable == "raise" and not (is_erasure and topic.name != ERASURES):
            raise Unreadable(topic.name, record, error) from error
        return None


# -- topics and times -------------------------------------------------------------------------


def _topic(settings: Settings, name: str) -> Topic:
    known = {topic.name: topic for topic in catalogue(settings.kafka)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownTopic(f"there is no topic {name!r}. {hint}There are: {', '.join(known)}")
    if known[name].schema is None:
        raise UnknownTopic(
            f"{name} is the learner worker's own memory: it has no schema to read by"
        )
    return known[name]


async def _counts(settings: Settings, topic: Topic) -> dict[str, int]:
    counts = await partition_counts(settings)
    name = physical(settings, topic.name)
    if not counts.get(name):
        raise UnknownTopic(
            f"the broker at {settings.kafka.bootstrap} has no topic {name}. Create it with "
            "`masterx topics create`, or set MASTERX_KAFKA__TOPIC_PREFIX to your deployment's."
        )
    return counts


def _places(name: str, counts: Mapping[str, int]) -> list[TopicPartition]:
    return [TopicPartition(name, partition) for partition in range(counts.get(name, 0))]


def _oldest(topic: Topic) -> int:
    """From when on the topic's records may be read, also if Kafka has yet to delete others."""
    if topic.retention_days is None:
        return 0
    return now_ms() - int(topic.retention_days * _DAY_MS)


def _moment(given: Moment | None, default: int) -> int:
    if given is None:
        return default
    try:
        return _MOMENT.validate_python(given)
    except ValidationError as error:
        raise ValueError(f"{given!r}: {error.errors(include_url=False)[0]['msg']}") from None


@asynccontextmanager
async def consuming(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """As `reader`; a broker that fails later is told like one that does not answer."""
    async with reader(settings) as consumer:
        try:
            yield consumer
        except clients.FAILURES as error:
            raise Unavailable(
                "Kafka", settings.kafka.bootstrap, repr(error), "MASTERX_KAFKA__BOOTSTRAP"
            ) from error


def _received(message: Message) -> int:
    """When masterx received it, or gave it up; UTC milliseconds."""
    if isinstance(message, Event):
        return message.ingest_time
    assert isinstance(message, DeadLetter)
    return message.failed_at
