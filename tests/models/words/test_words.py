"""A text that is missing in a language, or that nobody says, fails here, not before a learner."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel

from app.tutor.providers.errors import Reason
from models.learner.rules import EMOTION_FACTS, FACTS
from models.tutor.safety.lexicon import PACKAGED
from models.tutor.safety.lexicon import load as load_lexicon
from models.words.words import (
    ENGLISH,
    FOLDER,
    UnknownLanguage,
    Words,
    WordsProblem,
    languages,
    load,
    read,
)
from schemas.topics.emotions import Emotion
from schemas.topics.state import Trajectory
from schemas.vocabulary import Concern, Level

ROOT: Final = FOLDER.parent.parent
SECTIONS: Final = {
    name: set(field.annotation.model_fields)
    for name, field in Words.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
}
"""Tables whose keys the code names one by one; the keys of the others are names of something."""
OTHERS: Final = tuple(each for each in languages() if each != ENGLISH)
GERMAN: Final = (FOLDER / "de.toml").read_text(encoding="utf-8")


def texts(words: Words) -> dict[str, str]:
    return {
        f"{section}.{key}": text
        for section, table in words.model_dump(mode="json").items()
        for key, text in table.items()
    }


# -- what a file has -----------------------------------------------------------------------


def test_there_are_english_and_german() -> None:
    assert {"de", "en"} <= set(languages())


@pytest.mark.parametrize("language", languages())
def test_a_language_has_every_key_and_every_field(language: str) -> None:
    words = load(language)

    assert words.language == language
    assert texts(words).keys() == texts(load()).keys()


@pytest.mark.parametrize("language", OTHERS)
def test_no_sentence_was_left_in_english(language: str) -> None:
    english, told = texts(load()), texts(load(language))
    assert [key for key, text in told.items() if " " in text and text == english[key]] == []


def test_english_names_exactly_what_there_is() -> None:
    words, lexicon = load(), tomllib.loads(PACKAGED.read_text(encoding="utf-8"))

    assert set(words.facts) == FACTS - set(EMOTION_FACTS)
    assert list(words.emotions) == list(Emotion)
    assert set(words.trajectories) == set(Trajectory)
    assert set(words.levels) == set(Level) - {Level.NONE}
    assert set(words.sides) == {"text", "behaviour"}
    assert set(words.concerns) == set(Concern)
    assert list(words.patterns) == [each["name"] for each in lexicon["patterns"]]
    assert list(words.replies) == [each["name"] for each in lexicon["replies"]]
    # Without a provider there is a text of its own; "kafka" is a message that cannot be fetched.
    assert set(words.causes) == set(Reason) - {Reason.OFF} | {"kafka"}


def test_the_packaged_lexicon_says_nothing_in_one_language_alone() -> None:
    lexicon = tomllib.loads(PACKAGED.read_text(encoding="utf-8"))
    assert [
        each["name"] for each in (*lexicon["patterns"], *lexicon["replies"]) if "why" in each
    ] == []
    assert load_lexicon(language="de").patterns[0].why == load("de").patterns["kill_myself"]


def test_numbers_are_written_as_the_language_writes_them() -> None:
    assert load().number(0.4249, ".2f") == "0.42"
    assert load("de").number(0.4249, ".2f") == "0,42"
    assert load("de").number(3.0, "g") == "3"


# -- what the code says ----------------------------------------------------------------------


class _Asked(ast.NodeVisitor):
    """Keys that a module asks for: `words.because.below`, also by way of `because = words.because`.

    What holds words is called `words` or `says`, with `_` before it in an object, and `load(...)`.
    """

    def __init__(self) -> None:
        self.keys: set[tuple[str, str]] = set()
        self._short: dict[str, str] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._short = {}
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        for name, value in zip(names, values, strict=False):
            if isinstance(name, ast.Name) and (section := self._section(value)) is not None:
                self._short[name.id] = section
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        section = self._section(node.value)
        if section is None and isinstance(node.value, ast.Name):
            section = self._short.get(node.value.id)
        if section is not None:
            self.keys.add((section, node.attr))
        self.generic_visit(node)

    def _section(self, node: ast.expr) -> str | None:
        if not isinstance(node, ast.Attribute) or node.attr not in SECTIONS:
            return None
        holder = ast.unparse(node.value).split(".")[-1]
        is_words = holder.lstrip("_") in {"words", "says"} or holder.startswith("load(")
        # Within Words itself
        return node.attr if is_words or holder == "self" else None


def asked() -> Iterator[tuple[Path, tuple[str, str]]]:
    for room in ("app", "agents", "models"):
        for path in (ROOT / room).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if "models.words" in source or path.parent == FOLDER:
                reader = _Asked()
                reader.visit(ast.parse(source))
                yield from ((path, key) for key in reader.keys)


def test_the_code_asks_for_every_key_and_for_no_other() -> None:
    said = {key for _, key in asked()}
    defined = {(section, key) for section, keys in SECTIONS.items() for key in keys}

    assert sorted(defined - said) == [], "nobody says them: take them out of every file"
    assert sorted(said - defined) == [], "no file has them"


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("def f(words): return words.because.below.format()", {("because", "below")}),
        ("def f(words):\n  x, because = 1, words.because\n  because.odd", {("because", "odd")}),
        ("async def f(self): self._says.unanswered.late", {("unanswered", "late")}),
        ("load('de').help.message", {("help", "message")}),
        ("def f(settings): settings.safety.level", set()),
        ("def f(words): because = words.because\ndef g(because): because.x", set()),
    ],
)
def test_every_way_to_ask_is_seen(source: str, keys: set[tuple[str, str]]) -> None:
    reader = _Asked()
    reader.visit(ast.parse(source))
    assert reader.keys == keys


# -- a file with a mistake --------------------------------------------------------------------


def written(folder: Path, text: str, name: str = "xx.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("now", "then", "says"),
    [
        (r"^explored = .*\n", "", "because.explored: "),
        (r"^joy = .*\n", "", "emotions.joy: is missing; en.toml has it"),
        (r"^joy = ", "joi = ", "emotions.joi: "),
        (r"^jump = ", "jumps = 'springt'\njump = ", "patterns.jumps: en.toml has no such key"),
        (r"^off = ", "of = 'aus'\noff = ", "unanswered.of: "),
        (r"^\[sides\]", "[seiten]", "sides: Field required"),
        (
            r"\{fatigue\}",
            "{ermüdung}",
            "modes.tired: has the fields {ermüdung}, {tries}; en.toml has",
        ),
        (r" \{felt\}", "", "modes.feelings: has the fields none; en.toml has {felt}"),
        (r"\{felt\}", "{felt:.2f}", "modes.feelings: a field is a name in braces"),
        (r"\{felt\}", "{}", "modes.feelings: a field is a name in braces"),
        (r"\{felt\}", "{felt", "modes.feelings: "),
        (r'^decimal = ","', 'decimal = ",,"', "numbers.decimal: "),
        (r'^text = "Texten"', "text = ''", "sides.text: "),
        (r'^text = "Texten"', "text = 4", "sides.text: "),
        (r'^text = "Texten"', "text = ", "not TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, now: str, then: str, says: str) -> None:
    text, count = re.subn(now, then, GERMAN, count=1, flags=re.MULTILINE)
    assert count == 1

    with pytest.raises(WordsProblem, match=r"xx\.toml") as caught:
        read(written(tmp_path, text))

    assert says in str(caught.value)


def test_a_file_without_a_mistake_is_a_language(tmp_path: Path) -> None:
    assert read(written(tmp_path, GERMAN)).help == load("de").help


def test_a_language_without_a_file_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(UnknownLanguage, match=r"'fr': take one of de, en"):
        load("fr")
    with pytest.raises(UnknownLanguage):
        load("../words/de")
    with pytest.raises(WordsProblem, match="cannot be read"):
        read(tmp_path / "xx.toml")
