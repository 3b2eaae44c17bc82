"""Weights and activations made alike, so that both survive eight bits.

A graph's activations get one int8 scale for all channels of a row. A few channels of a transformer
are a hundred times as large as the rest and take the whole range. Each is divided by a factor that
its weights are multiplied with: the product stays, the range is shared (Xiao et al. 2023,
SmoothQuant). By the factors max|x|^s / max|w|^(1 - s), s = .65 moved readings least of .5, .65
and .8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import nn

SHARE: Final = 0.65
"""s above: how much of the difference between channels the weights take over."""
SMALLEST: Final = 1e-5


class RowScaled(nn.Module):
    """A linear layer whose weights carry the channels' factors, and whose rows reach 1.

    Each row is divided by its largest amount before the product, and multiplied with it after:
    what enters the product lies in [-1, 1] and can be rounded by one scale, whatever other rows
    hold.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, layer: nn.Linear, factors: torch.Tensor, inverse: nn.Parameter) -> None:
        """factors: (in,); inverse: 1 / factors, one object for all layers with the same input."""
        super().__init__()
        self.inverse = inverse
        self.register_buffer("weight", (layer.weight.detach() * factors).T.contiguous())
        self.register_buffer("bias", layer.bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        rows = inputs * self.inverse
        largest = rows.abs().amax(-1, keepdim=True).clamp_min(SMALLEST)
        return torch.matmul(rows / largest, self.weight) * largest + self.bias


@torch.no_grad()
def smooth(module: nn.Module, run: Callable[[], None]) -> None:
    """Replace the linear layers below `module` that `run` passes through, in place.

    run: passes typical texts through the module, at least one
    """
    groups = _by_input(module, run)
    for names, largest in groups:
        layers = [_linear(module, name) for name in names]
        weights = torch.stack([layer.weight.abs().amax(0) for layer in layers]).amax(0)
        factors = largest.clamp_min(SMALLEST) ** SHARE / weights.clamp_min(SMALLEST) ** (1 - SHARE)
        factors /= factors.mean()
        inverse = nn.Parameter(1 / factors)
        for name, layer in zip(names, layers, strict=True):
            parent, _, child = name.rpartition(".")
            setattr(module.get_submodule(parent), child, RowScaled(layer, factors, inverse))


def _by_input(
    module: nn.Module, run: Callable[[], None]
) -> list[tuple[Sequence[str], torch.Tensor]]:
    """Names of the layers that read the same tensor, and each channel's largest amount (in,)."""
    largest: dict[str, torch.Tensor] = {}
    reads: dict[str, torch.Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, Any], None]:
        def seen(_: nn.Module, inputs: Any) -> None:
            reads[name] = inputs[0]  # kept, so that `is` below compares what lives
            channels = inputs[0].abs().flatten(0, -2).amax(0)
            largest[name] = torch.maximum(largest.get(name, channels), channels)

        return seen

    hooks = [
        layer.register_forward_pre_hook(watch(name))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    groups: list[list[str]] = []
    for name, tensor in reads.items():
        together = next((group for group in groups if reads[group[0]] is tensor), None)
        if together is None:
            groups.append([name])
        else:
            together.append(name)
    return [(group, largest[group[0]]) for group in groups]


def _linear(module: nn.Module, name: str) -> nn.Linear:
    layer = module.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer
