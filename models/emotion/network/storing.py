"""From an artefact to its network, and back. The only place that knows how weights are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models.artefacts import save_artefact
from models.emotion.artefact.artefact import (
    SCALE,
    WEIGHTS,
    WIDE_TABLE,
    Artefact,
    ArtefactProblem,
    load,
    write_card_text,
)
from models.emotion.artefact.card import EmotionCard
from models.emotion.labels import GOEMOTIONS
from models.emotion.network.encoders import Encoder
from models.emotion.network.network import EmotionNetwork, Heads
from models.emotion.network.wide import Wide
from models.emotion.serving.inference import CONCERNS

Tensors = dict[str, torch.Tensor]


def network_of(artefact: Artefact, encoders: Sequence[str] = ()) -> EmotionNetwork:
    """The network in float32, in eval mode.

    encoders: where to find the card's encoders, if not under the card's names.

    Raises EncoderNotFound, and ArtefactProblem when weights and card disagree.
    """
    card = artefact.card
    names = list(encoders) or card.encoders
    if len(names) != len(card.encoders):
        raise ArtefactProblem(
            f"emotion.encoders: {len(names)} named, the artefact needs {card.encoders}"
        )
    loaded = [Encoder(name) for name in names]
    network = EmotionNetwork(loaded, build_heads(card, [e.width for e in loaded]), build_wide(card))
    state = network.state_dict()
    tensors = load_file(artefact.weights)
    with torch.no_grad():
        for name, tensor in tensors.items():
            if name.endswith(SCALE):
                continue
            if name not in state or state[name].shape != tensor.shape:
                raise ArtefactProblem(f"{WEIGHTS}: {name} does not fit the encoder or card")
            if (scale := tensors.get(name + SCALE)) is not None:
                state[name] += tensor.float() * scale
            else:
                state[name].copy_(tensor)
    return network.eval()


def build_heads(card: EmotionCard, widths: Sequence[int]) -> Heads:
    """Untrained heads of the card's shape."""
    shape = card.shape
    return Heads(
        widths,
        len(card.emotions),
        hidden=shape.hidden,
        affect=shape.affect,
        dropout=shape.dropout,
        attention_heads=shape.attention_heads,
        concerns=CONCERNS if shape.concern else 0,
        speaking=shape.speaking,
    )


def build_wide(card: EmotionCard) -> Wide | None:
    """The wide part of the card's shape, all zeros; None where there is none."""
    buckets = card.shape.wide
    return Wide(buckets, len(card.emotions) + len(GOEMOTIONS)) if buckets else None


def pack(network: EmotionNetwork, packaged: Tensors) -> Tensors:
    """What is kept of a trained network. `packaged`: the encoders' state before training."""
    tensors: Tensors = {}
    for name, value in network.state_dict().items():
        if name == WIDE_TABLE:
            tensors |= as_int8(name, value.detach(), over=[0])
        elif name.startswith(("heads.", "wide.")):
            tensors[name] = value.detach().to(torch.float16).contiguous()
        elif name in packaged and not torch.equal(value, packaged[name]):
            delta = (value - packaged[name]).detach()
            tensors |= as_int8(name, delta, over=list(range(1, delta.dim())) or [0])
    return tensors


def as_int8(name: str, values: torch.Tensor, over: list[int]) -> Tensors:
    """int8 under its name, and beside it the scale that the dimensions `over` share."""
    values = values.float()
    scale = values.abs().amax(over, keepdim=True).clamp_min(1e-12) / 127
    return {name: (values / scale).round().to(torch.int8).contiguous(), name + SCALE: scale}


def save(folder: Path, card: EmotionCard, tensors: Tensors) -> Artefact:
    """Write weights and card, and read them back."""
    save_artefact(folder, card, WEIGHTS, lambda file: save_file(tensors, file))
    artefact = load(folder)
    write_card_text(artefact)
    return artefact
