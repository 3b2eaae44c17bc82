"""A worker that cannot start says why, and does not ask to be started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.topics import USER_STATE
from app.exits import Exit
from app.producer import Producer
from app.settings import Role, Settings
from models.learner.behaviour.config import BehaviourSettings
from tests.agents.records import message
from tests.app.redis.servers import ConfiguredRedis
from tests.crash.fleet import fast
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
    topics: Settings, tmp_path: Path, redis_server: ConfiguredRedis, role: Role
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
