"""Which artefact is served: a pointer that `masterx models promote` moves and readers follow.

The pointer is a file beside the models; it is replaced in one step, so that a reader
sees the old name or the new one and never half of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from models.emotion.artefact import Artefact, load


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the pointer says.

    version: of the artefact when it was promoted; None: the pointer was written by hand
    moment: when, in nanoseconds; promoting the same folder again is another promotion
    """

    folder: Path
    version: str | None
    moment: int


def promote(folder: Path, pointer: Path) -> Artefact:
    """Point to the artefact in `folder`, after reading it whole. Raises ArtefactProblem."""
    artefact = load(folder)
    artefact.network()  # its weights must fit its encoders here, before any worker tries them
    pointer.parent.mkdir(parents=True, exist_ok=True)
    partial = pointer.with_name(f"{pointer.name}.{os.getpid()}.part")
    partial.write_text(f"{folder.resolve()}\n{artefact.version}\n", encoding="utf-8")
    partial.replace(pointer)
    return artefact


def promotion(pointer: Path) -> Promotion | None:
    """What is promoted; None when nothing is. Raises OSError."""
    try:
        with pointer.open(encoding="utf-8") as file:
            moment = os.fstat(file.fileno()).st_mtime_ns
            folder, _, version = file.read().strip().partition("\n")
    except FileNotFoundError:
        return None
    return Promotion(Path(folder), version or None, moment) if folder else None
