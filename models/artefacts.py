"""What trained artefacts have in common: weights and a card in a folder, and the card's format.

    <weights>    a safetensors file; loading it runs no code
    card.json    what it is, and of which format: `ArtefactCard`
    card.md      the same for readers, written from it

A card without `format` is of format 1, as all were before it was asked. A release that changes
what an artefact holds raises the number, so that an older one names it and does not guess.

Errors:
    UnknownArtefactFormat    written by another version of this code
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

CARD: Final = "card.json"
CARD_TEXT: Final = "card.md"
CARD_FORMAT: Final = 1
"""What this version writes and reads, where a card's class names no other."""


class UnknownArtefactFormat(ValueError):
    """A file of a format that this version cannot read; names file, found and read."""

    def __init__(self, file: Path, found: object, reads: int) -> None:
        super().__init__(f"{file}: of format {found!r}; this version reads {reads}")


class ArtefactCard(BaseModel):
    """The part of a card that does not depend on the model."""

    model_config = ConfigDict(extra="forbid")

    older: ClassVar[frozenset[int]] = frozenset()
    """Formats of earlier releases that the class reads too."""

    # Left out while it is 1: versions are hashes of cards, and those of before stay as they are.
    format: int = Field(CARD_FORMAT, exclude=True)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a card.

        Raises:
            UnknownArtefactFormat: another version wrote it.
            OSError, ValueError: it is missing, or no card.
        """
        content = file.read_bytes()
        document = orjson.loads(content)
        found = document.get("format", CARD_FORMAT) if isinstance(document, dict) else None
        reads = cls.model_fields["format"].default
        known = {reads, *cls.older}
        if type(found) is not int or found not in known:  # True equals 1
            raise UnknownArtefactFormat(file, found, reads)
        return cls.model_validate_json(content)


CardT = TypeVar("CardT", bound=ArtefactCard)
TensorsT = TypeVar("TensorsT")


def save_artefact(
    folder: Path, card: ArtefactCard, weights: str, save: Callable[[Path], None]
) -> None:
    """Write the weights, by `save`, and `card.json`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / weights)
    (folder / weights).chmod(0o644)  # safetensors writes it for its owner alone
    write_card(folder, card)


def write_card(folder: Path, card: ArtefactCard) -> None:
    """Write `card.json`. Raises OSError."""
    (folder / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def load_artefact(
    folder: Path,
    card: type[CardT],
    weights: str,
    load: Callable[[Path], TensorsT],
    *,
    problem: Callable[[str], Exception],
    advice: str,
    also: Sequence[str] = (),
) -> tuple[CardT, TensorsT, str]:
    """The card, what `load` reads from the weights, and a hash of the files' content.

    Args:
        problem: makes the exception that is raised; its text names the missing or broken file
        advice: what to do where a file is missing
        also: patterns of further files that the hash covers, where they are
    """
    for name in (CARD, weights):
        if not (folder / name).is_file():
            raise problem(f"no {name} in {folder}; {advice}")
    at = folder / CARD
    try:
        read = card.read(at)
        at = folder / weights
        tensors = load(at)
        content = hashlib.sha256(at.read_bytes() + (folder / CARD).read_bytes())
        for at in sorted(file for pattern in also for file in folder.glob(pattern)):
            content.update(at.read_bytes())
    except UnknownArtefactFormat as error:
        raise problem(str(error)) from error
    except Exception as error:  # whatever a broken file makes its reader raise
        raise problem(f"{at}: {error}") from error
    return read, tensors, content.hexdigest()[:12]
