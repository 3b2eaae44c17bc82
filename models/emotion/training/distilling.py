"""What another model reads in the training texts: what distillation teaches from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from models.emotion.artefact.artefact import GRAPH, Artefact
from models.emotion.config import EmotionSettings
from models.emotion.serving.engine import build_engine, network_engine, read_all

BATCH_TOKENS = 4_096

Report = Callable[[int, int], None]


class Ratings(NamedTuple):
    """A teacher's of n texts, each in [0, 1]."""

    pad: torch.Tensor  # (n, 3) valence, arousal, dominance
    goemotions: torch.Tensor  # (n, 28) probabilities, not calibrated


def rated_by(
    teacher: Artefact,
    texts: Sequence[str],
    kept: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    progress: Report = lambda _done, _all: None,
) -> Ratings:
    """How the teacher reads each text.

    They are written to `kept`, so that a run that goes on after an interruption does not
    read them again; ratings of another teacher or of other texts there are replaced.
    """
    name = {"of": hashlib.sha256("\n".join([teacher.version, *texts]).encode()).hexdigest()}
    if (known := _read(kept, name)) is not None:
        return known
    if device == "cpu" and (teacher.folder / GRAPH).is_file():
        # Several times as fast as torch, and a teacher's last digits teach nothing.
        settings = EmotionSettings(device="cpu", max_tokens=teacher.card.max_tokens, max_windows=1)
        engine = build_engine(teacher, settings.model_copy(update={"threads": os.cpu_count() or 1}))
    else:
        engine = network_engine(
            teacher,
            device=device,
            dtype=dtype,
            max_tokens=teacher.card.max_tokens,
            batch_tokens=BATCH_TOKENS,
        )
    raw = read_all(engine, texts, teacher.card, progress)
    ratings = Ratings(*(torch.sigmoid(torch.from_numpy(t)) for t in (raw.pad, raw.goemotions)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".part")
    save_file(ratings._asdict(), partial, metadata=name)
    partial.replace(kept)
    return ratings


def _read(kept: Path, name: dict[str, str]) -> Ratings | None:
    if not kept.is_file():
        return None
    with safe_open(kept, framework="pt") as file:
        if file.metadata() != name:
            return None
        return Ratings(*(file.get_tensor(field) for field in Ratings._fields))
