"""Cards: the parts, and that every shipped `card.md` is what its `card.json` says."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from models.emotion.artefact import artefact as emotion
from models.emotion.artefact.card import markdown as emotion_markdown
from models.emotion.config import EmotionSettings
from models.evaluation.card import bullets, document, named, number, table, with_interval
from models.learner.behaviour.serving.config import BehaviourSettings
from models.learner.behaviour.training.card import as_markdown
from models.learner.config import LearnerSettings
from models.learner.nets.serving import artefact as nets
from models.learner.nets.serving.card import markdown as net_markdown
from models.tutor.moves.serving import artefact as moves
from models.tutor.moves.serving.card import markdown as moves_markdown

NETS = LearnerSettings().nets


def test_the_parts_of_a_card():
    assert table(("a", "b"), [(1, "x")]) == ["| a | b |", "| --- | --- |", "| 1 | x |"]
    assert bullets(["one", "two"]) == ["- one", "- two"]
    assert document(["# A"], [], ["one", "two"]) == "# A\n\none\ntwo\n"
    assert named({"n": 3, "auc": 0.71234, "auc_95": [0.5, 0.75]}) == (
        "n 3, auc 0.712, auc_95 [0.500, 0.750]"
    )
    assert number((0.5, 1)) == "[0.500, 1]"
    assert with_interval(0.5, (0.4, 0.6)) == "0.500 (0.400 to 0.600)"


def test_the_emotion_model_s_card_is_what_its_json_says():
    folder = EmotionSettings().artefact
    assert folder is not None
    found = emotion.load(folder)

    assert emotion_markdown(found.card, found.version) == (folder / "card.md").read_text("utf-8")


@pytest.mark.parametrize("folder", [NETS.readiness, NETS.intervention])
def test_a_net_s_card_is_what_its_json_says(folder: Path | None):
    assert folder is not None
    found = nets.load(folder)

    assert net_markdown(found.card, found.version) == (folder / "card.md").read_text("utf-8")


def test_the_behaviour_estimators_cards_are_what_their_json_says():
    folder = BehaviourSettings().artefact.parent
    cards = orjson.loads((folder / "card.json").read_bytes())

    assert as_markdown(cards) == (folder / "CARD.md").read_text("utf-8")


def test_the_moves_card_is_what_its_json_says():
    found = moves.load_card(), moves.shipped().version

    assert moves_markdown(*found) == (moves.SHIPPED / "card.md").read_text("utf-8")
