"""A producer that comes back by itself."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError, LeaderNotAvailableError
from aiokafka.partitioner import DefaultPartitioner

from agents.runtime.topics import CHAT
from app.gateway.intake.event_log import EventLog, EventLogUnavailable
from app.kafka.admin import create_topics
from app.kafka.producer import Producer
from app.kafka.topics import physical
from app.process.concurrency import KeyedLock
from app.settings import Settings
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
                    except (EventLogUnavailable, KafkaError):
                        await asyncio.sleep(0.05)
    finally:
        await log.close(5)
    assert [one.value for one in await records(settings, CHAT, 3)] == [b"1", b"2", b"3"]


def keys_of_two_partitions(settings: Settings) -> tuple[bytes, int, bytes]:
    """A key with its partition, and a key of another partition."""
    places = {}
    for n in range(100):
        key = b"user-%d" % n
        place = DefaultPartitioner()(key, list(range(settings.kafka.partitions)), ())
        places.setdefault(place, key)
    (lost, key), (_, other) = list(places.items())[:2]
    return key, lost, other


class Leaders:
    """What the brokers say of who leads; all else is the real broker's word."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, topic: str, partition: int) -> None:
        self.away = False
        told = ClusterMetadata.update_metadata

        def update(cluster: ClusterMetadata, metadata: object) -> None:
            told(cluster, metadata)
            known = cluster._partitions.get(topic, {})
            if self.away and partition in known:
                known[partition] = known[partition]._replace(leader=-1)

        monkeypatch.setattr(ClusterMetadata, "update_metadata", update)


async def test_a_partition_without_a_leader_costs_its_own_learners_only(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = topics.model_copy(
        update={"kafka": topics.kafka.model_copy(update={"request_timeout": 2.0})}
    )
    key, lost, other = keys_of_two_partitions(settings)
    leaders = Leaders(monkeypatch, physical(settings, CHAT), lost)
    log = EventLog(settings)
    await log.open()

    async def sent(key: bytes, value: bytes) -> None:
        await (await log.append(CHAT, key=key, value=value, headers={}))

    try:
        await sent(key, b"1")
        await sent(other, b"1")
        producer = log._producer
        assert producer is not None
        # When the brokers of its partition go away, with a record on its way
        leaders.away = True
        await producer._producer.client.force_metadata_update()
        waiting = await producer.send(CHAT, key=key, value=b"x", partition=lost)
        waiting.add_done_callback(lambda done: log._delivered(producer, (CHAT, lost), done))
        # Then the others go on through the same producer, before and after it has failed
        began = time.monotonic()
        while not waiting.done():
            await asyncio.wait_for(sent(other, b"2"), 1)
            await asyncio.sleep(0.05)
        assert isinstance(waiting.exception(), LeaderNotAvailableError)
        await asyncio.wait_for(sent(other, b"3"), 1)
        assert time.monotonic() - began < 15
        with pytest.raises(
            EventLogUnavailable, match=f"partition {lost} of chat-messages has no leader"
        ):
            await sent(key, b"refused")
        assert log._producer is producer
        assert log.trouble is None
        # And when they are back, so are its learners
        leaders.away = False
        async with asyncio.timeout(15):
            while True:
                try:
                    await sent(key, b"4")
                    break
                except EventLogUnavailable:
                    await asyncio.sleep(0.1)
        await sent(other, b"5")
    finally:
        await log.close(5)
    values = [one.value for one in await records(settings, CHAT, 5)]
    assert b"x" not in values
    assert b"4" in values


async def test_an_error_that_nobody_expected_does_not_end_connecting(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a fault at the first attempt, Then it is logged, and the next attempt is made."""
    real, tries = Producer.start, 0

    async def start(self: Producer) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise AssertionError("a fault in a library")
        await real(self)

    monkeypatch.setattr(Producer, "start", start)
    log = EventLog(topics)
    try:
        await asyncio.wait_for(log.open(), 10)
        assert log.trouble == "a fault in a library"
        async with asyncio.timeout(10):
            while log.trouble is not None:
                await asyncio.sleep(0.05)
        await append(log, b"1")
    finally:
        await log.close(5)


async def test_lanes_keep_the_order_of_asking_and_do_not_wait_for_each_other():
    lanes, order = KeyedLock(), []
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
