"""A net on disk: `net.safetensors` (float32), `card.json`, `card.md`.

Errors:
    NetProblem    a folder or table that cannot be used; the message names it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import load_file, save_file

from models.artefacts import CARD_TEXT, load_artefact, save_artefact
from models.learner.nets.serving.card import NetCard, markdown
from models.learner.nets.serving.inputs import Floats

WEIGHTS: Final = "net.safetensors"


class NetProblem(ValueError):
    """An artefact or a table of the nets that cannot be used."""


@dataclass(frozen=True, slots=True)
class NetArtefact:
    """Weights and card as read; `version` names their content."""

    folder: Path
    card: NetCard
    tensors: Mapping[str, Floats]
    version: str

    def tensor(self, name: str, shape: tuple[int, ...]) -> Floats:
        """A tensor of this shape (-1: any), all finite. Raises NetProblem."""
        found = self.tensors.get(name)
        if found is None:
            raise NetProblem(f"{self.folder / WEIGHTS}: no {name}")
        fits = len(found.shape) == len(shape) and all(
            want in (-1, have) for want, have in zip(shape, found.shape, strict=True)
        )
        if not fits:
            raise NetProblem(f"{self.folder / WEIGHTS}: {name} is {found.shape}, expected {shape}")
        if not np.isfinite(found).all():
            raise NetProblem(f"{self.folder / WEIGHTS}: {name} holds values that are not numbers")
        return found


def save(folder: Path, card: NetCard, tensors: Mapping[str, Floats]) -> NetArtefact:
    """Write the three files and read them back."""
    kept = {n: np.ascontiguousarray(t, dtype=np.float32) for n, t in sorted(tensors.items())}
    save_artefact(folder, card, WEIGHTS, lambda file: save_file(kept, file))
    artefact = load(folder)
    (folder / CARD_TEXT).write_text(markdown(card, artefact.version), encoding="utf-8")
    return artefact


def load(folder: Path) -> NetArtefact:
    """Read an artefact. Raises NetProblem that names the missing or broken file."""
    card, tensors, content = load_artefact(
        folder,
        NetCard,
        WEIGHTS,
        load_file,
        problem=NetProblem,
        advice="train it (`masterx train readiness` or `masterx train intervention`) or set "
        "MASTERX_LEARNER__NETS__...",
    )
    exact = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    return NetArtefact(folder, card, exact, f"{card.name}-{content}")
