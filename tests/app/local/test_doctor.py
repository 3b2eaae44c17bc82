"""`masterx doctor` looks at what the learner worker reads at its start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.local.doctor import Finding, examine
from app.settings import AuthSettings, Settings
from models.learner.behaviour.serving.config import BehaviourSettings
from models.learner.config import LearnerSettings, NetSettings

NAME = "learner's models"


async def found(learner: LearnerSettings, folder: Path) -> Finding:
    return await finding(Settings(learner=learner), folder, NAME)


async def finding(settings: Settings, folder: Path, name: str) -> Finding:
    embedded = settings.embedded.model_copy(update={"data_dir": folder})
    findings = await examine(settings.model_copy(update={"embedded": embedded}))
    return next(finding for finding in findings if finding.name == name)


async def test_what_is_there_is_named_by_its_version(tmp_path: Path) -> None:
    learner = LearnerSettings()
    finding = await found(learner, tmp_path)

    assert finding.fine
    nets = learner.trained_nets
    assert nets.readiness is not None
    assert nets.readiness.version in finding.found
    assert learner.behaviour.behaviour.version in finding.found


@pytest.mark.parametrize(
    "learner",
    [
        LearnerSettings(nets=NetSettings(readiness=Path("/no/such/folder"))),
        LearnerSettings(nets=NetSettings(intervention=Path("/no/such/folder"))),
        LearnerSettings(behaviour=BehaviourSettings(artefact=Path("/no/such/folder"))),
    ],
    ids=["readiness", "intervention", "behaviour"],
)
async def test_what_cannot_be_read_blocks_the_start_and_is_named(
    learner: LearnerSettings, tmp_path: Path
) -> None:
    finding = await found(learner, tmp_path)

    assert finding.blocks
    assert "/no/such/folder" in finding.found
    assert "masterx train" in finding.remedy


async def test_a_secret_that_production_refuses_is_told_before(tmp_path: Path) -> None:
    short = Settings(auth=AuthSettings(secret=SecretStr("x" * 31)))
    said = await finding(short, tmp_path, "tokens")
    assert (said.fine, said.blocks) == (False, False)
    assert "31 characters; production refuses fewer than 32" in said.found

    enough = Settings(auth=AuthSettings(secret=SecretStr("x" * 32)))
    assert (await finding(enough, tmp_path, "tokens")).fine
