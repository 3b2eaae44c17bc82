"""A worker that cannot start says why, and does not ask to be started again."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from agents.runtime.topics import INTERVENTIONS, USER_STATE
from app.kafka.producer import Producer
from app.kafka.topics import physical
from app.process.exits import Exit
from app.redis.client import connect
from app.redis.push_log import PushLog
from app.settings import Settings
from models.learner.behaviour.serving.config import BehaviourSettings
from tests.agents.records import message
from tests.app.redis.servers import ConfiguredRedis
from tests.crash.fleet import fast
from tests.topics import eventually
from tests.workers import WorkerProcess

pytestmark = pytest.mark.services


@pytest.mark.parametrize("role", ["emotion", "learner"])
async def test_a_missing_artefact_ends_a_worker_with_its_name(
    topics: Settings, tmp_path: Path, role: str
) -> None:
    missing = tmp_path / "nowhere"
    emotion = topics.emotion.model_copy(update={"artefact": missing, "promoted": None})
    behaviour = BehaviourSettings(artefact=missing)
    learner = topics.learner.model_copy(update={"behaviour": behaviour})
    settings = topics.model_copy(update={"emotion": emotion, "learner": learner})
    worker = WorkerProcess(role, settings, tmp_path / "log")

    worker.spawn()

    assert await worker.ended(60) == Exit.CONFIG
    assert str(missing) in worker.tail()
    assert "Traceback" not in worker.tail()


LATER = 3
"""A format that no artefact has yet."""


def later(shipped: Path, folder: Path) -> Path:
    """A copy of an artefact as a later version might write it."""
    shutil.copytree(shipped, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "format": LATER}))
    return folder


async def ended_with_config(role: str, settings: Settings, log: Path, named: str) -> None:
    worker = WorkerProcess(role, settings, log)
    worker.spawn()
    try:
        assert await worker.ended(100) == Exit.CONFIG
    finally:
        worker.kill()
    assert named in worker.tail()
    assert "Traceback" not in worker.tail()


async def test_an_emotion_model_of_another_format_ends_the_worker(
    topics: Settings, tmp_path: Path
) -> None:
    folder = later(topics.emotion.artefact, tmp_path / "emotion")
    emotion = topics.emotion.model_copy(update={"artefact": folder, "promoted": None})
    settings = topics.model_copy(update={"emotion": emotion})
    named = f"{folder / 'card.json'}: of format {LATER}"
    await ended_with_config("emotion", settings, tmp_path / "log", named)


@pytest.mark.parametrize("net", ["readiness", "intervention"])
async def test_a_net_of_another_format_ends_the_learner_worker(
    topics: Settings, tmp_path: Path, net: str
) -> None:
    folder = later(getattr(topics.learner.nets, net), tmp_path / net)
    nets = topics.learner.nets.model_copy(update={net: folder})
    settings = topics.model_copy(
        update={"learner": topics.learner.model_copy(update={"nets": nets})}
    )
    named = f"{folder / 'card.json'}: of format {LATER}"
    await ended_with_config("learner", settings, tmp_path / "log", named)


async def test_a_learned_policy_of_another_format_ends_the_learner_worker(
    topics: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "learned.json"
    file.write_text('{"format": 2}')
    recommending = topics.learner.recommending.model_copy(update={"learned": file})
    learner = topics.learner.model_copy(update={"recommending": recommending})
    settings = topics.model_copy(update={"learner": learner})
    await ended_with_config("learner", settings, tmp_path / "log", f"{file}: of format 2")


async def test_a_worker_that_is_given_no_partitions_ends_itself(
    topics: Settings, tmp_path: Path
) -> None:
    # Given a group that waits for a member that died without a name to come back under
    settings = fast(topics)
    first = WorkerProcess("push", settings, tmp_path / "first")
    await first.start()
    first.kill()
    # When another joins and has less patience than the group
    impatient = settings.worker.model_copy(update={"join_timeout": 1.5})
    second = WorkerProcess(
        "push", settings.model_copy(update={"worker": impatient}), tmp_path / "second"
    )
    second.spawn()
    # Then it ends, for whoever runs it to start it again
    assert await second.ended(60) == Exit.UNAVAILABLE
    assert "no partitions" in second.tail()


async def test_the_end_of_a_transaction_is_no_work_left_undone(
    topics: Settings, tmp_path: Path
) -> None:
    # Given a producer that ends its transactions, which takes an offset without a record
    name = physical(topics, INTERVENTIONS)
    async with WorkerProcess("push", topics, tmp_path / "log") as worker:
        async with AIOKafkaProducer(
            bootstrap_servers=topics.kafka.bootstrap, transactional_id=topics.kafka.topic_prefix
        ) as producer:
            for number in range(3):
                async with producer.transaction():
                    raised = message(INTERVENTIONS, "ada", number)
                    await producer.send(name, key=b"ada", value=raised.json_bytes())
        # When all of it is pushed
        async with connect(topics.redis, "operator") as redis:
            log = PushLog(redis, topics.redis)
            await eventually(lambda: log.head("ada"), lambda head: head.offset == 3)

        # Then the worker sees nothing to do: with a lag it would end itself as stalled
        async def lag() -> int | None:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{worker.port}/readyz")
            return answer.json()["lag"]

        await eventually(lag, lambda left: left == 0, within=15)


def with_redis(settings: Settings, url: str) -> Settings:
    redis = settings.redis.model_copy(update={"url": url})
    return settings.model_copy(update={"redis": redis})


@pytest.fixture
async def redis_server(tmp_path: Path) -> AsyncIterator[ConfiguredRedis]:
    server = ConfiguredRedis(tmp_path / "redis")
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("role", ["push", "tutor"])
async def test_a_redis_user_who_lacks_a_command_ends_the_start_with_its_name(
    topics: Settings, tmp_path: Path, redis_server: ConfiguredRedis, role: str
) -> None:
    await redis_server.order(
        "ACL", "SETUSER", "mx", "on", ">pw", "~*", "&*", "+@all", "-@dangerous", "-@admin"
    )
    settings = with_redis(topics, redis_server.endpoint.replace("//", "//mx:pw@"))
    worker = WorkerProcess(role, settings, tmp_path / "log")
    worker.spawn()
    assert await worker.ended(60) == Exit.UNAVAILABLE
    assert "may not run INFO" in worker.tail()
    assert "+info" in worker.tail()
    assert "Traceback" not in worker.tail()


async def test_a_redis_that_refuses_a_running_worker_ends_it_with_the_setting(
    topics: Settings, tmp_path: Path, redis_server: ConfiguredRedis
) -> None:
    """Given a password that was changed (or a permission taken away) under way."""
    await redis_server.order("ACL", "SETUSER", "mx", "on", ">pw", "~*", "&*", "+@all")
    settings = fast(with_redis(topics, redis_server.endpoint.replace("//", "//mx:pw@")))
    worker = WorkerProcess("push", settings, tmp_path / "log")
    await worker.start()
    await redis_server.order("ACL", "SETUSER", "mx", "-hset")
    async with Producer(settings, client_id="test") as producer:
        state = message(USER_STATE, "ada", 1)
        await (await producer.send(USER_STATE, key=b"ada", value=state.json_bytes()))
    assert await worker.ended(60) == Exit.UNAVAILABLE
    assert "MASTERX_REDIS__URL" in worker.tail()
    assert "can't run this command" in worker.tail()
