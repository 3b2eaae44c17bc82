"""The wide part as a processor reads it: a table of int8 in numpy. No torch here.

`models.emotion.network.wide` says what it is and holds the same in torch, to fit it and for GPUs.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from models.emotion.artefact.artefact import SCALE, WIDE_BIAS, WIDE_TABLE, Artefact, ArtefactProblem
from models.emotion.labels import GOEMOTIONS

# Multiplicative hashing (Knuth, 6.4): the upper bits of a product are the mixed ones.
FACTOR: Final = 2_654_435_761
PAIR: Final = 1_000_003
MIXED: Final = 0xFFFFFFFF
BITS: Final = 32

Logits = npt.NDArray[np.float32]


def buckets_of(ids: npt.NDArray[np.int64], buckets: int) -> npt.NDArray[np.int64]:
    """Buckets of a text's pieces and of its pairs of neighbours: (length,) to (2 length - 1,)."""
    grams = np.concatenate([ids, ids[:-1] * PAIR + ids[1:] + 1])
    found: npt.NDArray[np.int64] = (grams * FACTOR & MIXED) >> BITS - (buckets.bit_length() - 1)
    return found


class WideTable:
    """Token ids of one text to the logits that are added to the heads'."""

    def __init__(self, artefact: Artefact) -> None:
        """Raises ArtefactProblem where the weights lack it or do not fit the card."""
        self._buckets = artefact.card.shape.wide
        outputs = len(artefact.card.emotions) + len(GOEMOTIONS)
        try:
            with safe_open(artefact.weights, framework="numpy") as tensors:
                self._table: npt.NDArray[np.int8] = tensors.get_tensor(WIDE_TABLE)
                self._scale: Logits = tensors.get_tensor(WIDE_TABLE + SCALE)[0]
                self._bias: Logits = tensors.get_tensor(WIDE_BIAS).astype(np.float32)
        except Exception as error:  # safetensors' own, or a missing name
            raise ArtefactProblem(f"{artefact.weights}: the wide part: {error}") from error
        if self._table.shape != (self._buckets + 1, outputs):
            raise ArtefactProblem(
                f"{artefact.weights}: the wide part is {self._table.shape}, "
                f"the card says {(self._buckets + 1, outputs)}"
            )

    def __call__(self, ids: npt.NDArray[np.int64]) -> Logits:
        """(length,) to (outputs,): emotions before GoEmotions' own labels."""
        found = buckets_of(ids, self._buckets)
        total = self._table[found].sum(0, dtype=np.int32)
        logits: Logits = total * (self._scale / np.float32(math.sqrt(len(found)))) + self._bias
        return logits.astype(np.float32, copy=False)
