"""The decayed mean of a learner's affect embeddings: what the nets read of the texts.

    mean = sum_i x_i * 2^(-(T - t_i) / h) / sum_i 2^(-(T - t_i) / h)

as in evidence.py, in 64 half-precision numbers. Embeddings of two emotion models have
nothing in common, so a new model's first embedding begins the mean anew.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from models.learner.nets.serving.inputs import AFFECT_WIDTH, Affect, Floats, model_key

# key of the model, weight, numbers
_HEAD: Final = struct.Struct("<QdB")
_HALF: Final = np.dtype("<f2")
_LARGEST: Final = 60_000.0  # of half precision; no embedding comes near it


@dataclass(frozen=True, slots=True)
class AffectMean:
    """As it is stored: at most 145 bytes.

    model: key of the emotion model's version; weight: decayed number of messages, at the
    evidence's newest time; half: the mean, little-endian float16
    """

    model: int
    weight: float
    half: bytes

    def moved(self, left: float) -> AffectMean:
        """Relative to a later time, when `left` of each weight is left."""
        return self if left == 1.0 else replace(self, weight=self.weight * left)

    def values(self) -> Floats:
        """(n,) the mean."""
        return np.frombuffer(self.half, _HALF).astype(np.float64)

    def read(self, least: float) -> Affect | None:
        """For the nets; None once the weight is below `least`."""
        return Affect(self.model, self.weight, self.values()) if self.weight >= least else None

    def to_bytes(self) -> bytes:
        """For the record."""
        return _HEAD.pack(self.model, self.weight, len(self.half) // 2) + self.half

    @classmethod
    def from_bytes(cls, value: bytes, at: int) -> tuple[AffectMean, int]:
        """(mean, where it ends). Raises struct.error or ValueError where it is cut short."""
        model, weight, n = _HEAD.unpack_from(value, at)
        at += _HEAD.size
        half = value[at : at + 2 * n]
        if len(half) != 2 * n or n > AFFECT_WIDTH:
            raise ValueError(f"it says {n} numbers of affect")
        return cls(model, weight, half), at + 2 * n


def plus(
    mean: AffectMean | None, version: str, values: tuple[float, ...], weight: float
) -> AffectMean | None:
    """With one more embedding of a model, that weighs so much; as it was without one."""
    if not values or weight <= 0.0:
        return mean
    new = np.clip(np.array(values[:AFFECT_WIDTH]), -_LARGEST, _LARGEST)
    key = model_key(version)
    if mean is None or mean.model != key or len(mean.half) != 2 * len(new):
        return AffectMean(key, weight, new.astype(_HALF).tobytes())
    total = mean.weight + weight
    blended = (mean.weight * mean.values() + weight * new) / total
    return AffectMean(key, total, blended.astype(_HALF).tobytes())
