"""The columns of a topic's frame, from its message's own types and descriptions.

A message within a message becomes columns with a dotted name: `valence.confidence`. A mapping with
a closed set of keys becomes a column for each key: `emotions.joy`. A list stays one column.
"""

from __future__ import annotations

import csv
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.base import MAX_INT64, Message
from schemas.times import MAX_MILLIS, MOMENT, In

HEADINGS: Final = ("field", "type", "unit", "range", "meaning")
"""Of a codebook, in its order."""
_UNBOUNDED: Final = frozenset({MAX_INT64, MAX_MILLIS, -MAX_MILLIS})
"""Bounds of the encoding, which say nothing of the figure."""
_SCALARS: Final = {bool: "boolean", int: "integer", float: "number", str: "text"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a value.

    Attributes:
        kind: text, integer, number, boolean, time, json, list, or object.
        item: of a list.
        fields: of an object, by name.
    """

    kind: str
    item: Shape | None = None
    fields: Mapping[str, Shape] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.item is not None:
            return f"list of {self.item}"
        if self.fields:
            inside = ", ".join(f"{name}: {shape}" for name, shape in self.fields.items())
            return f"{{{inside}}}"
        return self.kind


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a frame, and one line of a codebook.

    Attributes:
        path: where its value is in the record's JSON.
        unit: empty: it has none.
        range: bounds, or the values of a closed set; empty: none is said.
        meaning: the field's own description, else that of what it belongs to.
        inside: of a list of objects, what an object has; the codebook tells them after the list.
    """

    path: tuple[str, ...]
    shape: Shape
    unit: str
    range: str
    meaning: str
    inside: tuple[Column, ...] = ()

    @property
    def name(self) -> str:
        """Dotted, like `valence.confidence`."""
        return ".".join(self.path)

    @property
    def lines(self) -> Iterator[dict[str, str]]:
        """Its lines in a codebook, by heading: its own, and one for each field inside."""
        shape = "list of objects" if self.inside else str(self.shape)
        said = (self.name, shape, self.unit, self.range, self.meaning)
        yield dict(zip(HEADINGS, said, strict=True))
        for column in self.inside:
            yield from column.lines


@lru_cache
def columns_of(model: type[Message]) -> tuple[Column, ...]:
    """Every column of a message's frame, in the order of its fields."""
    return tuple(_columns(model, (), ""))


def write_codebook(columns: tuple[Column, ...], file: Path) -> None:
    """As CSV, a line a column. Raises OSError."""
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, HEADINGS)
        writer.writeheader()
        writer.writerows(line for column in columns for line in column.lines)


@dataclass(frozen=True, slots=True)
class _Said:
    """A type without its annotations, and what these said."""

    type: Any
    notes: tuple[Any, ...]

    @property
    def unit(self) -> str:
        return next((note.unit for note in self.notes if isinstance(note, In)), "")

    @property
    def description(self) -> str:
        given = (n.description for n in self.notes if isinstance(n, FieldInfo) and n.description)
        return next(given, "")

    @property
    def range(self) -> str:
        if _is(self.type, Enum):
            return " | ".join(str(member.value) for member in self.type)
        if get_origin(self.type) is Literal:
            return " | ".join(map(str, get_args(self.type)))
        least = self._bound("ge", "gt", "min_length")
        most = self._bound("le", "lt", "max_length")
        return f"{least}..{most}" if least or most else ""

    def _bound(self, *names: str) -> str:
        found = (getattr(note, name, None) for note in self.notes for name in names)
        known = (one for one in found if isinstance(one, int | float) and one not in _UNBOUNDED)
        return next((f"{one:g}" for one in known), "")


def _said(annotation: Any, notes: tuple[Any, ...] = ()) -> _Said:
    """Without Annotated and `| None`; the outermost notes come first."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _said(inner, (*notes, *_flat(more)))
    if get_origin(annotation) in (Union, UnionType):
        choices = [one for one in get_args(annotation) if one is not type(None)]
        if len(choices) == 1:
            return _said(choices[0], notes)
    return _Said(annotation, notes)


def _flat(notes: list[Any]) -> Iterator[Any]:
    for note in notes:
        yield note
        if isinstance(note, FieldInfo):
            yield from note.metadata


def _columns(model: type[BaseModel], above: tuple[str, ...], outer: str) -> Iterator[Column]:
    """Of a message that stands at `above`. outer: what the field that holds it means."""
    for name, info in model.model_fields.items():
        path = (*above, info.alias or name)
        said = _said(info.annotation, tuple(_flat([info])))
        about = said.description or _about(said.type)
        # `value` of an Estimate is told by the figure that it is the value of.
        meaning = about or _joined(outer, path[-1]) or _sentence(model)
        if _is_model(said.type):
            yield from _columns(said.type, path, said.description or path[-1])
        elif keys := _closed_keys(said.type):
            value = _said(get_args(said.type)[1])
            shape = _shape(value)
            for key in keys:
                yield Column((*path, key), shape, value.unit, value.range, f"{meaning}: {key}")
        else:
            shape, inside = _shape(said), _item(said)
            # How many a list may hold is no range of its figures.
            bounds = "" if shape.item else said.range
            below = tuple(_columns(inside, (*above, f"{path[-1]}[]"), "")) if inside else ()
            yield Column(path, shape, said.unit, bounds, meaning, below)


def _joined(outer: str, name: str) -> str:
    return f"{name} of: {outer}" if outer else ""


def _shape(said: _Said) -> Shape:
    kind, arguments = get_origin(said.type) or said.type, get_args(said.type)
    if MOMENT in said.notes:
        return Shape("time")
    if kind is tuple and arguments[1:] == (Ellipsis,):
        return Shape("list", item=_shape(_said(arguments[0])))
    if kind is dict and arguments[1] is not Any:
        key, value = map(_shape, map(_said, arguments))
        return Shape("list", item=Shape("object", fields={"key": key, "value": value}))
    if _is_model(kind):
        inside = {
            info.alias or name: _shape(_said(info.annotation, tuple(_flat([info]))))
            for name, info in kind.model_fields.items()
        }
        return Shape("object", fields=inside)
    kind = type(arguments[0]) if kind is Literal else kind
    names = (name for scalar, name in _SCALARS.items() if _is(kind, scalar))
    return Shape(next(names, "json"))


def _item(said: _Said) -> type[BaseModel] | None:
    """The message that a list holds."""
    if get_origin(said.type) is not tuple:
        return None
    item = _said(get_args(said.type)[0]).type
    return item if _is_model(item) else None


def _is(kind: Any, base: type[Any]) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base)


def _is_model(kind: Any) -> bool:
    return _is(kind, BaseModel)


def _closed_keys(kind: Any) -> tuple[str, ...]:
    """The keys that a mapping may have; none where they are open."""
    if get_origin(kind) is not dict:
        return ()
    key = _said(get_args(kind)[0]).type
    return tuple(str(member.value) for member in key) if _is(key, Enum) else ()


def _about(kind: Any) -> str:
    """What a message, an enumeration, or the items of a list are."""
    for one in (kind, *(_said(argument).type for argument in get_args(kind))):
        if _is_model(one) or _is(one, Enum):
            return _sentence(one)
    return ""


def _sentence(kind: type[Any]) -> str:
    """The first sentence of a docstring, in one line."""
    text = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", text)[0]
