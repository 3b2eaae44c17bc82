"""Lag counts what there is to acknowledge, also where a group has never committed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from agents.runtime.in_flight import InFlight
from agents.runtime.topics import ERASURES, FEEDBACK, INTERACTIONS
from app.kafka.topics import physical
from app.settings import Settings
from app.worker.health import WorkerHealth
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

RECORDS = 5


async def fill(settings: Settings, topic: str) -> None:
    """Some records on each partition, which nobody can read."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
    await producer.start()
    try:
        for partition in range(settings.kafka.partitions):
            for _ in range(RECORDS):
                await producer.send_and_wait(
                    physical(settings, topic), b"not a message", b"ada", partition
                )
    finally:
        await producer.stop()


async def empty(settings: Settings, topic: str) -> None:
    """As retention does: the log begins where it ends."""
    partitions = range(settings.kafka.partitions)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_records(
            {
                TopicPartition(physical(settings, topic), one): RecordsToDelete(RECORDS)
                for one in partitions
            }
        )
    finally:
        await admin.close()


async def lags(worker: WorkerProcess) -> dict[str, float]:
    """`masterx_lag_records` by topic and partition."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"http://127.0.0.1:{worker.port}/metrics")).text
    found = re.findall(
        r'^masterx_lag_records\{partition="(\d+)",role="\w+",topic="([^"]+)"\} (\S+)$',
        text,
        re.MULTILINE,
    )
    return {f"{topic}-{partition}": float(lag) for partition, topic, lag in found}


async def eventually(
    worker: WorkerProcess, fits: Callable[[dict[str, float]], bool]
) -> dict[str, float]:
    found: dict[str, float] = {}
    try:
        async with asyncio.timeout(40):
            while not (found and fits(found)):
                await asyncio.sleep(0.1)
                assert worker.exit_code is None, worker.tail()
                found = await lags(worker)
    except TimeoutError:
        raise AssertionError(f"lags are {found}") from None
    return found


def all_zero(found: dict[str, float]) -> bool:
    return not any(found.values())


async def test_emptied_partitions_have_none(topics: Settings, tmp_path: Path):
    # Given topics with records that retention took, before the group ever committed
    for topic in (ERASURES, FEEDBACK):
        await fill(topics, topic)
        await empty(topics, topic)
    async with WorkerProcess("learner", topics, tmp_path / "log") as worker:
        found = await eventually(worker, lambda all_: len(all_) == 4 * topics.kafka.partitions)
        assert all_zero(await eventually(worker, all_zero)), found
        # And when what there is still to read is taken away, too
        await fill(topics, INTERACTIONS)
        assert all_zero(await eventually(worker, all_zero))


async def test_a_new_group_has_what_there_is_and_then_nothing(topics: Settings, tmp_path: Path):
    """Likewise a group whose offsets have expired: it begins with the first record."""
    await fill(topics, INTERACTIONS)
    for prefix in ("one", "other"):
        worker = topics.worker.model_copy(
            update={"group_prefix": f"{topics.worker.group_prefix}-{prefix}"}
        )
        settings = topics.model_copy(update={"worker": worker})
        async with WorkerProcess("learner", settings, tmp_path / prefix) as running:
            assert all_zero(await eventually(running, all_zero))


def test_how_far_behind_is_bounded_by_what_is_known():
    """Pure arithmetic: what was appended when, and when there last was no lag."""
    window = InFlight(10, fail=lambda error: None)
    health = WorkerHealth("history", "i", Settings(), window, None)
    place, now = ("t", 0), 10_000.0
    health.lags = {place: 0}
    assert health._behind(now) == 0
    # A record that comes after a quiet day has waited no longer than since the last look.
    health.lags = {place: 1}
    assert health._behind(now + 2) == 2
    # Under a load that never ends, no longer than since the record before it.
    window._acknowledged_from[place] = now + 500
    assert health._behind(now + 503) == 3
    # Of partitions that were just assigned nobody knows, until the worker has looked into them.
    health.behind = 3.0
    health._measure_lag()
    assert health.behind is None
    # And of a backlog at the start nobody knows.
    health.lags = {("t", 1): 7}
    assert health._behind(now) == now
