"""The lexicon: patterns of what is for a person, with reasons. Data, not code.

Errors:
    LexiconProblem      a file that is missing or says something that cannot be used; names it
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.words.words import ENGLISH, Words
from models.words.words import load as load_words
from schemas.vocabulary import Concern

PACKAGED: Final = Path(__file__).parent / "lexicon.toml"


class LexiconProblem(ValueError):
    """A lexicon that cannot be used."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Figure(_Part):
    pattern: str
    why: str


class _Entry(_Part):
    name: str = Field(pattern=r"^[a-z_]{1,40}$")
    kind: Concern
    pattern: str
    why: str | None = None
    negatable: bool
    alone: bool = True
    at_once: bool = False
    unless: tuple[str, ...] = ()


class _Negation(_Part):
    before: str = Field(min_length=1)
    taken_back: str = Field(min_length=1)


class _Words(_Part):
    words: tuple[str, ...]


class _Slips(_Part):
    one: int = Field(ge=1)
    two: int = Field(ge=1)

    @model_validator(mode="after")
    def _two_need_more(self) -> Self:
        if self.two < self.one:
            raise ValueError("two slips need at least as many letters as one")
        return self


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
    censored: _Words | None = None
    slips: _Slips | None = None
    negation: _Negation | None = None
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
class Negation:
    """What takes back what is said, in one language.

    before: in the same clause; its match ends where that begins
    taken_back: anywhere behind it in the sentence; then the negation does not count
    """

    before: re.Pattern[str]
    taken_back: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One thing to look for.

    negation: its language's; None where nothing takes the pattern back
    unless: contexts in which it says nothing
    waits: for the end of a sentence that is being written, since a context may follow
    clauses: None where a context counts anywhere in the sentence
    """

    name: str
    kind: Concern
    why: str
    looks_for: re.Pattern[str]
    negation: Negation | None
    alone: bool
    unless: tuple[re.Pattern[str], ...]
    waits: bool
    clauses: Clauses | None = None


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All files together.

    versions: of each file, in order
    phrase: finds any of `phrases`
    censored: words that stars may stand in
    one_slip, two_slips: letters from which a word may have so many and be taken for a keyword
    """

    versions: tuple[int, ...]
    spelling: Mapping[str, str]
    phrase: re.Pattern[str]
    phrases: Mapping[str, str]
    keywords: frozenset[str]
    censored: tuple[str, ...]
    one_slip: int
    two_slips: int
    figures: tuple[re.Pattern[str], ...]
    patterns: tuple[Pattern, ...]
    replies: tuple[Pattern, ...]


@lru_cache(maxsize=4)
def load(more: tuple[Path, ...] = (), language: str = ENGLISH) -> Lexicon:
    """The packaged lexicon, with more files behind it.

    language: of what is found, where a file does not say that itself

    Raises LexiconProblem, and models.words.words' WordsProblem.
    """
    return _together([(path, _read(path)) for path in (PACKAGED, *more)], load_words(language))


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


def _together(files: Sequence[tuple[Path, _File]], said: Words) -> Lexicon:
    patterns: list[Pattern] = []
    replies: list[Pattern] = []
    figures: list[re.Pattern[str]] = []
    spelling: dict[str, str] = {}
    phrases: dict[str, str] = {}
    keywords: set[str] = set()
    censored: list[str] = []
    for path, file in files:
        spelling |= file.spelling
        phrases |= file.phrases
        keywords.update(*file.keywords.values())
        censored += file.censored.words if file.censored else ()
        figures += [_compiled(path, "figures", each.pattern, file.words) for each in file.figures]
        contexts = {
            name: _compiled(path, name, text, file.words) for name, text in file.contexts.items()
        }
        clauses, negation = _clauses(path, file), _negation(path, file)
        # An operator's pattern may have a name of ours; its reason is its own.
        ours = path == PACKAGED
        why, why_not = (said.patterns, said.replies) if ours else ({}, {})
        patterns += [
            _pattern(path, each, file.words, contexts, why, negation=negation, clauses=clauses)
            for each in file.patterns
        ]
        replies += [
            _pattern(path, each, file.words, contexts, why_not, negation=negation)
            for each in file.replies
        ]
    slips = next(file.slips for _, file in reversed(files) if file.slips is not None)
    longest_first = sorted(phrases, key=len, reverse=True)
    return Lexicon(
        versions=tuple(file.version for _, file in files),
        spelling=spelling,
        phrase=re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b"),
        phrases=phrases,
        keywords=frozenset(keywords),
        censored=(*sorted(keywords), *censored),
        one_slip=slips.one,
        two_slips=slips.two,
        figures=tuple(figures),
        patterns=tuple(patterns),
        replies=tuple(replies),
    )


def _clauses(path: Path, file: _File) -> Clauses | None:
    if file.clauses is None:
        return None
    texts = file.clauses.model_dump()
    return Clauses(
        **{name: _compiled(path, f"clauses.{name}", texts[name], file.words) for name in texts}
    )


def _negation(path: Path, file: _File) -> Negation | None:
    if file.negation is None:
        return None
    before = _compiled(path, "negation.before", f"(?:{file.negation.before})$", file.words)
    if any(before.search(nothing) for nothing in ("", "x")):
        raise LexiconProblem(f"lexicon {path}: negation.before: takes everything back")
    taken_back = _compiled(path, "negation.taken_back", file.negation.taken_back, file.words)
    return Negation(before=before, taken_back=taken_back)


def _pattern(
    path: Path,
    entry: _Entry,
    words: Mapping[str, str],
    contexts: Mapping[str, re.Pattern[str]],
    reasons: Mapping[str, str],
    *,
    negation: Negation | None,
    clauses: Clauses | None = None,
) -> Pattern:
    for name in entry.unless:
        if name not in contexts:
            raise LexiconProblem(f"lexicon {path}: {entry.name}: there is no context {name!r}")
    if entry.negatable and negation is None:
        # Else a "not" would count in one language and be passed over in another, unseen.
        raise LexiconProblem(f"lexicon {path}: {entry.name}: negatable needs a [negation]")
    # A file's own reason stands, in whatever language it is.
    why = reasons.get(entry.name) if entry.why is None else entry.why
    if why is None:
        raise LexiconProblem(f"lexicon {path}: {entry.name}: why: say what it means, for people")
    return Pattern(
        name=entry.name,
        kind=entry.kind,
        why=why,
        looks_for=_compiled(path, entry.name, entry.pattern, words),
        negation=negation if entry.negatable else None,
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
