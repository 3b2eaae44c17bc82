from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from models.emotion.artefact.artefact import Artefact, ArtefactProblem, load
from models.emotion.config import EmotionSettings
from models.emotion.labels import EMOTIONS
from models.emotion.serving.engine import build_engine


def test_the_shipped_artefact_is_whole(artefact: Artefact) -> None:
    card = artefact.card
    assert set(card.emotions) | set(card.absent) == set(EMOTIONS)
    assert set(card.emotions).isdisjoint(card.absent)
    assert set(card.calibration.emotions_threshold) == set(card.emotions)
    assert all(source.licence for source in card.sources)
    assert card.metrics


def test_the_shipped_artefact_stays_small(artefact: Artefact) -> None:
    assert sum(file.stat().st_size for file in artefact.folder.iterdir()) < 60e6


@pytest.fixture
def copy(artefact: Artefact, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artefact.folder, tmp_path / "copy"))


def test_the_version_names_the_content_of_every_file(artefact: Artefact, copy: Path) -> None:
    assert load(copy).version == artefact.version
    versions = {artefact.version}
    for name in ("model.onnx", "tokenizer.json", "card.json"):
        (copy / name).write_bytes((copy / name).read_bytes() + b"\n")
        versions.add(load(copy).version)
    assert len(versions) == 4


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ArtefactProblem, match=f"no {name} in .*MASTERX_EMOTION__ARTEFACT"):
        load(copy)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_what_only_a_processor_needs_may_be_missing_until_then(copy: Path, name: str) -> None:
    (copy / name).unlink()
    artefact = load(copy)
    with pytest.raises(ArtefactProblem, match=f"no {name} in .*masterx models export"):
        build_engine(artefact, EmotionSettings(device="cpu"))


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "tokenizer.json"])
def test_a_broken_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"cut off")
    with pytest.raises(ArtefactProblem, match=name):
        build_engine(load(copy), EmotionSettings(device="cpu"))


def test_a_graph_of_other_outputs_is_refused(copy: Path) -> None:
    model = onnx.load(copy / "model.onnx")
    model.graph.output[0].name, model.graph.output[1].name = "goemotions", "emotions"
    onnx.save(model, copy / "model.onnx")
    with pytest.raises(ArtefactProblem, match="not those of this release"):
        build_engine(load(copy), EmotionSettings(device="cpu"))


def test_a_card_of_0_2_is_read(copy: Path) -> None:
    card = json.loads((copy / "card.json").read_text())
    del card["graph"], card["format"]
    (copy / "card.json").write_text(json.dumps(card | {"rounding_cost": {"int8": 0.001}}))
    assert load(copy).card.graph == {}


def test_a_card_without_a_neutral_band_has_one(copy: Path) -> None:
    file = copy / "card.json"
    card = json.loads(file.read_text())
    card.pop("neutral_band", None)
    file.write_text(json.dumps(card))
    low, high = load(copy).card.neutral_band
    assert 0 < low < 0.5 < high < 1


@pytest.mark.parametrize("band", [[0.6, 0.4], [-0.1, 0.5], [0.5, 1.1], ["nan", 0.5], [0.5]])
def test_a_card_with_what_is_no_band_is_refused(copy: Path, band: list[object]) -> None:
    file = copy / "card.json"
    card = json.loads(file.read_text()) | {"neutral_band": band}
    file.write_text(json.dumps(card))
    with pytest.raises(ArtefactProblem, match=r"card\.json.*\n?.*neutral_band"):
        load(copy)
