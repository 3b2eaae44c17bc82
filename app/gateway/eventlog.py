"""Kafka as the gateway sees it: append a record, know when every replica has it.

Errors:
    Unavailable    Kafka does not take records at the moment
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from agents.topics import CHAT, FEEDBACK, INTERACTIONS
from app.admin import list_topics
from app.gateway import metrics
from app.probes import Unavailable as ServiceUnavailable
from app.producer import Producer
from app.settings import Settings

TOPICS: Final = (INTERACTIONS, CHAT, FEEDBACK)

_BACKOFF_START: Final = 0.2
_BACKOFF_CAP: Final = 5.0

log = structlog.get_logger(__name__)


class Unavailable(Exception):
    """Kafka does not take records at the moment."""


class EventLog:
    """A producer that comes back by itself, behind a bounded count of unacknowledged records.

    aiokafka's idempotent producer cannot go on after a batch has failed for good: the
    sequence numbers of its partition have a hole, and the broker refuses all that
    follows. So a failure discards the producer; a new one has numbers of its own.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limit = settings.kafka.max_buffered
        self._producer: Producer | None = None
        self._discarded: Producer | None = None
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
            Unavailable: it is certain that the record is not buffered.
        """
        producer = self._producer
        if producer is None:
            raise Unavailable(self.trouble or "not connected")
        try:
            delivery = await producer.send(topic, key=key, value=value, headers=headers)
        except (MessageSizeTooLargeError, KafkaTimeoutError) as error:
            raise Unavailable(type(error).__name__) from error
        except (KafkaError, OSError, RuntimeError) as error:
            self._failed(producer, error)
            raise Unavailable(type(error).__name__) from error
        delivery.add_done_callback(lambda done: self._delivered(producer, done))
        return delivery

    def _delivered(self, producer: Producer, delivery: asyncio.Future[Any]) -> None:
        if not delivery.cancelled() and (error := delivery.exception()) is not None:
            metrics.PRODUCE_FAILED.inc()
            self._failed(producer, error)

    def _failed(self, producer: Producer, error: BaseException) -> None:
        if producer is self._producer:
            log.error("producer_discarded", error=repr(error))
            self._producer = None
            self.trouble = f"the last producer failed: {type(error).__name__}"
            self._discarded = producer
            self._broken.set()

    async def _keep(self) -> None:
        backoff = _BACKOFF_START
        while True:
            try:
                self._producer = await self._connect()
            except (KafkaError, ServiceUnavailable, Unavailable, OSError, TimeoutError) as error:
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
            raise Unavailable(f"no topic {', '.join(missing)}; run `masterx topics create`")
        producer = Producer(self._settings, client_id="masterx-gateway")
        async with asyncio.timeout(self._settings.kafka.request_timeout):
            await producer.start()
        return producer

    def _told(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("kafka_unavailable", reason=trouble)
        self.trouble = trouble


async def _stop(producer: Producer, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await producer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        # What was not delivered was not acknowledged to any client either.
        log.warning("producer_stopped_undelivered", error=type(error).__name__)
