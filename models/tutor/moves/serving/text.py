"""What can be seen in an utterance without a language model: numbers, cues, hashed words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from itertools import pairwise

NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:/\d[\d,]*\.?\d*)?")
WORD = re.compile(r"[a-z']+|0|[?!=]")

AGREES = re.compile(r"\b(yes|yeah|yep|right|correct|ok|okay|sure|i agree)\b", re.IGNORECASE)
BEGINS_AGREEING = re.compile(r"(yes|yeah|yep|yup|ok|right|sure|correct)\b", re.IGNORECASE)
REALISES = re.compile(r"\b(oh|i see|ah|mistake|sorry|apologi[sz]e|reali[sz]ed?)\b", re.IGNORECASE)
BEGINS_REALISING = re.compile(r"(oh|ah)\b", re.IGNORECASE)
THANKS = re.compile(r"\b(thanks?|bye)\b", re.IGNORECASE)
UNSURE = re.compile(
    r"(not sure|don'?t know|confus|don'?t (get|understand)|can you|could you|help)", re.IGNORECASE
)
CONCLUDES = re.compile(r"\b(so|therefore|total|answer|should be)\b", re.IGNORECASE)
PRAISES = re.compile(
    r"\b(great|good|well done|perfect|excellent|correct|right|nice|awesome|brilliant|exactly"
    r"|yes)\b",
    re.IGNORECASE,
)
REJECTS = re.compile(
    r"(not quite|incorrect|no,|^no\b|not right|wrong|almost|close|try again|recheck|but )",
    re.IGNORECASE,
)
ASKS_WHY = re.compile(r"\b(why|how|explain|walk|talk)\b", re.IGNORECASE)


def numbers(text: str) -> list[float]:
    """The numbers in a text, in order; `1,200` is 1200, `3/4` is 0.75."""
    found = []
    for match in NUMBER.findall(text):
        over, _, under = match.replace(",", "").partition("/")
        value = float(over.rstrip("."))
        if under:
            below = float(under.rstrip("."))
            if below == 0:
                continue
            value /= below
        found.append(value)
    return found


def words(text: str) -> list[str]:
    """Lower-case words; every number is `0`; question and exclamation marks and `=` count."""
    return WORD.findall(NUMBER.sub("0", text.lower()))


def bigrams(tokens: list[str]) -> list[str]:
    """The tokens and their neighbouring pairs."""
    return [*tokens, *(f"{a} {b}" for a, b in pairwise(tokens))]


def buckets(tokens: Iterable[str], size: int) -> list[int]:
    """Where tokens fall in a table of `size`, each once, ascending; the same in every process."""
    return sorted({zlib.crc32(token.encode()) % size for token in tokens})
