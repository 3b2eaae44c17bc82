"""From the judged copy of a text to plain text that patterns can be held against.

Lower case, no accents, one blank between words, one sentence a line, contractions written out,
figures and signs inside words read as letters, misspelt keywords put right.

Where a sentence goes on behind a line break or dots ("i want to... stop"), it is read both ways:
whole, and cut there. So a break hides nothing, and nothing behind a break takes a finding back.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import orjson

from models.emotion.config import PACKAGED
from models.judged import judged_copy
from models.tutor.safety.lexicon import Lexicon

_APOSTROPHES: Final = re.compile(r"['`]")
_ENDS: Final = r"[.!?\u2026\n;]"
# Tried where signs begin, not at each of them: a page of dots would take their square.
SENTENCE_END: Final = re.compile(rf"(?<!{_ENDS}){_ENDS}+(?=\s|$)|[\u3002\uff01\uff1f\n]+")
# A full stop ends a sentence; dots in a row may be a pause, and a line end may be the page's.
_PAUSE: Final = re.compile(r"(?:\.(?:[ \t]*+\.)++|\n)\s*+")
_LIST_MARK: Final = re.compile(
    r"(?:[-*+\u2022\u2023\u25e6\u2013\u2014]|(?:\d{1,3}|[a-zA-Z])[.)])\s"
)
_OPENING: Final = re.compile(r"[\s\"'(\[{>*_~`\u201c\u00ab]*+")
_AHEAD: Final = 20
"""Characters behind a pause that say whether a sentence begins there."""
_CLAUSE_END: Final = re.compile(r",(?!\d)|(?:^|\s)-+(?:\s|$)|[\u2013\u2014\uff0c\u3001\u060c]")
_SPELLED: Final = re.compile(r"\b(?:[a-z][ .\-_*]+){2,}[a-z]\b")
_WORD: Final = re.compile(r"[a-z0-9@$!*+|]+")
_LOOKS_LIKE: Final = str.maketrans("013457@$!|+", "oieastasiit")
_LONGEST: Final = 600
_OVERLAP: Final = 150
"""Characters of a portion, and how many of them the next one repeats at most."""
_LONGEST_WORD: Final = 40
"""Characters beyond which nothing is a word: nobody misspells a keyword that much."""
_THRICE: Final = re.compile(r"(.)\1{2,}")
_REPEATED: Final = re.compile(r"(.)\1+")
_VOCABULARY: Final = PACKAGED / "tokenizer.json"
"""Its words are in no need of correction."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One line of plain text. clauses: where its parts between commas begin, the first at 0."""

    text: str
    clauses: tuple[int, ...] = (0,)


NOTHING: Final = Sentence("")


def plain(text: str, lexicon: Lexicon) -> str:
    """The text as the lexicon's patterns expect it; sentences separated by line ends."""
    return "\n".join(sentence.text for sentence in sentences(text, lexicon))


def sentences(text: str, lexicon: Lexicon, *, most: int | None = None) -> list[Sentence]:
    """The sentences of a text, without empty ones.

    most: words that are looked at, the first and the last ones of a longer text; all for None
    """
    copy = judged_copy(text)
    # Each once: most lines are the same in both.
    ways = dict.fromkeys((_PAUSE.sub(_continued, copy), copy))
    read = [each for way in ways for each in _sentences(lowered(way), lexicon, most)]
    return list(dict.fromkeys(read))


def _sentences(lower: str, lexicon: Lexicon, most: int | None) -> Iterator[Sentence]:
    lower = _SPELLED.sub(_unspelled, lower)
    if most is not None:
        lower = _shortened(lower, most)
    for part in SENTENCE_END.split(lower):
        sentence = extended(NOTHING, part, lexicon)
        if sentence.text:
            yield from portions(sentence)


def _continued(pause: re.Match[str]) -> str:
    """A blank where the sentence goes on, the pause itself where another may begin."""
    ahead = pause.string[pause.end() : pause.end() + _AHEAD]
    word = ahead[_OPENING.match(ahead).end() :]  # type: ignore[union-attr]  # it always matches
    if not word or ("\n" in pause[0] and _LIST_MARK.match(ahead)):
        return pause[0]
    # "I" is written large anywhere, and so is each letter of who shouts.
    begins = word[0].isupper() and word[1:2].islower()
    return pause[0] if begins else " "


def lowered(copy: str) -> str:
    """A judged copy in lower case, without accents and apostrophes."""
    lower = copy.casefold()
    if not lower.isascii():
        lower = unicodedata.normalize("NFKD", lower)
        lower = "".join(c for c in lower if not unicodedata.combining(c))
    return _APOSTROPHES.sub("", lower)


def _shortened(lower: str, most: int) -> str:
    words = list(_WORD.finditer(lower))
    if len(words) <= most:
        return lower
    half = most // 2
    return f"{lower[: words[half].start()]}\n{lower[words[half - most].start() :]}"


