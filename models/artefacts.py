"""What every trained artefact's `card.json` has in common: it says of which format it is.

A card without `format` is of format 1, as all were before it was asked. A release that changes
what an artefact holds raises the number, so that an older one names it and does not guess.

Errors:
    UnknownArtefactFormat    written by another version of this code
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field

CARD_FORMAT: Final = 1
"""What this version writes and reads, where a card's class names no other."""


class UnknownArtefactFormat(ValueError):
    """A file of a format that this version cannot read; names file, found and read."""

    def __init__(self, file: Path, found: object, reads: int) -> None:
        super().__init__(f"{file}: of format {found!r}; this version reads {reads}")


class ArtefactCard(BaseModel):
    """The part of a card that does not depend on the model."""

    model_config = ConfigDict(extra="forbid")

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
        if type(found) is not int or found != reads:  # True equals 1
            raise UnknownArtefactFormat(file, found, reads)
        return cls.model_validate_json(content)
