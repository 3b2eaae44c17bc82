"""The wide part: what words and pairs of words say by themselves, beside the encoder.

A linear model on hashed word pieces and pairs of neighbours, whose logits are added to the
heads' (Cheng et al. 2016, "Wide & Deep Learning"). The encoder generalises; a rare label often
hangs on a rare word, which a weight of its own remembers.
"""

from __future__ import annotations

import torch
from torch import nn

from models.emotion.network.wide_table import BITS, FACTOR, MIXED, PAIR


class Wide(nn.Module):
    """Hashed word pieces and pairs to logits: the mean weight, times the root of their number."""

    def __init__(self, buckets: int, outputs: int) -> None:
        """buckets: a power of two; outputs: emotions, then GoEmotions' own labels."""
        super().__init__()
        self.buckets = buckets
        self.table = nn.EmbeddingBag(buckets + 1, outputs, mode="sum", padding_idx=buckets)
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.zeros_(self.table.weight)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(n, length) both, to (n, outputs)."""
        found = grams(ids, mask, self.buckets)
        number = (found != self.buckets).sum(1, keepdim=True)
        logits: torch.Tensor = self.table(found) / number.sqrt() + self.bias
        return logits


def grams(ids: torch.Tensor, mask: torch.Tensor, buckets: int) -> torch.Tensor:
    """Buckets of each text's pieces and pairs: (n, 2 * length - 1); `buckets` where padding is."""
    pairs = ids[:, :-1] * PAIR + ids[:, 1:] + 1
    mixed = torch.cat([ids, pairs], 1) * FACTOR & MIXED
    shift = BITS - (buckets.bit_length() - 1)
    kept = torch.cat([mask, mask[:, 1:]], 1).bool()
    return torch.where(kept, mixed >> shift, buckets)
