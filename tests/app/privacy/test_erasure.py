"""Erasing a learner from a running chain, and from one whose workers are down."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

from agents.runtime.topics import CHAT, RECOMMENDATIONS, USER_STATE
from app.kafka.producer import Producer
from app.kafka.topics import physical
from app.local.environment import child_environment
from app.mongo.history import HistoryStore
from app.privacy import erasure
from app.privacy.erasure import forget
from app.process.errors import Unavailable
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from app.worker.role import erasing_roles
from schemas.base import now_ms
from tests.agents.records import message
from tests.servers import Services

pytestmark = pytest.mark.services

USER = "ada {1}"


@asynccontextmanager
async def worker(settings: Settings, role: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "worker", role, env=child_environment(settings)
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def produce(settings: Settings, *, ingest_time: int, n: int) -> None:
    async with Producer(settings, client_id="test") as producer:
        for user in (USER, "bob"):
            for topic in (CHAT, USER_STATE, RECOMMENDATIONS):
                sent = message(topic, user, n, ingestTime=ingest_time)
                await producer.send(topic, key=user.encode(), value=sent.json_bytes())
        await producer.flush()


async def last_value(settings: Settings, topic: str, key: bytes) -> bytes | None:
    """The value that compaction leaves of a key."""
    consumer = AIOKafkaConsumer(
        physical(settings, topic),
        bootstrap_servers=settings.kafka.bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    found: bytes | None = b"absent"
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key == key:
                        found = record.value
    finally:
        await consumer.stop()
    return found


@pytest.fixture
async def push_log(settings: Settings) -> AsyncIterator[PushLog]:
    async with connect(settings.redis, "push") as client:
        yield PushLog(client, settings.redis)


@pytest.fixture
async def history(settings: Settings) -> AsyncIterator[HistoryStore]:
    store = HistoryStore(settings.mongo)
    yield store
    await store.close()


async def test_a_learner_is_erased_everywhere_while_the_workers_run(
    topics: Settings, push_log: PushLog, history: HistoryStore
) -> None:
    settings = topics
    async with AsyncExitStack() as stack, AsyncExitStack() as reading:
        for role in erasing_roles():
            its = reading if role == "emotion" else stack
            await its.enter_async_context(worker(settings, role))
        before = now_ms() - 1
        await produce(settings, ingest_time=before, n=1)
        async with asyncio.timeout(60):
            while await history.profile(USER) is None or (await push_log.head(USER)).offset < 2:
                await asyncio.sleep(0.1)

        report = await forget(settings, USER, requested_by="test", within=60)

        assert report.complete, str(report)
        # Else it would make states of its own of the messages below, beside those given.
        await reading.aclose()
        # What was ingested before and comes late does not come back; what came after counts.
        await produce(settings, ingest_time=before, n=2)
        await produce(settings, ingest_time=report.erased_at + 1, n=3)
        await only_the_new_life_is_left(settings, push_log, history)


async def only_the_new_life_is_left(
    settings: Settings, push_log: PushLog, history: HistoryStore
) -> None:
    """Event 3 is behind all others in every partition: once it is there, so are they."""
    async with AsyncMongoClient(settings.mongo.url) as client, asyncio.timeout(60):
        database = client[settings.mongo.database]
        for name in ("messages", "state_history", "recommendations"):
            while not await database[name].count_documents({"userId": USER, "version": 3}):
                if await database[name].count_documents({"userId": USER, "text": "text 3"}):
                    break
                await asyncio.sleep(0.1)
            assert await database[name].count_documents({"userId": USER}) == 1, name
            # Of states within a minute the newest is kept.
            others = 1 if name == "state_history" else 2
            while await database[name].count_documents({"userId": "bob"}) < others:
                await asyncio.sleep(0.1)
        audit = await database.erasures.find().to_list()
        assert {request["userId"] for request in audit} == {USER}
        while (await push_log.head(USER)).offset < 2:
            await asyncio.sleep(0.1)
    state = await history.profile(USER)
    latest = await push_log.latest(USER)
    assert state is not None
    assert latest.user_state is not None
    assert (latest.offset, latest.user_state["version"], state["version"]) == (2, 3, 3)


async def test_without_workers_the_stores_are_emptied_and_the_report_says_who_lags(
    topics: Settings, push_log: PushLog, history: HistoryStore
) -> None:
    settings = topics
    await produce(settings, ingest_time=now_ms() - 1, n=1)
    report = await forget(settings, USER, within=0.1)
    assert not report.complete
    assert report.stores == {"redis": None, "mongo": None}
    assert report.passed == dict.fromkeys(erasing_roles(), False)
    assert await last_value(settings, USER_STATE, USER.encode()) is None
    assert await last_value(settings, USER_STATE, b"bob") not in (None, b"absent")
    days = {one.topic: one.days for one in report.remaining}
    assert days["chat-messages"] == settings.kafka.chat_days
    assert "user-state" not in days
    assert "NOT YET" in str(report)
    # When the sinks come up, what stood in the topics before stays out.
    await produce(settings, ingest_time=report.erased_at + 1, n=3)
    async with worker(settings, "push"), worker(settings, "history"):
        await only_the_new_life_is_left(settings, push_log, history)


async def test_without_kafka_nothing_is_erased(settings: Settings, push_log: PushLog) -> None:
    kafka = settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1", "request_timeout": 1.0})
    before = await push_log.head(USER)
    with pytest.raises(Unavailable, match=r"Kafka does not answer at 127\.0\.0\.1:1"):
        await forget(settings.model_copy(update={"kafka": kafka}), USER)
    assert await push_log.head(USER) == before


@pytest.mark.outage
async def test_a_tombstone_that_kafka_does_not_take_holds_nobody_up(
    topics: Settings, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a broker that goes away between the request and the tombstone."""
    kafka = topics.kafka.model_copy(update={"request_timeout": 2.0})
    settings = topics.model_copy(update={"kafka": kafka})
    send = erasure._send_tombstone

    async def without_kafka(*args: Any) -> None:
        await services.kafka.stop()
        await send(*args)

    monkeypatch.setattr(erasure, "_send_tombstone", without_kafka)
    try:
        report = await asyncio.wait_for(forget(settings, USER, within=4), 60)
    finally:
        await services.kafka.start()
    assert report.trouble == "TimeoutError"
    assert report.stores == {"redis": None, "mongo": None}


@pytest.mark.outage
async def test_a_kafka_that_fails_behind_the_request_does_not_hide_what_was_done(
    topics: Settings, push_log: PushLog, history: HistoryStore, services: Services
) -> None:
    """Given a broker that goes away while `forget` waits for the workers."""
    kafka = topics.kafka.model_copy(update={"request_timeout": 2.0})
    settings = topics.model_copy(update={"kafka": kafka})
    before = await push_log.head(USER)
    forgetting = asyncio.create_task(forget(settings, USER, within=4))
    try:
        async with asyncio.timeout(20):
            while (await push_log.head(USER)).epoch == before.epoch:
                await asyncio.sleep(0.02)
        await services.kafka.stop()
        report = await asyncio.wait_for(forgetting, 60)
    finally:
        forgetting.cancel()
        await services.kafka.start()
    # Then the report says what was done here, and that the request stands
    assert report.stores == {"redis": None, "mongo": None}
    assert report.trouble is not None
    assert not report.complete
    assert "The request stands" in str(report)
    assert await history.erased_at({USER}) == {USER: report.erased_at}
