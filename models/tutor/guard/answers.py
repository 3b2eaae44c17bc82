"""Whether a text tells the answer that a learner is to find."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from models.tutor.guard.config import GuardSettings
from models.tutor.guard.signs import Signs
from models.tutor.guard.values import Form, Value, values

_WORD: Final = re.compile(r"[^\W_]+")
_LIST_NUMBER: Final = re.compile(r"(?:^|\n)[ \t>*_#]*(?:\w+[ \t]+)?$")
_BEFORE: Final = 40
"""Characters before a number in which stands that it is stated as the answer."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """words: of one that is no number. had: forms in which the conversation has the number."""

    words: str
    value: Value | None
    had: frozenset[Form]


class Answers:
    """Answers to an exercise, and what the conversation has had of them.

    answers: as the exercise states them
    said: messages and replies so far; what stands in them is no secret
    """

    def __init__(
        self, answers: Sequence[str], said: Sequence[str], signs: Signs, settings: GuardSettings
    ) -> None:
        self._signs = signs
        self._settings = settings
        self._answers = tuple(self._to_keep(answers, said))

    def told_in(self, text: str) -> bool:
        """Whether a part of a reply tells one of them."""
        if not self._answers:
            return False
        text = _plain(text)
        found = values(text, self._signs.numbers)
        words = f" {_words(text)} "
        return any(self._told(answer, text, words, found) for answer in self._answers)

    def _told(self, answer: _Answer, text: str, words: str, found: Sequence[Value]) -> bool:
        if answer.value is None:
            if f" {answer.words} " not in words:
                return False
            # A letter, as of a choice of answers, stands in many words' place.
            at = text.lower().find(answer.words)
            return len(answer.words) > 1 or self._is_stated(text, at)
        return any(
            value.same_as(answer.value)
            and value.form not in answer.had
            and self._is_meant(text, value)
            for value in found
        )

    def _to_keep(self, answers: Sequence[str], said: Sequence[str]) -> Iterator[_Answer]:
        plain = [_plain(text) for text in said]
        words = f" {' '.join(map(_words, plain))} "
        named = [value for text in plain for value in self._named(text)]
        for answer in map(_plain, answers):
            worth = values(answer, self._signs.numbers)
            if worth:
                had = frozenset(each.form for each in named if each.same_as(worth[-1]))
                yield _Answer("", worth[-1], had)
            elif (spelled := _words(answer)) and f" {spelled} " not in words:
                yield _Answer(spelled, None, frozenset())

    def _named(self, text: str) -> Iterator[Value]:
        """Numbers of a message, but for those that only stand in the problem."""
        found = values(text, self._signs.numbers)
        alone = len(found) == 1 and len(_words(text).split()) <= self._settings.try_words
        for value in found:
            if alone or not self._is_plain(value) or self._is_stated(text, value.start):
                yield value

    def _is_plain(self, value: Value) -> bool:
        return value.whole and 0 <= value.value < self._settings.plain_below

    def _is_meant(self, text: str, value: Value) -> bool:
        if self._is_plain(value):
            return self._is_stated(text, value.start)
        return not value.whole or _LIST_NUMBER.search(text[: value.start]) is None

    def _is_stated(self, text: str, place: int) -> bool:
        return self._signs.stated.search(text[max(0, place - _BEFORE) : place]) is not None


def _plain(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _words(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
