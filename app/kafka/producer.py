"""The producer of every process: idempotent, acks=all, and for workers fenced by the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.partitioner import DefaultPartitioner

from app.kafka import clients
from app.kafka.aiokafka_seams import before_produce_requests
from app.kafka.quirks import Bell
from app.kafka.topics import MAX_DEAD_LETTER_BYTES, physical
from app.settings import Settings

_PARTITIONER: Final = DefaultPartitioner()
"""The one that AIOKafkaProducer uses."""
_NO_LEADER: Final = -1
"""What metadata say of a partition whose brokers are all away."""


class Producer:
    """Sends records; one a process.

    Idempotent: the broker drops what a retry repeats and refuses what comes behind a
    gap, so the records of a partition arrive in the order of `send`, or not at all.

    Args:
        settings: where and how.
        before_write: called right before each produce request goes to the socket; what
            it raises keeps the request from being sent.
        bell: rung for each record that the broker has acknowledged.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        client_id: str,
        before_write: Callable[[], None] | None = None,
        bell: Bell | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = client_id
        self._before_write = before_write
        self._bell = bell
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect. Raises aiokafka.errors.KafkaConnectionError, Misconfigured."""
        producer = clients.producer(
            self._settings.kafka,
            client_id=self._client_id,
            linger_ms=int(self._settings.kafka.linger * 1000),
            max_request_size=MAX_DEAD_LETTER_BYTES,
            max_batch_size=256 * 1024,
        )
        if self._before_write is not None:
            before_produce_requests(producer, self._before_write)
        await clients.start(self._settings.kafka, producer)
        self._producer = producer

    async def stop(self) -> None:
        """Deliver what is buffered, then disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def partition_of(self, topic: str, key: bytes) -> int | None:
        """Where records of this key go; None before the topic's metadata is known."""
        known = self._cluster.partitions_for_topic(physical(self._settings, topic))
        return _PARTITIONER(key, list(known), ()) if known else None

    def has_leader(self, topic: str, partition: int) -> bool:
        """Whether some broker takes records of this partition, as far as is known."""
        place = TopicPartition(physical(self._settings, topic), partition)
        return bool(self._cluster.leader_for_partition(place) != _NO_LEADER)

    def look_again(self) -> None:
        """Ask the brokers who leads what; the answer comes in the background."""
        if self._producer is not None:
            self._producer.client.force_metadata_update()

    @property
    def _cluster(self) -> ClusterMetadata:
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        return self._producer.client.cluster

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> asyncio.Future[Any]:
        """Buffer one record for the topic of this logical name.

        Returns:
            A future, done with the record's metadata when all in-sync replicas have it.

        Raises:
            aiokafka.errors.KafkaError: it could not be buffered within the timeout.
            RuntimeError: the producer is not started.
        """
        if self._producer is None:
            raise RuntimeError("the producer is not started")
        future: asyncio.Future[Any] = await self._producer.send(
            physical(self._settings, topic),
            value=value,
            key=key,
            partition=partition,
            headers=list(headers.items()) if headers else None,
        )
        if self._bell is not None and self._bell.wakes(topic):
            future.add_done_callback(partial(self._delivered, self._bell, topic))
        return future

    @staticmethod
    def _delivered(bell: Bell, topic: str, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            bell.ring(topic)

    async def flush(self) -> None:
        """Wait until everything that was sent is delivered or failed."""
        if self._producer is not None:
            await self._producer.flush()
