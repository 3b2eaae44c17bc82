"""Template files: TOML between two lines of `+++`, then the text.

Errors:
    TemplateProblem     a file that is missing or is not a template; names it and says what to do

The text is a `string.Template`: `$name` stands for a field, `$$` for a dollar. Values are put
in once and never looked at, so that nothing in them is evaluated.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template as Text
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PACKAGED: Final = Path(__file__).parent / "texts"

REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"help_message"}),
    "direct": frozenset(),
    "socratic": frozenset(),
    "encouragement": frozenset(),
    "worked_example": frozenset(),
    "intervention": frozenset(),
    "summary": frozenset({"words"}),
}
"""Templates that must be there, and the fields that each is given. And `rung_0`, `rung_1`, ..."""

_RULE: Final = "+++"


class TemplateProblem(ValueError):
    """A prompt template that cannot be used."""


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)
    about: str = Field(min_length=1)
    fields: frozenset[str]


@dataclass(frozen=True, slots=True)
class Template:
    """One file. version: grows with every change of the text."""

    name: str
    version: int
    about: str
    fields: frozenset[str]
    text: str

    def render(self, values: Mapping[str, str]) -> str:
        """With its fields filled in. Raises TemplateProblem unless they are exactly those."""
        if values.keys() != self.fields:
            raise TemplateProblem(
                f"template {self.name}: takes {sorted(self.fields)}, was given {sorted(values)}"
            )
        return Text(self.text).substitute(values)


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of a folder, read and checked."""

    by_name: Mapping[str, Template]
    rungs: int

    def __getitem__(self, name: str) -> Template:
        return self.by_name[name]


def parse(name: str, source: str) -> Template:
    """A template from a file's text. Raises TemplateProblem."""
    first, found, rest = source.partition("\n")
    head, closed, body = rest.partition(f"\n{_RULE}\n")
    if first.strip() != _RULE or not found or not closed:
        raise TemplateProblem(f"template {name}: begin it with TOML between two lines of {_RULE}")
    try:
        read = _Head.model_validate(tomllib.loads(head))
    except tomllib.TOMLDecodeError as error:
        raise TemplateProblem(f"template {name}: its head is not TOML: {error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise TemplateProblem(f"template {name}: {where}: {wrong['msg']}") from error
    text = body.strip()
    if not text:
        raise TemplateProblem(f"template {name}: has no text")
    if not Text(text).is_valid():
        raise TemplateProblem(f"template {name}: a lone $; write $$ for a dollar")
    used = set(Text(text).get_identifiers())
    if used != read.fields:
        raise TemplateProblem(
            f"template {name}: declares {sorted(read.fields)} but uses {sorted(used)}"
        )
    return Template(name, read.version, read.about, read.fields, text)


def load(folder: Path | None = None, *, rungs: int | None = None) -> Templates:
    """The templates of a folder; default, the packaged ones.

    rungs: how many the hint ladder in the settings has; None: not compared

    Raises TemplateProblem.
    """
    templates = _packaged() if folder is None else _load(folder)
    if rungs is not None and rungs != templates.rungs:
        raise TemplateProblem(
            f"modes.ladder has {rungs} rungs, and there are {templates.rungs} templates rung_*.md"
        )
    return templates


@lru_cache(maxsize=1)
def _packaged() -> Templates:
    return _load(PACKAGED)


def _load(folder: Path) -> Templates:
    found = {}
    for path in sorted(folder.glob("*.md")):
        try:
            found[path.stem] = parse(path.stem, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateProblem(f"template {path}: cannot be read: {error}") from error
    rungs = 0
    while f"rung_{rungs}" in found:
        rungs += 1
    wanted = {**REQUIRED, **{f"rung_{i}": frozenset[str]() for i in range(max(2, rungs))}}
    for name, fields in wanted.items():
        if name not in found:
            raise TemplateProblem(f"template {name}.md is missing in {folder}")
        if not found[name].fields <= fields:
            raise TemplateProblem(
                f"template {name}: there is no {sorted(found[name].fields - fields)}; "
                f"it can use {sorted(fields)}"
            )
    if strange := sorted(found.keys() - wanted.keys()):
        raise TemplateProblem(f"template {strange[0]}.md in {folder}: nothing uses that name")
    return Templates(found, rungs)
