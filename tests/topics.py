"""Writing to and reading from topics in tests, with a client that is not a worker's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.kafka.topics import physical
from app.settings import Settings
from schemas.base import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]

    @property
    def document(self) -> dict[str, Any]:
        """The value, parsed."""
        assert self.value is not None
        document: dict[str, Any] = orjson.loads(self.value)
        return document


async def produce(
    settings: Settings, topic: str, records: list[tuple[str, Message | bytes | None]]
) -> list[tuple[int, int]]:
    """Write (user, message or raw bytes) in order; (partition, offset) of each."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap,
        acks="all",
        enable_idempotence=True,
        max_request_size=8 * 1024 * 1024,
    )
    await producer.start()
    try:
        futures = []
        for user, message in records:
            value = message.json_bytes() if isinstance(message, Message) else message
            futures.append(
                await producer.send(physical(settings, topic), key=user.encode(), value=value)
            )
        done = await asyncio.gather(*futures)
        return [(meta.partition, meta.offset) for meta in done]
    finally:
        await producer.stop()


async def read_all(settings: Settings, topic: str) -> list[Record]:
    """Every record of a topic from the beginning to its present end."""
    name = physical(settings, topic)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await consumer._client._wait_on_metadata(name)
        tps = [TopicPartition(name, p) for p in consumer.partitions_for_topic(name) or ()]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        found: list[Record] = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for tp, batch in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    Record(tp.partition, each.offset, each.key, each.value, dict(each.headers))
                    for each in batch
                ]
        return found
    finally:
        await consumer.stop()


async def committed(settings: Settings, role: str, topic: str) -> dict[int, int]:
    """Committed offset of each partition of a role's group (0 where none)."""
    name = physical(settings, topic)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        group_id=f"{settings.worker.group_prefix}-{role}",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        await consumer._client._wait_on_metadata(name)
        partitions = consumer.partitions_for_topic(name) or set()
        return {p: await consumer.committed(TopicPartition(name, p)) or 0 for p in partitions}
    finally:
        await consumer.stop()


async def eventually(
    look: Callable[[], Awaitable[T]], holds: Callable[[T], bool], within: float = 30.0
) -> T:
    """Look until it holds; what was seen then. Fails with what was seen last."""
    seen: Any = None
    try:
        async with asyncio.timeout(within):
            while True:
                seen = await look()
                if holds(seen):
                    return seen
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s; last seen: {seen!r}") from None
