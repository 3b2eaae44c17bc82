"""A worker that cannot start says why, and does not ask to be started again."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from agents.topics import INTERVENTIONS
from app.exits import Exit
from app.settings import Role, Settings
from app.stores.pushlog import PushLog, redis_client
from app.topics import physical
from models.learner.behaviour.config import BehaviourSettings
from tests.agents.records import message
from tests.crash.fleet import fast
from tests.topics import eventually
from tests.workers import WorkerProcess

pytestmark = pytest.mark.services


@pytest.mark.parametrize("role", ["emotion", "learner"])
async def test_a_missing_artefact_ends_a_worker_with_its_name(
    topics: Settings, tmp_path: Path, role: Role
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
        async with redis_client(topics.redis) as redis:
            log = PushLog(redis, topics.redis)
            await eventually(lambda: log.head("ada"), lambda head: head.offset == 3)

        # Then the worker sees nothing to do: with a lag it would end itself as stalled
        async def lag() -> int:
            async with httpx.AsyncClient() as client:
                answer = await client.get(f"http://127.0.0.1:{worker.port}/readyz")
            return int(answer.json()["lag"])

        await eventually(lag, lambda left: left == 0, within=15)