def extended(sentence: Sentence, part: str, lexicon: Lexicon) -> Sentence:
    """A sentence with what comes next of it, lowered text of whole words."""
    texts, starts = [sentence.text] if sentence.text else [], list(sentence.clauses)
    length = len(sentence.text)
    for at, clause in enumerate(_CLAUSE_END.split(part)):
        begin = length + 1
        if at and length and starts[-1] != begin:
            starts.append(begin)
        words = plain_words(clause, lexicon)
        if words:
            texts.append(words)
            length += len(words) + bool(length)
    return Sentence(" ".join(texts), tuple(starts))


def portions(sentence: Sentence) -> Iterator[Sentence]:
    """A sentence without end in parts that overlap: no search may cost more than a line's.

    Cut at blanks where there are any, and else in a word. Each begins at least
    `_LONGEST - 2 * _OVERLAP` characters behind the one before.
    """
    text, clauses = sentence.text, sentence.clauses
    begin = 0
    while len(text) - begin > _LONGEST:
        end = begin + _LONGEST
        blank = text.rfind(" ", end - _OVERLAP, end)
        end = end if blank < 0 else blank
        yield _portion(text, clauses, begin, end)
        blank = text.find(" ", end - _OVERLAP, end)
        begin = end - _OVERLAP if blank < 0 else blank + 1
    yield _portion(text, clauses, begin, len(text)) if begin else sentence


def _portion(text: str, clauses: Sequence[int], begin: int, end: int) -> Sentence:
    inside = clauses[bisect_right(clauses, begin) : bisect_left(clauses, end)]
    return Sentence(text[begin:end], (0, *(at - begin for at in inside)))


def _unspelled(match: re.Match[str]) -> str:
    """`k i l l` and `d.i.e` as words; `a b c` of a task stays three words for any pattern."""
    return re.sub(r"[ .\-_*]+", "", match[0])


def plain_words(clause: str, lexicon: Lexicon) -> str:
    """The words of a lowered text, one blank between them."""
    spelled = " ".join(_respelled(word.strip("!|+*$@"), lexicon) for word in _WORD.findall(clause))
    spelled = " ".join(spelled.split())
    return lexicon.phrase.sub(lambda match: lexicon.phrases[match[0]], spelled)


def _respelled(word: str, lexicon: Lexicon) -> str:
    if len(word) > _LONGEST_WORD:
        return word[:_LONGEST_WORD]
    if not any(c.isalpha() for c in word):
        return word
    if "*" in word:
        return _uncensored(word, lexicon)
    for likely in _readings(word):
        if likely in lexicon.spelling:
            return lexicon.spelling[likely]
        if likely in lexicon.keywords or likely in _known_words():
            return likely
    likely = _THRICE.sub(r"\1\1", word.translate(_LOOKS_LIKE))
    return _nearest(likely, lexicon.keywords, lexicon.one_slip, lexicon.two_slips)


def _readings(word: str) -> Iterator[str]:
    """As it stands, with letters for look-alikes, with fewer of a letter that is repeated."""
    yield word
    lettered = word.translate(_LOOKS_LIKE)
    yield lettered
    yield _THRICE.sub(r"\1\1", lettered)
    yield _REPEATED.sub(r"\1", lettered)


def _uncensored(word: str, lexicon: Lexicon) -> str:
    for each in lexicon.censored:
        if len(each) == len(word) and all(a in {"*", b} for a, b in zip(word, each, strict=True)):
            return each
    return word.replace("*", "")


@lru_cache(maxsize=8192)
def _nearest(word: str, keywords: frozenset[str], one_slip: int, two_slips: int) -> str:
    if len(word) < one_slip:
        # Short words have too many neighbours; but `wnat` is nothing else than `want`.
        swapped = (each for each in sorted(keywords) if sorted(each) == sorted(word))
        return next((each for each in swapped if slips(word, each, 1) == 1), word)
    allowed = 2 if len(word) >= two_slips else 1
    letters = _letters(word)
    best = min(
        # A slip changes at most two letters of the set; most keywords need no closer look.
        (
            (slips(word, each, allowed), each)
            for each, its in _keyword_letters(keywords)
            if (letters ^ its).bit_count() <= 2 * allowed and abs(len(word) - len(each)) <= allowed
        ),
        default=(allowed + 1, word),
    )
    return best[1] if best[0] <= allowed else word


def _letters(word: str) -> int:
    """The set of its letters, a bit for each."""
    bits = 0
    for character in word:
        bits |= 1 << (ord(character) & 63)
    return bits


@lru_cache(maxsize=4)
def _keyword_letters(keywords: frozenset[str]) -> tuple[tuple[str, int], ...]:
    return tuple((each, _letters(each)) for each in keywords)


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
    words = orjson.loads(_VOCABULARY.read_bytes())["model"]["vocab"]
    return frozenset(word for word in words if word.isalpha() and word.isascii() and len(word) > 1)
