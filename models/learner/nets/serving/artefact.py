"""A net on disk: `net.safetensors` (float32), `card.json`, `card.md`.

Errors:
    NetProblem    a folder or table that cannot be used; the message names it
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import load_file, save_file

from models.artefacts import UnknownArtefactFormat
from models.learner.nets.serving.card import NetCard, markdown
from models.learner.nets.serving.inputs import Floats

WEIGHTS: Final = "net.safetensors"
CARD: Final = "card.json"
CARD_TEXT: Final = "card.md"


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
    folder.mkdir(parents=True, exist_ok=True)
    kept = {n: np.ascontiguousarray(t, dtype=np.float32) for n, t in sorted(tensors.items())}
    save_file(kept, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)  # it is written for its owner alone
    (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    artefact = load(folder)
    (folder / CARD_TEXT).write_text(markdown(card, artefact.version), encoding="utf-8")
    return artefact


def load(folder: Path) -> NetArtefact:
    """Read an artefact. Raises NetProblem that names the missing or broken file."""
    digest = hashlib.sha256()
    for name in (WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise NetProblem(
                f"no {name} in {folder}; train it (`masterx train readiness` or "
                "`masterx train intervention`) or set MASTERX_LEARNER__NETS__..."
            )
        digest.update((folder / name).read_bytes())
    try:
        card = NetCard.read(folder / CARD)
        tensors = {n: t.astype(np.float64) for n, t in load_file(folder / WEIGHTS).items()}
    except UnknownArtefactFormat as error:
        raise NetProblem(str(error)) from error
    except Exception as error:
        raise NetProblem(f"{folder}: {error}") from error
    return NetArtefact(folder, card, tensors, f"{card.name}-{digest.hexdigest()[:12]}")
