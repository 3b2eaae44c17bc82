"""Where the model runs and with what numbers; the same for serving and evaluation."""

from __future__ import annotations

from enum import StrEnum

import torch

from models.emotion.artefact.card import Card
from models.emotion.config import EmotionSettings
from models.emotion.cpu.hardware import Bfloat16Trial


class Precision(StrEnum):
    """Of the encoders' products; the heads are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensors between the layers."""
        return torch.float32 if self is Precision.INT8 else getattr(torch, self)

    @property
    def length_step(self) -> int:
        """Texts are padded to a multiple of this, and share a batch only at equal length.

        Padding moves attention's last digit. float32 carries that through; coarser numbers
        round it up or down and end 1e-2 apart. At equal padded length nothing moves.
        """
        return 1 if self is Precision.FLOAT32 else 4


def choose_device(settings: EmotionSettings) -> torch.device:
    """`auto`: CUDA when there is one."""
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


class PrecisionChoice:
    """Made in two steps, because a trial runs while the model is loaded."""

    def __init__(self, settings: EmotionSettings, card: Card, device: torch.device) -> None:
        """Start the trial where the choice needs one."""
        self._settings = settings
        self._card = card
        self._device = device
        open_question = settings.dtype == "auto" and device.type == "cpu"
        tried = open_question and self._cheap(Precision.BFLOAT16)
        self._trial = Bfloat16Trial(settings.threads) if tried else None

    def made(self) -> Precision:
        """`auto`: bfloat16 on CUDA. On a CPU bfloat16 where it works and pays, else int8,
        each if the card says that it costs this artefact next to nothing; else float32."""
        if self._settings.dtype != "auto":
            return Precision(self._settings.dtype)
        if self._device.type != "cpu" or (self._trial is not None and self._trial.pays()):
            return Precision.BFLOAT16
        if self._cheap(Precision.INT8) and torch.cpu._is_vnni_supported():
            return Precision.INT8
        return Precision.FLOAT32

    def _cheap(self, precision: Precision) -> bool:
        cost = self._card.rounding_cost.get(precision)
        return cost is not None and cost <= self._settings.most_rounding_cost
