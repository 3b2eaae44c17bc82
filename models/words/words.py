"""One language's words, read from its file and held against English.

Errors:
    WordsProblem         a file of words that cannot be used; names the file and the key
      UnknownLanguage    there is no such file
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, reduce
from pathlib import Path
from string import Formatter
from typing import Any, Final

from pydantic import Field, ValidationError

from models.words.advice import Advice, Section
from models.words.help import Tutoring

FOLDER: Final = Path(__file__).parent
ENGLISH: Final = "en"


class WordsProblem(ValueError):
    """A file of words that cannot be used."""


class UnknownLanguage(WordsProblem):
    """There is no file of this language."""


class Numbers(Section):
    """How numbers are written."""

    decimal: str = Field(min_length=1, max_length=1, description="between whole and tenths")


class Words(Advice, Tutoring):
    """Everything that masterx says by itself in one language; `load` reads it."""

    language: str = Field(exclude=True, description="its code: the file's name")
    numbers: Numbers

    @cached_property
    def fact_names(self) -> dict[str, str]:
        """What each fact of a state is called, emotions' shares too, by its name in rules."""
        shares = {
            f"emotions.{emotion.value}": self.because.emotion.format(emotion=name)
            for emotion, name in self.emotions.items()
        }
        return self.facts | shares

    def number(self, value: float, form: str) -> str:
        """A number as the language writes it. form: Python's, as `.2f`."""
        text, decimal = format(value, form), self.numbers.decimal
        return text if decimal == "." else text.replace(".", decimal)

    def both(self, parts: Sequence[str]) -> str:
        """One or more parts of a sentence as one."""
        return reduce(lambda one, other: self.because.both.format(one=one, other=other), parts)


def languages() -> tuple[str, ...]:
    """Codes of the languages that there are, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@lru_cache
def load(language: str = ENGLISH) -> Words:
    """The words of a language, read once a process. Raises WordsProblem."""
    if language not in (known := languages()):
        raise UnknownLanguage(
            f"there are no words in {language!r}: take one of {', '.join(known)}, or write "
            f"models/words/{language}.toml"
        )
    return read(FOLDER / f"{language}.toml")


def read(path: Path) -> Words:
    """The words of a file; beside English, it has the keys and the fields of English.

    Raises:
        WordsProblem: it cannot be read, or a key or a field is missing or one too many.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WordsProblem(f"words {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WordsProblem(f"words {path}: not TOML: {error}") from error
    try:
        words = Words.model_validate({**document, "language": path.stem})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise WordsProblem(f"words {path}: {_dotted(first['loc'])}: {first['msg']}") from error
    found = dict(_fields(path, document))
    if path.stem != ENGLISH:
        _compare(path, found, dict(_fields(FOLDER / f"{ENGLISH}.toml", load().model_dump())))
    return words


def _compare(path: Path, found: Mapping[str, set[str]], english: Mapping[str, set[str]]) -> None:
    if missing := sorted(english.keys() - found.keys()):
        raise WordsProblem(f"words {path}: {missing[0]}: is missing; {ENGLISH}.toml has it")
    for key, fields in found.items():
        if key not in english:
            raise WordsProblem(f"words {path}: {key}: {ENGLISH}.toml has no such key")
        if fields != english[key]:
            raise WordsProblem(
                f"words {path}: {key}: has the fields {_listed(fields)}; "
                f"{ENGLISH}.toml has {_listed(english[key])}"
            )


def _fields(
    path: Path, table: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, set[str]]]:
    """Each text's dotted key, and the names of its fields."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _fields(path, value, f"{above}{key}.")
            continue
        try:
            parts = [part for part in Formatter().parse(value) if part[1] is not None]
        except ValueError as error:
            raise WordsProblem(f"words {path}: {above}{key}: {error}") from error
        # No `{value:.2f}` either: what is filled in is text.
        if not all(
            name and name.isidentifier() and not (form or how) for _, name, form, how in parts
        ):
            raise WordsProblem(
                f"words {path}: {above}{key}: a field is a name in braces: {{value}}"
            )
        yield f"{above}{key}", {name for _, name, _, _ in parts if name}


def _dotted(place: tuple[int | str, ...]) -> str:
    # Where a key of a table is wrong, pydantic adds "[key]".
    return ".".join(str(part) for part in place if part != "[key]")


def _listed(fields: set[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(fields)) or "none"
