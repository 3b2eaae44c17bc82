from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.network.storing import network_of, pack, save


def test_another_weight_makes_another_version(artefact: Artefact, tmp_path: Path) -> None:
    tensors = load_file(artefact.weights)
    first = save(tmp_path / "a", artefact.card, tensors)
    tensors["heads.pad.bias"] += 1
    assert save(tmp_path / "b", artefact.card, tensors).version != first.version
    assert first.version.split("-")[1] not in (tmp_path / "a" / "card.json").read_text()


def test_a_tuned_encoder_survives_packing(artefact: Artefact, tmp_path: Path) -> None:
    # Given a network whose encoder moved a little from the packaged one
    tensors = load_file(artefact.weights)
    heads = {k: v for k, v in tensors.items() if k.startswith("heads.")}
    network = network_of(save(tmp_path / "heads", artefact.card, heads))
    packaged = {k: v.clone() for k, v in network.state_dict().items() if k.startswith("encoders.")}
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".layer.0." in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.01)
    # When it is packed, saved and loaded
    tensors = pack(network, packaged)
    again = network_of(save(tmp_path / "tuned", artefact.card, tensors))
    # Then only what moved is stored, and comes back to within a step of its row
    assert all(".layer.0." in name or name.startswith(("heads.", "wide.")) for name in tensors)
    for name, value in again.state_dict().items():
        if ".layer.0." in name:
            torch.testing.assert_close(value, network.state_dict()[name], atol=3e-4, rtol=0)
        elif name.startswith("encoders."):
            assert torch.equal(value, packaged[name])


def test_the_number_of_encoders_must_fit(artefact: Artefact) -> None:
    with pytest.raises(ArtefactProblem, match=r"emotion\.encoders: 2 named"):
        network_of(artefact, ["a", "b"])
