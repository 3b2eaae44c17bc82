"""Records as a polars frame, or as a Parquet file with its codebook.

polars is the extra `notebook`: whoever imports this module needs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from app.analysis.codebook import Column, Shape, columns_of, write_codebook
from app.privacy.retention import TEXT_FIELDS
from models.files import replacing
from schemas.base import Message

if TYPE_CHECKING:
    import polars as pl

    from app.analysis.reading import Records

_CHUNK: Final = 10_000
"""Records that are held as Python objects at a time."""
CODEBOOK: Final = "codebook"
"""Where a Parquet file's metadata has its codebook, as a JSON list."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    records: int
    skipped: int
    codebook: Path
    left_out: tuple[str, ...]
    """Columns that hold words, or what follows from words."""


async def frame_of(records: Records, *, text: bool = False) -> pl.DataFrame:
    """All records as one frame: in memory, some hundred bytes a figure."""
    import polars as pl  # noqa: PLC0415 - an extra

    columns, _ = chosen(records, text=text)
    parts = [table(columns, rows) async for rows in _chunks(records)]
    return pl.concat(parts or [table(columns, [])])


async def export_parquet(records: Records, out: Path, *, text: bool = False) -> Exported:
    """Write a Parquet file, and its codebook as `<name>.codebook.csv` beside it.

    Holds `_CHUNK` records at a time, and on disk beside `out` as much again as the file takes.

    Raises:
        OSError: it cannot be written there.
        what reading `records` raises.
    """
    import polars as pl  # noqa: PLC0415 - an extra

    columns, left_out = chosen(records, text=text)
    codebook = out.with_name(f"{out.name.removesuffix('.parquet')}.codebook.csv")
    lines = [line for column in columns for line in column.lines]
    written = 0
    with (
        replacing(codebook) as beside_book,
        replacing(out) as beside,
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
    ):
        parts: list[Path] = []
        async for rows in _chunks(records):
            written += len(rows)
            parts.append(Path(folder) / f"{len(parts)}.parquet")
            table(columns, rows).write_parquet(parts[-1])
        whole = pl.scan_parquet(parts) if parts else table(columns, []).lazy()
        whole.sink_parquet(beside, metadata={CODEBOOK: orjson.dumps(lines).decode()})
        write_codebook(columns, beside_book)
    return Exported(written, records.skipped, codebook, left_out)


def chosen(records: Records, *, text: bool) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns of a topic's frame, and the names of those that are left out."""
    columns = columns_of(records.schema)
    withheld = frozenset() if text else TEXT_FIELDS.get(records.topic, frozenset())
    kept = tuple(column for column in columns if column.path[0] not in withheld)
    return kept, tuple(column.name for column in columns if column.path[0] in withheld)


def table(columns: Sequence[Column], messages: Sequence[Message]) -> pl.DataFrame:
    """Messages as a frame: a row each, with these columns. What a message lacks is null."""
    import polars as pl  # noqa: PLC0415 - an extra

    documents = [message.document() for message in messages]
    found = {
        column.name: pl.Series(
            [_fitted(_at(document, column.path), column.shape) for document in documents],
            dtype=_type(column.shape),
        )
        for column in columns
    }
    return pl.DataFrame(found)


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if document is None:
            return None
        document = document.get(name)
    return document


def _fitted(value: Any, shape: Shape) -> Any:
    """As polars takes it: objects with all their fields, open mappings as lists of pairs."""
    if value is None:
        return None
    if shape.kind == "json":
        return orjson.dumps(value).decode()
    if shape.item is not None:
        if isinstance(value, dict):
            value = [{"key": key, "value": one} for key, one in value.items()]
        return [_fitted(one, shape.item) for one in value]
    if shape.kind == "object":
        return {name: _fitted(value.get(name), inner) for name, inner in shape.fields.items()}
    return value


def _type(shape: Shape) -> Any:
    import polars as pl  # noqa: PLC0415 - an extra

    if shape.item is not None:
        return pl.List(_type(shape.item))
    if shape.kind == "object":
        return pl.Struct({name: _type(inner) for name, inner in shape.fields.items()})
    return {
        "text": pl.String,
        "json": pl.String,
        "integer": pl.Int64,
        "number": pl.Float64,
        "boolean": pl.Boolean,
        "time": pl.Datetime("ms", "UTC"),
    }[shape.kind]


async def _chunks(records: Records) -> AsyncIterator[list[Message]]:
    chunk: list[Message] = []
    async for message in records:
        chunk.append(message)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
