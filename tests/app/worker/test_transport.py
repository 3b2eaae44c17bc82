"""The transport on a real broker: what it asks for, and what the lease hears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from agents.runtime.topics import CHAT
from app.kafka.quirks import FetchPace, FetchPause, Quirks
from app.kafka.topics import physical
from app.settings import Settings
from app.worker.faust_seams import Send
from app.worker.lease import Lease
from app.worker.transport import LeasedTransport
from tests.topics import eventually, produce

pytestmark = pytest.mark.services


WAIT = 0.25
PAUSE = 0.05


def transport(
    settings: Settings, lease: Lease, quirks: Quirks, pace: FetchPace | None = None
) -> LeasedTransport:
    app = faust.App(
        settings.worker.group_prefix,
        broker=f"kafka://{settings.kafka.bootstrap}",
        broker_session_timeout=6.0,
        broker_heartbeat_interval=0.2,
        broker_rebalance_timeout=4.0,
        broker_max_poll_interval=300.0,
        autodiscover=False,
        web_enabled=False,
    )
    kafka = settings.kafka.model_copy(update={"fetch_wait": WAIT})
    return LeasedTransport(
        app.conf.broker_consumer,
        app=app,
        lease=lease,
        kafka=kafka,
        quirks=quirks,
        pace=pace or FetchPace(FetchPause(PAUSE, PAUSE), WAIT),
    )


@asynccontextmanager
async def consuming(
    settings: Settings, lease: Lease, quirks: Quirks, pace: FetchPace | None = None
) -> AsyncIterator:
    """A consumer as the thread has it: built, started, told to the transport, subscribed."""
    leased = transport(settings, lease, quirks, pace)
    consumer: AIOKafkaConsumer = leased.build_consumer(leased.app.conf)
    await consumer.start()
    try:
        leased.consumer_started(consumer)
        consumer.subscribe([physical(settings, CHAT)])
        yield consumer
    finally:
        await consumer.stop()


def a_lease(lost: list[str]) -> Lease:
    return Lease(6.0, lost.append)


async def valid(lease: Lease) -> bool:
    return lease.valid


async def test_the_lease_is_renewed_by_what_the_group_answers(topics: Settings) -> None:
    lost: list[str] = []
    lease = a_lease(lost)
    assert not lease.valid
    async with consuming(topics, lease, Quirks()):
        await eventually(lambda: valid(lease), bool)
    assert lost == []


async def test_what_faust_has_no_setting_for(topics: Settings) -> None:
    leased = transport(topics, a_lease([]), Quirks())
    consumer = leased.build_consumer(leased.app.conf)
    try:
        assert consumer._fetch_max_wait_ms == 250
        assert consumer._partition_assignment_strategy == [RangePartitionAssignor]
        assert not consumer._enable_auto_commit
    finally:
        await consumer.stop()


@pytest.mark.parametrize(
    ("quirks", "paced"),
    [(Quirks(), False), (Quirks(empty_fetches_return_at_once=True), True)],
)
async def test_without_quirks_requests_go_as_aiokafka_sends_them(
    topics: Settings, quirks: Quirks, paced: bool
) -> None:
    async with consuming(topics, a_lease([]), quirks) as consumer:
        own = getattr(consumer._client.send, "__func__", None) is AIOKafkaClient.send
        assert own is not paced
        async with asyncio.timeout(30):
            while not consumer.assignment():
                await asyncio.sleep(0.05)


class CountedPace(FetchPace):
    """Counts the fetches that were sent."""

    def __init__(self, pause: FetchPause) -> None:
        super().__init__(pause, WAIT)
        self.fetches = 0

    async def step(self, request: Any, send: Send) -> Any:
        async def counted(one: Any) -> Any:
            self.fetches += type(one).__name__ == "FetchRequest"
            return await send(one)

        return await super().step(request, counted)


@pytest.mark.parametrize("pause", [0.02, 0.1])
async def test_an_idle_consumer_asks_as_often_as_its_pause_allows(
    topics: Settings, pause: float
) -> None:
    """The embedded broker answers at once, and we wait; Kafka waits for us."""
    pace = CountedPace(FetchPause(pause, pause))
    quirks = Quirks(empty_fetches_return_at_once=True)
    async with consuming(topics, a_lease([]), quirks, pace) as consumer:
        await eventually(lambda: asyncio.sleep(0, pace.fetches), lambda sent: sent > 1)
        began, before = time.monotonic(), pace.fetches
        await asyncio.sleep(1.5)
        asked, seconds = pace.fetches - before, time.monotonic() - began
        assert 1 <= asked <= seconds / pause + 2
        # What comes is there after the pause, and not after the next record
        await produce(topics, CHAT, [("ada", b"{}")])
        async with asyncio.timeout(30):
            assert (await consumer.getone()).value == b"{}"
