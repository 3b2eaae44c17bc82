"""An artefact that cannot be served says so, and why, whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem, load_behaviour
from models.learner.behaviour.serving.config import BehaviourSettings

SHIPPED = BehaviourSettings().artefact


def test_the_shipped_one_can_be_read() -> None:
    assert load_behaviour(SHIPPED).version


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda held: held.update(format=99), "of format 99"),
        (lambda held: held.pop("estimators"), "not a behaviour artefact"),
        (lambda held: held.update(slowness="slow"), "not a behaviour artefact.*slow"),
        (lambda held: held.update(slowness=None), "not a behaviour artefact"),
    ],
    ids=["another format", "a part is missing", "a word for a number", "nothing for a number"],
)
def test_a_broken_one_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    held = orjson.loads(SHIPPED.read_bytes())
    change(held)
    file = tmp_path / "broken.json"
    file.write_bytes(orjson.dumps(held))
    with pytest.raises(BehaviourArtefactProblem, match=f"broken.json: {says}"):
        load_behaviour(file)


def test_one_that_is_not_there_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(BehaviourArtefactProblem, match="there is no such file"):
        load_behaviour(tmp_path / "gone.json")
    (tmp_path / "cut.json").write_text('{"format":')
    with pytest.raises(BehaviourArtefactProblem, match=r"cut\.json: not a behaviour artefact"):
        load_behaviour(tmp_path / "cut.json")
