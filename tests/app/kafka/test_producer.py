"""The producer against a real broker: order, and the fence before each write."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaError

from agents.runtime.topics import FEEDBACK, INTERACTIONS
from app.kafka.producer import Producer
from app.kafka.quirks import Bell, FetchPace, FetchPause
from app.settings import Settings
from tests.topics import read_all

pytestmark = pytest.mark.services


async def test_records_arrive_in_the_order_of_sending(topics: Settings):
    async with Producer(topics, client_id="test") as producer:
        for number in range(200):
            await producer.send(INTERACTIONS, key=b"ada", value=b"%d" % number)
        await producer.flush()
    values = [record.value for record in await read_all(topics, INTERACTIONS)]
    assert values == [b"%d" % number for number in range(200)]


async def test_the_check_runs_before_every_write_and_can_stop_it(topics: Settings):
    """Fails should the private seam of aiokafka that the fence hangs on have moved."""
    allowed = True
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if not allowed:
            raise PermissionError("the lease is gone")

    producer = Producer(topics, client_id="test", before_write=check)
    await producer.start()
    try:
        await (await producer.send(INTERACTIONS, key=b"ada", value=b"before"))
        assert checks >= 1  # Kafka may ask for a second try of the very first one
        allowed = False
        refused = await producer.send(INTERACTIONS, key=b"ada", value=b"after")
        with pytest.raises((PermissionError, KafkaError)):
            await asyncio.wait_for(refused, 10)
    finally:
        await producer.stop()
    assert [r.value for r in await read_all(topics, INTERACTIONS)] == [b"before"]


class HeardBell(Bell):
    """Keeps what was rung, and what the broker had by then."""

    def __init__(self) -> None:
        super().__init__()
        self.rung: list[str] = []

    def ring(self, topic: str) -> None:
        self.rung.append(topic)
        super().ring(topic)


async def test_a_bell_rings_for_what_the_broker_has_and_somebody_waits_for(topics: Settings):
    bell = HeardBell()
    bell.hang(FetchPace(FetchPause(1, 1), 1), [INTERACTIONS])
    async with Producer(topics, client_id="test", bell=bell) as producer:
        sent = await producer.send(INTERACTIONS, key=b"ada", value=b"1")
        assert bell.rung == []
        await sent
        await asyncio.sleep(0)
        assert bell.rung == [INTERACTIONS]
        await (await producer.send(FEEDBACK, key=b"ada", value=b"2"))
        await asyncio.sleep(0)
        assert bell.rung == [INTERACTIONS]


async def test_a_bell_does_not_ring_for_what_was_refused(topics: Settings):
    def check() -> None:
        raise PermissionError("the lease is gone")

    bell = HeardBell()
    bell.hang(FetchPace(FetchPause(1, 1), 1), [INTERACTIONS])
    producer = Producer(topics, client_id="test", before_write=check, bell=bell)
    await producer.start()
    try:
        refused = await producer.send(INTERACTIONS, key=b"ada", value=b"1")
        with pytest.raises((PermissionError, KafkaError)):
            await asyncio.wait_for(refused, 10)
        await asyncio.sleep(0)
    finally:
        await producer.stop()
    assert bell.rung == []


async def test_a_producer_that_is_not_started_says_so(settings: Settings):
    with pytest.raises(RuntimeError, match="not started"):
        await Producer(settings, client_id="test").send("interactions", key=b"a", value=b"b")
