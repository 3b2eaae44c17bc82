"""Products that give a row the same digits whatever rows lie beside it.

oneDNN may divide a long sum between threads, and does so or not by the number of rows. The
last digit of a reading would then depend on the texts in its batch, and bfloat16 lets a
last digit grow. Sums of at most `LONGEST` terms it leaves whole (tested up to 1,024 rows).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

LONGEST = 384


class SummedLinear(nn.Module):
    """A linear layer made of products over at most `LONGEST` inputs each, added in float32."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        pieces = -(-layer.in_features // LONGEST)
        self.pieces = nn.ParameterList(
            nn.Parameter(piece.clone(), requires_grad=False)
            for piece in layer.weight.detach().chunk(pieces, 1)
        )
        self.bias = layer.bias

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out), in the inputs' numbers."""
        parts = inputs.chunk(len(self.pieces), -1)
        total = functional.linear(parts[0], self.pieces[0], self.bias).float()
        for part, piece in zip(parts[1:], self.pieces[1:], strict=True):
            total += functional.linear(part, piece)
        return total.to(inputs.dtype)


def keep_sums_whole(module: nn.Module) -> None:
    """Replace every linear layer below `module` with longer sums, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) and child.in_features > LONGEST:
            setattr(module, name, SummedLinear(child))
        else:
            keep_sums_whole(child)
