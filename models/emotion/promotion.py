"""Which artefact is served: a pointer that `masterx models promote` moves and readers follow.

The pointer is a file beside the models; it is replaced in one step, so that a reader
sees the old name or the new one and never half of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from models.emotion.artefact import Artefact, load


def promote(folder: Path, pointer: Path) -> Artefact:
    """Point to the artefact in `folder`, after reading it whole. Raises ArtefactProblem."""
    artefact = load(folder)
    artefact.network()  # its weights must fit its encoders here, before any worker tries them
    pointer.parent.mkdir(parents=True, exist_ok=True)
    partial = pointer.with_name(f"{pointer.name}.{os.getpid()}.part")
    partial.write_text(str(folder.resolve()), encoding="utf-8")
    partial.replace(pointer)
    return artefact


def promoted(pointer: Path, default: Path) -> Path:
    """The artefact folder to serve: the promoted one, or `default` when none is."""
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return default
    return Path(name) if name else default
