"""Which artefact is served: a pointer that `masterx models promote` moves and readers follow.

The pointer is a file beside the models; it is replaced in one step, so that a reader
sees the old name or the new one and never half of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.emotion.artefact.artefact import Artefact, load


@dataclass(frozen=True, slots=True)
class Promotion:
    """What the pointer says.

    version: of the artefact when it was promoted; None: the pointer was written by hand
    moment: when, in nanoseconds; promoting the same folder again is another promotion
    """

    folder: Path
    version: str | None
    moment: int


class ReadersLeftBehind(RuntimeError):
    """Nets read the embeddings of another emotion model. The message says what to do."""

    def __init__(self, nets: Mapping[str, str], version: str) -> None:
        lines = ", ".join(f"{name} (reads those of {of})" for name, of in sorted(nets.items()))
        super().__init__(
            f"promoting {version} would switch off what these nets read in texts: {lines}. "
            "They would go by behaviour alone until they are trained anew"
        )


def promote(folder: Path, pointer: Path, read_by: Mapping[str, str] | None = None) -> Artefact:
    """Point to the artefact in `folder`, after reading it whole.

    read_by: the version of the emotion model that each net reads the embeddings of, by the
        net's name. A net that this artefact would leave behind keeps the pointer where it is.

    Raises ArtefactProblem, ReadersLeftBehind.
    """
    artefact = load(folder)
    left = {name: of for name, of in (read_by or {}).items() if of != artefact.version}
    if left:
        raise ReadersLeftBehind(left, artefact.version)
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
