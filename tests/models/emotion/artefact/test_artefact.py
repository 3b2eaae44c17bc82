from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.emotion.artefact import artefact as artefacts
from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.labels import EMOTIONS


def test_the_shipped_artefact_is_whole(artefact: Artefact) -> None:
    card = artefact.card
    assert set(card.emotions) | set(card.absent) == set(EMOTIONS)
    assert set(card.emotions).isdisjoint(card.absent)
    assert set(card.calibration.emotions_threshold) == set(card.emotions)
    assert all(source.licence for source in card.sources)
    assert card.metrics


def test_the_shipped_artefact_stays_small(artefact: Artefact) -> None:
    size = sum(t.numel() * t.element_size() for t in artefact.tensors.values())
    assert size < 50e6


def test_what_was_saved_is_loaded(artefact: Artefact, tmp_path: Path) -> None:
    saved = artefacts.save(tmp_path, artefact.card, artefact.tensors)
    loaded = artefacts.load(tmp_path)
    assert loaded.version == saved.version
    assert loaded.card == artefact.card
    assert artefact.version.split("-")[1] not in (tmp_path / "card.json").read_text()


def test_another_weight_makes_another_version(artefact: Artefact, tmp_path: Path) -> None:
    changed = {name: tensor.clone() for name, tensor in artefact.tensors.items()}
    changed["heads.pad.bias"] += 1
    assert artefacts.save(tmp_path, artefact.card, changed).version != artefact.version


def test_a_tuned_encoder_survives_packing(artefact: Artefact, tmp_path: Path) -> None:
    # Given a network whose encoder moved a little from the packaged one
    heads = {k: v for k, v in artefact.tensors.items() if k.startswith("heads.")}
    network = replace(artefact, tensors=heads).network()
    packaged = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("encoders.")}
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".layer.0." in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
    # When it is packed, saved and loaded
    tensors = artefacts.pack(network, packaged)
    again = artefacts.save(tmp_path, artefact.card, tensors).network()
    # Then only what moved is stored, and comes back to within a step of its row
    assert all(".layer.0." in name or name.startswith(("heads.", "wide.")) for name in tensors)
    for name, value in again.state_dict().items():
        if ".layer.0." in name:
            torch.testing.assert_close(value, network.state_dict()[name], atol=3e-4, rtol=0)
        elif name.startswith("encoders."):
            assert torch.equal(value, packaged[name])


@pytest.mark.parametrize("name", ["model.safetensors", "card.json"])
def test_a_missing_file_is_named(artefact: Artefact, tmp_path: Path, name: str) -> None:
    artefacts.save(tmp_path, artefact.card, artefact.tensors)
    (tmp_path / name).unlink()
    with pytest.raises(ArtefactProblem, match=f"no {name} in .*MASTERX_EMOTION__ARTEFACT"):
        artefacts.load(tmp_path)


def test_a_broken_file_is_an_artefact_problem(artefact: Artefact, tmp_path: Path) -> None:
    artefacts.save(tmp_path, artefact.card, artefact.tensors)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ArtefactProblem):
        artefacts.load(tmp_path)


def test_the_number_of_encoders_must_fit(artefact: Artefact) -> None:
    with pytest.raises(ArtefactProblem, match=r"emotion\.encoders: 2 named"):
        artefact.network(["a", "b"])
