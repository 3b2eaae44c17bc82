"""A trained model on disk: `model.safetensors`, `card.json`, `card.md`.

Heads are kept as float16, the wide part's table as int8. A fine-tuned encoder is kept as
its difference from the packaged one, int8 with a scale per row: a quarter of the size of
float32, and far closer to the trained weights than bfloat16 would be, because the
difference is small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models.artefacts import CARD_TEXT, load_artefact, save_artefact
from models.emotion.artefact.card import Card, markdown
from models.emotion.labels import GOEMOTIONS
from models.emotion.network.encoders import Encoder
from models.emotion.network.network import EmotionNetwork, Heads
from models.emotion.network.wide import Wide

WEIGHTS = "model.safetensors"
SCALE = "#scale"
WIDE_TABLE = "wide.table.weight"
Tensors = dict[str, torch.Tensor]


class ArtefactProblem(RuntimeError):
    """The folder holds no artefact that can be used; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """Weights and card as read; `version` names their content."""

    card: Card
    tensors: Tensors
    version: str

    def network(self, encoders: Sequence[str] = ()) -> EmotionNetwork:
        """The network in float32, in eval mode.

        encoders: where to find the card's encoders, if not under the card's names.

        Raises EncoderNotFound, and ArtefactProblem when weights and card disagree.
        """
        names = list(encoders) or self.card.encoders
        if len(names) != len(self.card.encoders):
            raise ArtefactProblem(
                f"emotion.encoders: {len(names)} named, the artefact needs {self.card.encoders}"
            )
        loaded = [Encoder(name) for name in names]
        heads = build_heads(self.card, [e.width for e in loaded])
        network = EmotionNetwork(loaded, heads, build_wide(self.card))
        state = network.state_dict()
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                if name.endswith(SCALE):
                    continue
                if name not in state or state[name].shape != tensor.shape:
                    raise ArtefactProblem(f"{WEIGHTS}: {name} does not fit the encoder or card")
                if (scale := self.tensors.get(name + SCALE)) is not None:
                    state[name] += tensor.float() * scale
                else:
                    state[name].copy_(tensor)
        return network.eval()


def build_heads(card: Card, widths: Sequence[int]) -> Heads:
    """Untrained heads of the card's shape."""
    shape = card.shape
    return Heads(
        widths,
        len(card.emotions),
        hidden=shape.hidden,
        affect=shape.affect,
        dropout=shape.dropout,
        attention_heads=shape.attention_heads,
    )


def build_wide(card: Card) -> Wide | None:
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


def save(folder: Path, card: Card, tensors: Tensors) -> Artefact:
    """Write the three files and read them back."""
    save_artefact(folder, card, WEIGHTS, lambda file: save_file(tensors, file))
    artefact = load(folder)
    (folder / CARD_TEXT).write_text(markdown(card, artefact.version), encoding="utf-8")
    return artefact


def load(folder: Path) -> Artefact:
    """Read an artefact. Raises ArtefactProblem that names the missing or broken file."""
    card, tensors, content = load_artefact(
        folder,
        Card,
        WEIGHTS,
        load_file,
        problem=lambda text: ArtefactProblem(f"emotion.artefact: {text}"),
        advice="train one with `masterx train emotion` or set MASTERX_EMOTION__ARTEFACT",
    )
    return Artefact(card, tensors, f"{card.profile}-{content}")
