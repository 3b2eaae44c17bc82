"""A worker that cannot start says why, and does not ask to be started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.exits import Exit
from app.settings import Role, Settings
from models.learner.behaviour.config import BehaviourSettings
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
