"""Texts that differ in who is named, or in the variety of English, and in nothing else.

enters  a folder of templates, of groups that fill their slots, of texts in several varieties
leaves  sentences, each with its axis, group and template
callers `evaluation` and training, which have them read for `groups`
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from models.emotion.measuring.served import Sign
from models.emotion.training.examples import NO_OR_YES, SIGNS, DataProblem, tab_separated

PERSON: Final = "person"
SELF: Final = "self"
TEMPLATES: Final = {PERSON: "templates.tsv", SELF: "self.tsv"}
"""The file of each slot's templates."""
GROUPS: Final = "groups.tsv"
DIALECT: Final = "dialect.tsv"
DIALECTS: Final = "dialect"
"""The axis whose groups are varieties of English."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text with a slot, or what the varieties of one text have in common.

    place: file and line, or file and id
    sign: how its writer feels, as its author meant it
    concern: whether a person should know of it
    """

    place: str
    text: str
    sign: Sign
    concern: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """A template with a group's filling. Sentences of one axis and template are to read alike."""

    text: str
    axis: str
    group: str
    template: Template

    def as_json(self) -> dict[str, str]:
        """Which one it is, for a line of predictions."""
        return {
            "axis": self.axis,
            "group": self.group,
            "template": self.template.place,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Filling:
    """What stands in a slot for a group."""

    axis: str
    group: str
    slot: str
    text: str


@dataclass(frozen=True, slots=True)
class Counterfactuals:
    """A folder of them.

    templates: by slot; spoken: each text's varieties, of the axis `DIALECTS`
    """

    templates: dict[str, tuple[Template, ...]]
    fillings: tuple[Filling, ...]
    spoken: tuple[Sentence, ...]

    def sentences(self, every: int = 1) -> list[Sentence]:
        """Every filling in each template of its slot, then the varieties.

        every: takes the first of so many templates of a slot; varieties are taken whole.
        """
        filled = [
            Sentence(_fill(template.text, one), one.axis, one.group, template)
            for one in self.fillings
            for template in self.templates[one.slot][::every]
        ]
        return [*filled, *self.spoken]

    def sample(self, most: int) -> list[Sentence]:
        """As many templates, evenly apart, as give `most` sentences or fewer.

        With one template of each slot there may still be more.
        """
        longest = max(map(len, self.templates.values()))
        return next(
            some
            for every in count(1)
            if len(some := self.sentences(every)) <= most or every >= longest
        )


def _fill(text: str, filling: Filling) -> str:
    return text.replace(f"{{{filling.slot}}}", filling.text)


def load_groups(folder: Path) -> Counterfactuals:
    """The four files of the folder. Raises DataProblem, with file and line; OSError."""
    templates = {slot: tuple(_templates(folder / name, slot)) for slot, name in TEMPLATES.items()}
    return Counterfactuals(
        templates, tuple(_fillings(folder / GROUPS)), tuple(_varieties(folder / DIALECT))
    )


def _templates(path: Path, slot: str) -> Iterator[Template]:
    line = 0
    for line, (text, sign, concern) in _rows(path, ("text", "sign", "concern")):
        if text.count(f"{{{slot}}}") != 1 or text.count("{") + text.count("}") != 2:
            raise DataProblem(f"{path}:{line}: text {text!r}: expected one slot {{{slot}}}")
        place = f"{path.name}:{line}"
        yield Template(place, text, *_labels(path, line, sign, concern))
    if not line:
        raise DataProblem(f"{path}:1: no template")


def _fillings(path: Path) -> Iterator[Filling]:
    seen: dict[Hashable, int] = {}
    axes: dict[str, tuple[str, int]] = {}
    groups: dict[str, set[str]] = {}
    for line, (axis, group, slot, text) in _rows(path, ("axis", "group", "slot", "filling")):
        if slot not in TEMPLATES:
            raise DataProblem(f"{path}:{line}: slot {slot!r}: expected {' or '.join(TEMPLATES)}")
        if axis == DIALECTS:
            raise DataProblem(f"{path}:{line}: axis {axis!r}: is that of {DIALECT}")
        known, first = axes.setdefault(axis, (slot, line))
        if slot != known:
            raise DataProblem(
                f"{path}:{line}: slot {slot!r}: axis {axis!r} has {known!r} on line {first}; its "
                "groups could not be compared"
            )
        _once(path, line, seen, (axis, group, text))
        groups.setdefault(axis, set()).add(group)
        yield Filling(axis, group, slot, text)
    for axis, (_, first) in axes.items():
        if len(groups[axis]) < 2:
            raise DataProblem(f"{path}:{first}: axis {axis!r}: one group has none to compare with")


def _varieties(path: Path) -> Iterator[Sentence]:
    seen: dict[Hashable, int] = {}
    said: dict[str, tuple[Template, int]] = {}
    varieties: dict[str, set[str]] = {}
    columns = ("id", "variety", "text", "sign", "concern")
    for line, (name, variety, text, sign, concern) in _rows(path, columns):
        place = f"{path.name}, id {name}"
        # Of its own text no more than that is kept: it is each variety's.
        own = Template(place, "", *_labels(path, line, sign, concern))
        template, first = said.setdefault(name, (own, line))
        if own != template:
            raise DataProblem(
                f"{path}:{line}: sign {sign}, concern {concern}: id {name!r} has others on line "
                f"{first}"
            )
        _once(path, line, seen, (name, variety))
        varieties.setdefault(name, set()).add(variety)
        yield Sentence(text, DIALECTS, variety, template)
    every = set().union(*varieties.values())
    if len(every) == 1:
        raise DataProblem(f"{path}:1: variety {every.pop()!r}: there is none to compare it with")
    for name, (_, first) in said.items():
        if lacking := sorted(every - varieties[name]):
            raise DataProblem(f"{path}:{first}: id {name!r}: not in variety {lacking[0]!r}")


def _rows(path: Path, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """(line, columns); each column is there and says something."""
    try:
        for line, columns in tab_separated(path):
            if len(columns) != len(names):
                raise DataProblem(
                    f"{path}:{line}: {len(columns)} columns, expected {len(names)}: "
                    f"{', '.join(names)}"
                )
            for name, column in zip(names, columns, strict=True):
                if not column.strip():
                    raise DataProblem(f"{path}:{line}: {name}: empty")
            yield line, columns
    except UnicodeDecodeError as error:
        raise DataProblem(f"{path}: {error}") from error


def _labels(path: Path, line: int, sign: str, concern: str) -> tuple[Sign, bool]:
    signs: dict[str, Sign] = {str(one): one for one in SIGNS}
    if sign not in signs:
        raise DataProblem(f"{path}:{line}: sign {sign!r}: expected {', '.join(signs)}")
    if concern not in map(str, NO_OR_YES):
        raise DataProblem(f"{path}:{line}: concern {concern!r}: expected 0 or 1")
    return signs[sign], concern == "1"


def _once(path: Path, line: int, seen: dict[Hashable, int], row: Hashable) -> None:
    first = seen.setdefault(row, line)
    if first != line:
        raise DataProblem(f"{path}:{line}: {row}: is on line {first} already")
