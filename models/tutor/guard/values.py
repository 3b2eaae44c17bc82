"""Numbers in a text, by what they are worth: `5/6`, `0.8333`, `five sixths` and `83.33 %` alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

_NUMBER: Final = re.compile(
    r"""\\[dt]?frac\s*\{\s*(?P<top>-?\d{1,12})\s*\}\s*\{\s*(?P<bottom>\d{1,12})\s*\}
      | (?P<sign>(?<![\w)])[-\u2212])?
        (?: (?P<over>\d{1,12})\s*[/\u2044]\s*(?P<under>\d{1,12})(?![\d.,]*\d)
          | (?P<whole>\d{1,3}(?:,\d{3})+|\d{1,15})(?:[.,](?P<decimals>\d{1,15}))?
        )
        (?P<percent>\s?%)?""",
    re.VERBOSE,
)
_WORDS: Final = re.compile(r"[^\W\d_]+")
_HUNDRED: Final = 100
_ROUNDED: Final = 2
"""Decimals from which a number may stand for one that has more."""


class Form(StrEnum):
    """How a number is written."""

    FRACTION = "fraction"
    DECIMAL = "decimal"
    PERCENT = "percent"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class NumberWords:
    """Words of numbers: `five`, of parts: `sixths`, and what stands between them: `5 over 6`."""

    ones: Mapping[str, int]
    parts: Mapping[str, int]
    over: frozenset[str]


@dataclass(frozen=True, slots=True)
class Value:
    """A number in a text.

    places: decimals that were written; a fraction has none
    form: how it was written
    start, end: where it stands
    """

    value: Fraction
    places: int
    form: Form
    start: int
    end: int

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.value.denominator == 1

    def same_as(self, other: Value) -> bool:
        """Equal, or one is the other rounded to the decimals that it has, two at least."""
        if self.value == other.value:
            return True
        places = min((each.places for each in (self, other) if each.places), default=0)
        if places < _ROUNDED:
            return False
        parts: int = 10**places
        return abs(self.value - other.value) <= Fraction(1, 2 * parts)


def values(text: str, words: NumberWords) -> list[Value]:
    """All numbers of a text in NFKC: those in digits, then those in words."""
    return [*_digits(text), *_spelled(text, words)]


def _digits(text: str) -> Iterator[Value]:
    for found in _NUMBER.finditer(text):
        places, form = 0, Form.FRACTION
        if found["top"]:
            if int(found["bottom"]) == 0:
                continue
            value = Fraction(int(found["top"]), int(found["bottom"]))
        elif found["over"]:
            if int(found["under"]) == 0:
                continue
            value = Fraction(int(found["over"]), int(found["under"]))
        else:
            form, decimals = Form.DECIMAL, found["decimals"] or ""
            places = len(decimals)
            whole = found["whole"].replace(",", "")
            value = Fraction(int(whole + decimals), 10**places)
        if found["sign"]:
            value = -value
        yield Value(value, places, form, *found.span())
        if found["percent"]:
            yield Value(value / _HUNDRED, places and places + 2, Form.PERCENT, *found.span())


def _spelled(text: str, words: NumberWords) -> Iterator[Value]:
    before: list[re.Match[str]] = []
    for found in _WORDS.finditer(text):
        word = found.group().lower()
        last = before[-1].group().lower() if before else ""
        if word in words.parts and last in words.ones:
            value = Fraction(words.ones[last], words.parts[word])
            yield Value(value, 0, Form.WORDS, before[-1].start(), found.end())
        elif word in words.ones:
            if len(before) > 1 and last in words.over:
                top = words.ones.get(before[-2].group().lower())
                if top is not None and words.ones[word]:
                    value = Fraction(top, words.ones[word])
                    yield Value(value, 0, Form.WORDS, before[-2].start(), found.end())
            yield Value(Fraction(words.ones[word]), 0, Form.WORDS, *found.span())
        before = [*before[-1:], found]
