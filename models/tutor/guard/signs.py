"""What the guard looks for, read from signs.toml and compiled once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.tutor.guard.values import NumberWords

PACKAGED: Final = Path(__file__).parent / "signs.toml"

Regex = Annotated[str, Field(min_length=1)]


class SignsProblem(ValueError):
    """A file of signs cannot be used; says which, where and why."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Template(_Table):
    tokens: tuple[Regex, ...]
    turns: Regex
    turns_unless: Regex
    tags: tuple[str, ...]
    html: tuple[str, ...]
    markup: Regex


class _Prompt(_Table):
    phrases: tuple[Regex, ...]


class _Empty(_Table):
    sentences: tuple[Regex, ...]
    generic: str
    praise: Regex
    thanks: Regex


class _Echo(_Table):
    sides: dict[str, str]


class _Language(_Table):
    lesson: Regex


class _Answer(_Table):
    stated: Regex


class _Numbers(_Table):
    ones: dict[str, int]
    parts: dict[str, Annotated[int, Field(ge=2)]]
    over: tuple[str, ...]


class _File(_Table):
    template: _Template
    prompt: _Prompt
    empty: _Empty
    echo: _Echo
    language: _Language
    answer: _Answer
    numbers: _Numbers


@dataclass(frozen=True, slots=True)
class Signs:
    """All of a file, compiled.

    token: of a chat template, anywhere
    turn, turn_unless: a line that begins like a turn; a conversation in which that is no fault
    tags, html: names between < and > that are never, and always, a learner's to see
    markup: a conversation in which any of them may stand
    phrase: about instructions
    polite: a whole sentence without content; thanks: a message to which it is an answer
    generic: words that say nothing of a subject; praise: what is an answer to a try
    sides: words that change when somebody is quoted
    lesson: a conversation about languages
    stated: what stands right before a number that is stated as the answer
    """

    token: re.Pattern[str]
    turn: re.Pattern[str]
    turn_unless: re.Pattern[str]
    tags: frozenset[str]
    html: frozenset[str]
    markup: re.Pattern[str]
    phrase: re.Pattern[str]
    polite: re.Pattern[str]
    generic: frozenset[str]
    praise: re.Pattern[str]
    thanks: re.Pattern[str]
    sides: Mapping[str, str]
    lesson: re.Pattern[str]
    stated: re.Pattern[str]
    numbers: NumberWords


@lru_cache(maxsize=4)
def signs_of(path: Path | None = None) -> Signs:
    """Of a file, or of the packaged one. Raises SignsProblem."""
    path = path or PACKAGED
    try:
        file = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SignsProblem(f"signs of the reply guard {path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SignsProblem(f"signs of the reply guard {path}: {where}: {first['msg']}") from None

    def compiled(where: str, *patterns: str, lines: bool = False) -> re.Pattern[str]:
        flags = re.IGNORECASE | (re.MULTILINE if lines else re.NOFLAG)
        for pattern in patterns:
            try:
                re.compile(pattern, flags)
            except re.error as error:
                raise SignsProblem(f"signs of the reply guard {path}: {where}: {error}") from None
        return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), flags)

    return Signs(
        token=compiled("template.tokens", *file.template.tokens, lines=True),
        turn=compiled("template.turns", file.template.turns, lines=True),
        turn_unless=compiled("template.turns_unless", file.template.turns_unless),
        tags=frozenset(file.template.tags),
        html=frozenset(file.template.html),
        markup=compiled("template.markup", file.template.markup),
        phrase=compiled("prompt.phrases", *file.prompt.phrases, lines=True),
        polite=compiled("empty.sentences", *file.empty.sentences),
        generic=frozenset(file.empty.generic.split()),
        praise=compiled("empty.praise", file.empty.praise),
        thanks=compiled("empty.thanks", file.empty.thanks),
        sides=file.echo.sides,
        lesson=compiled("language.lesson", file.language.lesson),
        stated=compiled("answer.stated", file.answer.stated),
        numbers=NumberWords(file.numbers.ones, file.numbers.parts, frozenset(file.numbers.over)),
    )
