"""The three steps of reading a text, apart from how they are scheduled: tokenise, run, post.

`serving` runs each step in its own thread; `evaluation` runs them one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Card
from models.emotion.cpu.hardware import prepare_bfloat16
from models.emotion.cpu.packed import PackedEncoder, pack
from models.emotion.cpu.precision import Precision
from models.emotion.cpu.quantised import quantise
from models.emotion.cpu.summing import keep_sums_whole
from models.emotion.labels import GOEMOTIONS
from models.emotion.network.encoders import Tokeniser, Tokens, pad, padded_length
from models.emotion.network.network import EmotionNetwork
from models.emotion.reading import Reading
from models.emotion.serving.calibration import Floats, probabilities

CPU = torch.device("cpu")

TokenisedText = tuple[Tokens, ...]  # one list of ids for each encoder


class Batch(NamedTuple):
    """Padded inputs: (ids, mask) for each encoder, each (n, length)."""

    inputs: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def size(self) -> int:
        """How many texts."""
        return len(self.inputs[0][0])


class Output(NamedTuple):
    """Raw outputs of the model for n texts, on the CPU, float32."""

    emotions: torch.Tensor  # (n, C) logits
    goemotions: torch.Tensor  # (n, 28) logits
    pad: torch.Tensor  # (n, 3) logits
    affect: torch.Tensor  # (n, affect_width)
    urgency: torch.Tensor  # (n,) logits; for evaluation, no reading holds it


Tokenise = Callable[[Sequence[str]], list[TokenisedText]]
Collate = Callable[[Sequence[TokenisedText]], Batch]
Run = Callable[[Batch], Output]
Post = Callable[[Output], list[Reading]]


class TokeniseTexts:
    """Texts to ids, by each encoder's tokeniser."""

    def __init__(self, encoders: Sequence[str], max_tokens: int, length_step: int = 1) -> None:
        self.length_step = length_step
        self._tokenisers = [Tokeniser(name, max_tokens) for name in encoders]

    def __call__(self, texts: Sequence[str]) -> list[TokenisedText]:
        """One entry a text, in order. Raises what the tokeniser raises at bad Unicode."""
        return list(zip(*(t(texts) for t in self._tokenisers), strict=True))

    def collate(self, texts: Sequence[TokenisedText]) -> Batch:
        """Pad to the longest of the batch, up to the step."""
        return Batch(
            tuple(
                pad([text[i] for text in texts], t.padding_id, self.length_step)
                for i, t in enumerate(self._tokenisers)
            )
        )


class RunNetwork:
    """One forward pass on the device."""

    def __init__(self, network: EmotionNetwork, device: torch.device, precision: Precision) -> None:
        if precision is Precision.INT8:
            quantise(network.encoders)
        elif device.type == "cpu":
            prepare_for_cpu(network.encoders, precision)
        self._network = network.to(device).eval()
        # Only the encoders: the rest is small, and a probability's last digits come from there.
        network.encoders.to(precision.dtype)
        self._device = device

    @torch.inference_mode()
    def warm(self, batch_tokens: int) -> None:
        """Meet every size of batch, so that no reading waits while code for it is made."""
        for encoder in self._network.encoders:
            if isinstance(encoder, PackedEncoder):
                encoder.warm(batch_tokens)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> Output:
        """Raises what torch raises (`torch.OutOfMemoryError` among it), and ArithmeticError."""
        moved = [
            (ids.to(self._device, non_blocking=True), mask.to(self._device, non_blocking=True))
            for ids, mask in batch.inputs
        ]
        output = Output(*(t.float().cpu() for t in self._network(moved)))
        if not all(torch.isfinite(t).all() for t in output):
            raise ArithmeticError("the model gave values that are not numbers")
        return output


def prepare_for_cpu(encoders: nn.ModuleList, precision: Precision) -> None:
    """Pack the encoders that can be, in place; let the others' digits not depend on the batch."""
    if precision is Precision.BFLOAT16:
        prepare_bfloat16()
    pack(encoders, precision.dtype)
    if precision is Precision.BFLOAT16:
        keep_sums_whole(encoders)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Probabilities of n texts."""

    emotions: Floats  # (n, C)
    goemotions: Floats  # (n, 28)
    pad: Floats  # (n, 3)


def calibrate(card: Card, output: Output) -> Calibrated:
    """Apply the card's temperatures and shifts."""
    c = card.calibration
    emotions = [c.emotions_shift.get(e, 0.0) for e in card.emotions]
    own = [c.goemotions_shift.get(name, 0.0) for name in GOEMOTIONS]
    return Calibrated(
        probabilities(output.emotions.numpy(), c.emotions_temperature, emotions),
        probabilities(output.goemotions.numpy(), c.goemotions_temperature, own),
        probabilities(output.pad.numpy(), 1.0),
    )


class PostReadings:
    """Raw outputs to readings."""

    def __init__(self, card: Card, version: str) -> None:
        self._card = card
        self._version = version

    def __call__(self, output: Output) -> list[Reading]:
        """One reading a text, in order."""
        calibrated = calibrate(self._card, output)
        emotions = self._card.emotions
        readings = []
        for row, pad_row, affect in zip(
            calibrated.emotions.tolist(),
            calibrated.pad.tolist(),
            output.affect.tolist(),
            strict=True,
        ):
            top = max(range(len(row)), key=row.__getitem__)
            readings.append(
                Reading(
                    probabilities=dict(zip(emotions, row, strict=True)),
                    top=emotions[top],
                    valence=pad_row[0],
                    arousal=pad_row[1],
                    dominance=pad_row[2],
                    affect=tuple(affect),
                    version=self._version,
                )
            )
        return readings


def outputs(
    artefact: Artefact,
    texts: Sequence[str],
    *,
    encoders: Sequence[str] = (),
    max_tokens: int,
    batch_tokens: int,
    device: torch.device = CPU,
    precision: Precision = Precision.FLOAT32,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Output:
    """Raw outputs of many texts in their order, in batches sorted by length."""
    step = precision.length_step
    tokenise = TokeniseTexts(list(encoders) or artefact.card.encoders, max_tokens, step)
    run = RunNetwork(artefact.network(encoders), device, precision)
    tokenised = tokenise(texts)
    lengths = [padded_length(len(tokens[0]), step) for tokens in tokenised]
    order = sorted(range(len(texts)), key=lambda i: -lengths[i])
    rows: list[tuple[torch.Tensor, ...]] = []
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        chosen = order[start : start + max(1, batch_tokens // longest)]
        if step > 1:
            chosen = [i for i in chosen if lengths[i] == longest]
        progress(start, len(order))
        rows.extend(zip(*run(tokenise.collate([tokenised[i] for i in chosen])), strict=True))
        start += len(chosen)
    if not rows:
        card = artefact.card
        widths = ((len(card.emotions),), (len(GOEMOTIONS),), (3,), (card.shape.affect,), ())
        return Output(*(torch.empty(0, *width) for width in widths))
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return Output(*(torch.stack(column)[back] for column in zip(*rows, strict=True)))
