"""A larger model's ratings of texts that nobody rated: what distillation teaches from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.emotion import artefact as artefacts
from models.emotion.inference import CPU, outputs

BATCH_TOKENS = 4_096

Report = Callable[[int, int], None]


def rated_by(
    teacher: Path,
    texts: Sequence[str],
    kept: Path,
    device: torch.device = CPU,
    progress: Report = lambda _done, _all: None,
) -> torch.Tensor:
    """Valence, arousal and dominance (n, 3) in [0, 1] of each text, as the artefact reads them.

    They are written to `kept`, so that a run that goes on after an interruption does not
    read them again; ratings of another teacher or of other texts there are replaced.
    Raises what `artefacts.load` raises.
    """
    artefact = artefacts.load(teacher)
    name = {"of": hashlib.sha256("\n".join([artefact.version, *texts]).encode()).hexdigest()}
    if (known := _read(kept, name)) is not None:
        return known
    raw = outputs(
        artefact,
        texts,
        max_tokens=artefact.card.max_tokens,
        batch_tokens=BATCH_TOKENS,
        device=device,
        progress=progress,
    )
    ratings = torch.sigmoid(raw.pad)
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part")
    save_file({"pad": ratings}, partial, metadata=name)
    partial.replace(kept)
    return ratings


def _read(kept: Path, name: dict[str, str]) -> torch.Tensor | None:
    if not kept.is_file():
        return None
    with safe_open(kept, framework="pt") as file:
        return file.get_tensor("pad") if file.metadata() == name else None
