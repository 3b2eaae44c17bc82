"""The transport on a real broker: what it asks for, and what the lease hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from agents.runtime.topics import CHAT
from app.kafka.quirks import Quirks
from app.kafka.topics import physical
from app.settings import Settings
from app.worker.lease import Lease
from app.worker.transport import LeasedTransport
from tests.topics import eventually

pytestmark = pytest.mark.services


def transport(settings: Settings, lease: Lease, quirks: Quirks) -> LeasedTransport:
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
    kafka = settings.kafka.model_copy(update={"fetch_wait": 0.25})
    return LeasedTransport(
        app.conf.broker_consumer, app=app, lease=lease, kafka=kafka, quirks=quirks
    )


@asynccontextmanager
async def consuming(settings: Settings, lease: Lease, quirks: Quirks) -> AsyncIterator:
    """A consumer as the thread has it: built, started, told to the transport, subscribed."""
    leased = transport(settings, lease, quirks)
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
    [(Quirks(), False), (Quirks(0.008, 0.5, generation_runs_ahead=True), True)],
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
