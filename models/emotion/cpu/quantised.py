"""int8 products for CPUs: weights by output channel, activations by row.

A row's scale depends on that row alone, so a reading stays the same whatever texts lie
beside it in the batch. (Dynamic quantisation with one scale a tensor does not have that.)
"""

from __future__ import annotations

import torch
from torch import nn

SMALLEST = 1e-8


class Int8Linear(nn.Module):
    """A linear layer with int8 weights (in, out) and a float32 scale for each output."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        original = layer.weight.detach().float()
        scale = original.abs().amax(1, keepdim=True).clamp_min(SMALLEST) / 127
        self.register_buffer("weight", (original / scale).round().to(torch.int8).t().contiguous())
        self.register_buffer("scale", scale.t().contiguous())
        self.bias = layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) float32 to (..., out) float32."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        step = rows.abs().amax(1, keepdim=True).clamp_min_(SMALLEST).div_(127)
        product = torch._int_mm((rows / step).round_().to(torch.int8), self.weight)
        outputs = product.float().mul_(step).mul_(self.scale)
        if self.bias is not None:
            outputs += self.bias
        return outputs.reshape(*inputs.shape[:-1], -1)


def quantise(module: nn.Module) -> None:
    """Replace every linear layer below `module`, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            setattr(module, name, Int8Linear(child))
        else:
            quantise(child)
