"""A producer that comes back by itself."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from agents.topics import CHAT
from app.admin import create_topics
from app.gateway.eventlog import EventLog, Unavailable
from app.lanes import Lanes
from app.settings import Settings
from app.topics import physical
from tests.app.gateway.edge import records

pytestmark = pytest.mark.services


async def append(log: EventLog, value: bytes) -> None:
    await (await log.append(CHAT, key=b"ada", value=value, headers={}))


async def test_after_a_record_that_the_broker_refuses_the_next_ones_go_through(
    settings: Settings,
):
    # Given a topic that takes small records only
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    small = {"max.message.bytes": "1000"}
    await admin.create_topics(
        [NewTopic(physical(settings, CHAT), settings.kafka.partitions, 1, topic_configs=small)]
    )
    await admin.close()
    await create_topics(settings)
    log = EventLog(settings)
    await log.open()
    try:
        await append(log, b"1")
        # When one is too large for it
        with pytest.raises(KafkaError):
            await append(log, b"x" * 5_000)
        # Then the next ones are taken, once a new producer is there
        async with asyncio.timeout(20):
            for value in (b"2", b"3"):
                while True:
                    try:
                        await append(log, value)
                        break
                    except (Unavailable, KafkaError):
                        await asyncio.sleep(0.05)
    finally:
        await log.close(5)
    assert [one.value for one in await records(settings, CHAT, 3)] == [b"1", b"2", b"3"]


async def test_lanes_keep_the_order_of_asking_and_do_not_wait_for_each_other():
    lanes, order = Lanes(), []
    gate = asyncio.Event()

    async def walk(key: str, number: int) -> None:
        async with lanes.turn(key):
            if key == "slow":
                await gate.wait()
            order.append((key, number))

    tasks = [asyncio.create_task(walk(key, n)) for n in range(3) for key in ("slow", "quick")]
    await asyncio.wait(tasks[1::2])
    assert order == [("quick", 0), ("quick", 1), ("quick", 2)]
    tasks[2].cancel()
    gate.set()
    await asyncio.wait(tasks)
    assert order[3:] == [("slow", 0), ("slow", 2)]
    assert len(lanes) == 0
