"""Kafka as the gateway sees it: append a record, know when every replica has it.

Errors:
    EventLogUnavailable    Kafka does not take records at the moment
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
)

from agents.runtime.topics import CHAT, FEEDBACK, INTERACTIONS
from app.gateway.process import metrics
from app.kafka.admin import list_topics
from app.kafka.producer import Producer
from app.process.errors import OperatorError
from app.settings import Settings

TOPICS: Final = (INTERACTIONS, CHAT, FEEDBACK)

_BACKOFF_START: Final = 0.2
_BACKOFF_CAP: Final = 5.0
_LOOK_AGAIN: Final = 1.0
"""Seconds between two questions whether a partition has a leader again."""

log = structlog.get_logger(__name__)


class EventLogUnavailable(Exception):
    """Kafka does not take records at the moment."""


_Place = tuple[str, int | None]
"""A topic by its logical name, and a partition; None: not yet known."""
_EXPECTED: Final = (KafkaError, OperatorError, EventLogUnavailable, OSError)


class EventLog:
    """A producer that comes back by itself, behind a bounded count of unacknowledged records.

    aiokafka's idempotent producer cannot go on after a batch has failed for good: the
    sequence numbers of its partition have a hole, and the broker refuses all that
    follows. So a failure discards the producer; a new one has numbers of its own.

    A partition without a leader (its brokers are away) is refused by itself: its learners
    get EventLogUnavailable, and the others go on. Records that were waiting for its leader
    fail after `kafka.request_timeout` and leave a hole in that partition alone, so the producer
    is discarded only when the leader is back.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limit = settings.kafka.max_buffered
        self._producer: Producer | None = None
        self._discarded: Producer | None = None
        self._holes: set[_Place] = set()
        self._looked_at = -math.inf
        self._broken = asyncio.Event()
        self._tried = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.held = 0
        """Records that Kafka has not yet acknowledged."""
        self.trouble: str | None = "connecting"
        """Why it cannot take records; None when it can."""

    async def open(self) -> None:
        """Begin connecting; returns after the first attempt, whatever came of it."""
        self._keeper = asyncio.create_task(self._keep(), name="eventlog")
        await self._tried.wait()

    async def close(self, within: float) -> None:
        """Deliver what is held, at most `within` seconds, then disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        producer, self._producer = self._producer, None
        self.trouble = "closed"
        if producer is not None:
            await _stop(producer, within)

    @property
    def full(self) -> bool:
        """Whether no more records may be held."""
        return self.held >= self._limit

    def hold(self) -> None:
        """Count one record in. The caller has asked `full` in the same step."""
        self.held += 1
        metrics.PRODUCE_HELD.set(self.held)

    def release(self) -> None:
        """Count one record out."""
        self.held -= 1
        metrics.PRODUCE_HELD.set(self.held)

    async def append(
        self, topic: str, *, key: bytes, value: bytes, headers: Mapping[str, bytes]
    ) -> asyncio.Future[Any]:
        """Buffer one record for the topic of this logical name.

        Returns:
            A future, done when all in-sync replicas have the record.

        Raises:
            EventLogUnavailable: it is certain that the record is not buffered.
        """
        producer = self._producer
        if producer is None:
            raise EventLogUnavailable(self.trouble or "not connected")
        place = self._place(producer, topic, key)
        try:
            delivery = await producer.send(
                topic, key=key, value=value, partition=place[1], headers=headers
            )
        except (MessageSizeTooLargeError, KafkaTimeoutError) as error:
            raise EventLogUnavailable(type(error).__name__) from error
        except (KafkaError, OSError, RuntimeError) as error:
            self._failed(producer, error)
            raise EventLogUnavailable(type(error).__name__) from error
        delivery.add_done_callback(lambda done: self._delivered(producer, place, done))
        return delivery

    def _place(self, producer: Producer, topic: str, key: bytes) -> _Place:
        """Topic and partition of a key. Raises EventLogUnavailable while nobody leads it."""
        partition = producer.partition_of(topic, key)
        if partition is None:
            return topic, None  # the first record of a topic: the producer asks before it sends
        if not producer.has_leader(topic, partition):
            self._look_again(producer)
            raise EventLogUnavailable(f"partition {partition} of {topic} has no leader")
        if (topic, partition) in self._holes:
            self._failed(
                producer, EventLogUnavailable(f"partition {partition} of {topic} is led again")
            )
            raise EventLogUnavailable("connecting anew")
        return topic, partition

    def _look_again(self, producer: Producer) -> None:
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN:
            self._looked_at = now
            producer.look_again()

    def _delivered(self, producer: Producer, place: _Place, delivery: asyncio.Future[Any]) -> None:
        if delivery.cancelled() or (error := delivery.exception()) is None:
            return
        metrics.PRODUCE_FAILED.inc()
        leaderless = isinstance(error, LeaderNotAvailableError | NotLeaderForPartitionError)
        if not leaderless or place[1] is None:
            self._failed(producer, error)
        elif producer is self._producer and place not in self._holes:
            # It was never sent: the other partitions' numbers are whole.
            self._holes.add(place)
            log.error("event_log.partition_lost", topic=place[0], partition=place[1])

    def _failed(self, producer: Producer, error: BaseException) -> None:
        if producer is self._producer:
            log.error("event_log.producer_discarded", error=repr(error))
            self._producer = None
            self.trouble = f"the last producer failed: {type(error).__name__}"
            self._discarded = producer
            self._holes.clear()
            self._broken.set()

    async def _keep(self) -> None:
        backoff = _BACKOFF_START
        while True:
            try:
                self._producer = await self._connect()
            except Exception as error:
                # Whatever it is: without this task nobody would ever connect again.
                if not isinstance(error, _EXPECTED):
                    log.exception("event_log.connect_failed", action="retrying")
                self._told(str(error) or type(error).__name__)
                self._tried.set()
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _BACKOFF_CAP)
                continue
            backoff = _BACKOFF_START
            self.trouble = None
            self._tried.set()
            await self._broken.wait()
            self._broken.clear()
            if self._discarded is not None:
                await _stop(self._discarded, self._settings.gateway.shutdown_timeout)
                self._discarded = None

    async def _connect(self) -> Producer:
        # Ask first: a produce to a missing topic may create it with one partition.
        missing = [t.physical for t in await list_topics(self._settings) if not t.partitions]
        if missing:
            raise EventLogUnavailable(f"no topic {', '.join(missing)}; run `masterx topics create`")
        producer = Producer(self._settings, client_id="masterx-gateway")
        async with asyncio.timeout(self._settings.kafka.request_timeout):
            await producer.start()
        return producer

    def _told(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("event_log.kafka_unavailable", reason=trouble)
        self.trouble = trouble


async def _stop(producer: Producer, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await producer.stop()
    except Exception as error:
        # What was not delivered was not acknowledged to any client either.
        log.warning("event_log.undelivered", error=type(error).__name__)
