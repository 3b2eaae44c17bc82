"""The lexicon: patterns of what is for a person, with reasons. Data, not code.

Errors:
    LexiconProblem      a file that is missing or says something that cannot be used; names it
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PACKAGED: Final = Path(__file__).parent / "lexicon.toml"


class LexiconProblem(ValueError):
    """A lexicon that cannot be used."""


class Kind(StrEnum):
    """What a message may be about."""

    SUICIDE = "suicide"
    SELF_HARM = "self_harm"
    ABUSE = "abuse"
    OTHER_IN_DANGER = "other_in_danger"
    DISTRESS = "distress"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Figure(_Part):
    pattern: str
    why: str


class _Entry(_Part):
    name: str = Field(pattern=r"^[a-z_]{1,40}$")
    kind: Kind
    pattern: str
    why: str
    negatable: bool
    alone: bool = True
    at_once: bool = False
    unless: tuple[str, ...] = ()


class _Clauses(_Part):
    starts: str
    own: str
    meant: str
    insists: str


class _File(_Part):
    version: int = Field(ge=1)
    spelling: dict[str, str] = {}
    phrases: dict[str, str] = {}
    keywords: dict[str, tuple[str, ...]] = {}
    words: dict[str, str] = {}
    contexts: dict[str, str] = {}
    clauses: _Clauses | None = None
    figures: tuple[_Figure, ...] = ()
    patterns: tuple[_Entry, ...] = ()
    replies: tuple[_Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Clauses:
    """How a language shows what belongs together, and what is meant.

    starts: where a clause begins, beside commas
    own: whoever is told of is the one who writes; then a context counts in the same clause only
    meant: what comes right before something that somebody wants or is about to do
    insists: anywhere in the sentence, says that it was meant; no context counts against either
    """

    starts: re.Pattern[str]
    own: re.Pattern[str]
    meant: re.Pattern[str]
    insists: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to look for.

    unless: contexts in which it says nothing
    waits: for the end of a sentence that is being written, since a context may follow
    clauses: None where a context counts anywhere in the sentence
    """

    name: str
    kind: Kind
    why: str
    looks_for: re.Pattern[str]
    negatable: bool
    alone: bool
    unless: tuple[re.Pattern[str], ...]
    waits: bool
    clauses: Clauses | None = None


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All files together. versions: of each file, in order; phrase: finds any of `phrases`."""

    versions: tuple[int, ...]
    spelling: Mapping[str, str]
    phrase: re.Pattern[str]
    phrases: Mapping[str, str]
    keywords: frozenset[str]
    figures: tuple[re.Pattern[str], ...]
    patterns: tuple[Pattern, ...]
    replies: tuple[Pattern, ...]


@lru_cache(maxsize=4)
def load(more: tuple[Path, ...] = ()) -> Lexicon:
    """The packaged lexicon, with more files behind it. Raises LexiconProblem."""
    return _together([(path, _read(path)) for path in (PACKAGED, *more)])


def _read(path: Path) -> _File:
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LexiconProblem(f"lexicon {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LexiconProblem(f"lexicon {path}: not TOML: {error}") from error
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"]))
        raise LexiconProblem(f"lexicon {path}: {where}: {wrong['msg']}") from error


def _together(files: Sequence[tuple[Path, _File]]) -> Lexicon:
    patterns: list[Pattern] = []
    replies: list[Pattern] = []
    figures: list[re.Pattern[str]] = []
    spelling: dict[str, str] = {}
    phrases: dict[str, str] = {}
    keywords: set[str] = set()
    for path, file in files:
        spelling |= file.spelling
        phrases |= file.phrases
        keywords.update(*file.keywords.values())
        figures += [_compiled(path, "figures", each.pattern, file.words) for each in file.figures]
        contexts = {
            name: _compiled(path, name, text, file.words) for name, text in file.contexts.items()
        }
        clauses = _clauses(path, file)
        patterns += [_pattern(path, each, file.words, contexts, clauses) for each in file.patterns]
        replies += [_pattern(path, each, file.words, contexts) for each in file.replies]
    longest_first = sorted(phrases, key=len, reverse=True)
    return Lexicon(
        versions=tuple(file.version for _, file in files),
        spelling=spelling,
        phrase=re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b"),
        phrases=phrases,
        keywords=frozenset(keywords),
        figures=tuple(figures),
        patterns=tuple(patterns),
        replies=tuple(replies),
    )


def _clauses(path: Path, file: _File) -> Clauses | None:
    if file.clauses is None:
        return None
    texts = file.clauses.model_dump()
    return Clauses(**{name: _compiled(path, name, texts[name], file.words) for name in texts})


def _pattern(
    path: Path,
    entry: _Entry,
    words: Mapping[str, str],
    contexts: Mapping[str, re.Pattern[str]],
    clauses: Clauses | None = None,
) -> Pattern:
    for name in entry.unless:
        if name not in contexts:
            raise LexiconProblem(f"lexicon {path}: {entry.name}: there is no context {name!r}")
    return Pattern(
        name=entry.name,
        kind=entry.kind,
        why=entry.why,
        looks_for=_compiled(path, entry.name, entry.pattern, words),
        negatable=entry.negatable,
        alone=entry.alone,
        unless=tuple(contexts[name] for name in entry.unless),
        waits=bool(entry.unless) and not entry.at_once,
        clauses=clauses,
    )


def _compiled(path: Path, name: str, text: str, words: Mapping[str, Any]) -> re.Pattern[str]:
    # Only names: {0,2} is a regular expression's own.
    for word in set(re.findall(r"\{([a-z_]+)\}", text)):
        if word not in words:
            raise LexiconProblem(f"lexicon {path}: {name}: there is no {{{word}}} in [words]")
        text = text.replace(f"{{{word}}}", words[word])
    try:
        return re.compile(text)
    except re.error as error:
        raise LexiconProblem(f"lexicon {path}: {name}: {error}") from error
