"""SIGTERM ends a worker by itself, with code 0, whatever it is doing or waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from agents.runtime import envelope
from agents.runtime.topics import INTERACTIONS, USER_STATE
from app.kafka.topics import physical
from app.local.embedded import free_port
from app.settings import Settings
from schemas.base import new_event_id, now_ms
from schemas.topics.interactions import Interaction, InteractionsReceived
from tests.crash.fleet import fast
from tests.servers import Services
from tests.workers import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


async def stops(worker: WorkerProcess) -> None:
    """By itself: nobody sends SIGKILL, and `ended` waits no longer than a cluster would."""
    assert await worker.stop() == 0, worker.tail()


async def until_logged(worker: WorkerProcess, words: str) -> None:
    async with asyncio.timeout(60):
        while words not in worker.tail(400):
            assert worker.exit_code is None, worker.tail()
            await asyncio.sleep(0.05)


async def until_status(worker: WorkerProcess, fits: Callable[[dict[str, Any]], bool]) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(60):
        while True:
            assert worker.exit_code is None, worker.tail()
            try:
                if fits((await client.get(f"http://127.0.0.1:{worker.port}/healthz")).json()):
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)


def a_worker(role: str, settings: Settings, log: Path, **options: Any) -> WorkerProcess:
    worker = WorkerProcess(role, settings, log, **options)
    worker.spawn()
    return worker


def elsewhere(settings: Settings, port: int) -> Settings:
    kafka = settings.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{port}"})
    return settings.model_copy(update={"kafka": kafka})


async def send(settings: Settings, topic: str, value: bytes, headers: Any = ()) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(
            physical(settings, topic), key=b"ada", value=value, headers=list(headers)
        )
    finally:
        await producer.stop()


async def send_interactions(settings: Settings) -> None:
    batch = InteractionsReceived(
        event_id=new_event_id(),
        user_id="ada",
        event_time=now_ms(),
        ingest_time=now_ms(),
        interactions=(Interaction(timestamp=now_ms(), interaction_type="click"),),
    )
    await send(
        settings, INTERACTIONS, batch.json_bytes(), envelope.headers(InteractionsReceived).items()
    )


async def test_while_the_broker_is_away(settings: Settings, tmp_path: Path):
    worker = a_worker("push", elsewhere(settings, free_port("127.0.0.1")), tmp_path / "log")
    await until_logged(worker, "worker.waiting_for_broker")
    await stops(worker)


async def test_while_the_broker_takes_connections_and_says_nothing(
    settings: Settings, tmp_path: Path
):
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        worker = a_worker("push", elsewhere(settings, port), tmp_path / "log")
        async with asyncio.timeout(60):
            await asked.wait()
        await stops(worker)


async def test_while_the_group_has_given_it_no_partitions(topics: Settings, tmp_path: Path):
    # Given a group that waits for a member that died without a name
    settings = fast(topics)
    async with WorkerProcess("push", settings, tmp_path / "first") as first:
        first.kill()
        worker = a_worker("push", settings, tmp_path / "log")
        await until_status(worker, lambda beat: beat["detail"] == "waiting for partitions")
        await stops(worker)


async def test_while_the_group_divides_itself_anew(
    topics: Settings, services: Services, tmp_path: Path
):
    if type(services.kafka).__name__ == "Broker":
        pytest.skip("the embedded broker is for one worker of a role")
    settings = fast(topics)
    async with (
        WorkerProcess("learner", settings, tmp_path / "first") as first,
        WorkerProcess("learner", settings, tmp_path / "second") as second,
    ):
        # Given a member that has stopped, so that the group waits for it as a third one comes
        second.pause()
        before = first.tail(10_000).count("rebalanc")
        third = a_worker("learner", settings, tmp_path / "third")
        await until_status(third, lambda beat: beat["detail"] == "waiting for partitions")
        async with asyncio.timeout(60):
            while first.tail(10_000).count("rebalanc") == before:
                await asyncio.sleep(0.05)
        await stops(first)
        await stops(third)


async def test_while_a_table_is_recovered_and_an_event_waits_for_it(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLOW_STEP", "recovery")
    await send_interactions(topics)
    worker = a_worker("learner", topics, tmp_path / "log", module="tests.slow_worker")
    await until_status(worker, lambda beat: beat["state"] == "recovering" and beat["lag"] == 1)
    await stops(worker)
    # Without being cut off: the recovery is given up, and the rest ends in order
    assert "stopped_early" not in worker.tail()


async def test_while_it_waits_for_a_store(topics: Settings, tmp_path: Path):
    redis = topics.redis.model_copy(update={"url": f"redis://127.0.0.1:{free_port('127.0.0.1')}"})
    worker = a_worker("push", topics.model_copy(update={"redis": redis}), tmp_path / "log")
    await send(topics, USER_STATE, b"{}")
    await send_interactions(topics)
    learner = a_worker("learner", topics, tmp_path / "learner")
    await until_status(worker, lambda beat: "redis" in beat["detail"])
    await stops(worker)
    await stops(learner)


async def test_while_the_emotion_model_loads(topics: Settings, tmp_path: Path):
    worker = a_worker("emotion", topics, tmp_path / "log")
    await until_status(worker, lambda beat: beat["state"] == "starting")
    await stops(worker)


@pytest.mark.parametrize("step", ["import", "revoking"])
async def test_while_something_never_ends(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    """Blocks the event loop, or waits without a limit: `worker.shutdown_timeout` is the limit."""
    monkeypatch.setenv("SLOW_STEP", step)
    short = topics.worker.model_copy(update={"shutdown_timeout": 2.0})
    settings = topics.model_copy(update={"worker": short})
    worker = a_worker("learner", settings, tmp_path / "log", module="tests.slow_worker")
    if step == "import":
        await until_logged(worker, "it never ends")
    else:
        await worker.ready()
    await stops(worker)
    assert "not done within 2 s" in worker.tail()
