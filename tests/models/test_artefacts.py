"""Every trained artefact of another version of this code is named: file, found, read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.artefacts import CARD_FORMAT, ArtefactCard, UnknownArtefactFormat
from models.emotion.artefact.artefact import ArtefactProblem as EmotionProblem
from models.emotion.artefact.artefact import load as load_emotion
from models.emotion.config import EmotionSettings
from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem, load_behaviour
from models.learner.behaviour.serving.config import BehaviourSettings
from models.learner.config import LearnerSettings
from models.learner.nets.serving.artefact import NetProblem
from models.learner.nets.serving.artefact import load as load_net
from models.learner.recommending.serving.expectations import load_learned
from models.learner.rules import PolicyError, UnknownPolicyFormat, load_rules
from models.tutor.moves.serving.artefact import SHIPPED
from models.tutor.moves.serving.artefact import ArtefactProblem as MovesProblem
from models.tutor.moves.serving.artefact import load as load_moves

LEARNER = LearnerSettings()
FOLDERS: dict[str, tuple[Path | None, Callable[[Path], object], type[Exception]]] = {
    "emotion": (EmotionSettings().artefact, load_emotion, EmotionProblem),
    "readiness": (LEARNER.nets.readiness, load_net, NetProblem),
    "intervention": (LEARNER.nets.intervention, load_net, NetProblem),
    "tutor moves": (SHIPPED, load_moves, MovesProblem),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_card_of_another_format_is_named(name: str, tmp_path: Path) -> None:
    # Given the shipped artefact as a later version might write it, with more in it
    shipped, load, problem = FOLDERS[name]
    assert shipped is not None
    folder = tmp_path / "later"
    shutil.copytree(shipped, folder)
    card = json.loads((folder / "card.json").read_text())
    reads = card.get("format", CARD_FORMAT)
    later = {**card, "format": reads + 1, "added": "later"}
    (folder / "card.json").write_text(json.dumps(later))
    with pytest.raises(problem) as raised:
        load(folder)
    assert f"{folder / 'card.json'}: of format {reads + 1}; this version reads {reads}" in str(
        raised.value
    )
    # And one that says its format is read as one that leaves it out
    (folder / "card.json").write_text(json.dumps({**card, "format": reads}))
    load(folder)


def test_a_card_of_format_1_is_written_as_before() -> None:
    """Its hash is its version; what reads embeddings of a version would not know it again."""
    assert ArtefactCard().model_dump(mode="json") == {}
    assert CARD_FORMAT == 1


@pytest.mark.parametrize("content", ["[]", "null", '{"format": true}', '{"format": "1"}'])
def test_what_is_no_card_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text(content)
    with pytest.raises((UnknownArtefactFormat, ValueError)):
        ArtefactCard.read(tmp_path / "card.json")


def test_a_behaviour_artefact_of_another_format_is_named(tmp_path: Path) -> None:
    held = json.loads(BehaviourSettings().artefact.read_text())
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**held, "format": 9}))
    with pytest.raises(BehaviourArtefactProblem, match=f"{file}: of format 9; this version reads"):
        load_behaviour(file)


def test_a_learned_policy_of_another_format_is_named(tmp_path: Path) -> None:
    file = tmp_path / "learned.json"
    file.write_text(json.dumps({"format": 7, "added": 1}))
    with pytest.raises(PolicyError, match=f"{file}: of format 7; this version reads 1"):
        load_learned(file)


def test_rules_and_catalogue_of_another_format_are_named(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    text = LEARNER.policy.file.read_text()
    file.write_text("format = 3\n" + text)
    with pytest.raises(UnknownPolicyFormat, match=f"{file}: of format 3; this version reads 1"):
        load_rules(file)
    file.write_text("format = 1\n" + text)
    assert load_rules(file) == load_rules(LEARNER.policy.file)


def test_a_moves_artefact_of_the_last_release_is_named(tmp_path: Path) -> None:
    """Its card said no format, which is 1, and its weights were other heads."""
    shutil.copytree(SHIPPED, tmp_path / "old")
    card = json.loads((SHIPPED / "card.json").read_text())
    del card["format"]
    (tmp_path / "old" / "card.json").write_text(json.dumps(card))
    with pytest.raises(MovesProblem, match="of format 1; this version reads 2"):
        load_moves(tmp_path / "old")
