"""The model on a GPU: torch, in padded batches."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from models.emotion.artefact.artefact import Artefact, ArtefactProblem
from models.emotion.config import EmotionSettings
from models.emotion.serving.inference import Output, TokenisedText, checked, output_of

if TYPE_CHECKING:
    import torch

LENGTH_STEP: Final = 4
"""Texts are padded to a multiple of this, and in 16 bits share a batch only at equal length.

Padding moves attention's last digit. float32 carries that through; coarser numbers round it up or
down and end 1e-2 apart. At equal padded length nothing moves.
"""
_DRIVERS: Final = ("/proc/driver/nvidia/version", "/dev/dxg")
"""Linux with NVIDIA's driver; Windows' Linux with a GPU passed through."""


def is_wanted(settings: EmotionSettings) -> bool:
    """Whether the model runs on a GPU: where the settings say so, or find one with torch.

    Raises ArtefactProblem where the settings ask for a GPU that cannot be used.
    """
    # The driver first: importing torch takes seconds and 200 MB.
    if settings.device == "cpu" or (settings.device == "auto" and not _driver_is_here()):
        return False
    if importlib.util.find_spec("torch") is None:
        if settings.device == "auto":
            return False
        raise ArtefactProblem("emotion.device: cuda needs torch; install it: `make install-gpu`")
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        return True
    if settings.device == "cuda":
        raise ArtefactProblem("emotion.device: torch finds no CUDA device on this machine")
    return False


def _driver_is_here() -> bool:
    return any(Path(file).exists() for file in _DRIVERS) or shutil.which("nvidia-smi") is not None


@dataclass(frozen=True, slots=True)
class Padded:
    """(ids, mask) for each encoder, each (n, length)."""

    inputs: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def padded(self) -> int:
        """Tokens with padding, of the encoder that has the most."""
        return max(ids.numel() for ids, _ in self.inputs)


class Pad:
    """Tokenised texts to a batch, padded to the longest, up to `step`."""

    def __init__(self, padding_ids: Sequence[int], step: int) -> None:
        from models.emotion.network.encoders import pad  # noqa: PLC0415

        self._pad = pad
        self._padding_ids = padding_ids
        self._step = step

    def __call__(self, texts: Sequence[TokenisedText]) -> Padded:
        """The batch, on the processor."""
        return Padded(
            tuple(
                self._pad([text[i] for text in texts], padding_id, self._step)
                for i, padding_id in enumerate(self._padding_ids)
            )
        )


class RunNetwork:
    """One forward pass of an artefact's network on a device."""

    def __init__(
        self, artefact: Artefact, device: str, dtype: str, encoders: Sequence[str] = ()
    ) -> None:
        """dtype: of the encoders' products. The heads stay float32: a probability's last digits
        come from there.

        Raises ArtefactProblem, EncoderNotFound, or torch's error for a device that is not there.
        """
        import torch  # noqa: PLC0415

        from models.emotion.network.storing import network_of  # noqa: PLC0415

        self._device = torch.device(device)
        self._network = network_of(artefact, encoders).to(self._device).eval()
        self._network.encoders.to(getattr(torch, dtype))
        self._no_gradients = torch.inference_mode
        self._card = artefact.card

    def __call__(self, batch: Padded) -> Output:
        """Raises what torch raises (`torch.OutOfMemoryError` among it), and ArithmeticError."""
        with self._no_gradients():
            moved = [
                (ids.to(self._device, non_blocking=True), mask.to(self._device, non_blocking=True))
                for ids, mask in batch.inputs
            ]
            logits = self._network(moved)._asdict()
            given = {name: tensor.float().cpu().numpy() for name, tensor in logits.items()}
            return checked(output_of(self._card, given))


def length_step(dtype: str) -> int:
    """What lengths are padded to a multiple of; over 1, only equal ones may share a batch."""
    return 1 if dtype == "float32" else LENGTH_STEP


def release_memory() -> None:
    """Give back what torch keeps for later batches, after memory ran out."""
    import torch  # noqa: PLC0415

    torch.cuda.empty_cache()
