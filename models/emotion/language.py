"""Is a text in a language that the artefact knows?

Asked before the model is: it would read a sad sentence in Spanish as neutral, with confidence.

    script      most letters are of another script: foreign, however short the text
    words       fewer different words than `least_words`: known; "hola" may be anybody's
    log-odds    py3langid holds the words against languages in Latin letters; foreign where the best
                of the others is ahead of the best known one by more than `log_odds`
    romanised   or where many words are Hindi in Latin letters, which it has not learned
    parts       a text that is foreign so far is known where one of its sentences is clearly so

URLs, code, numbers and signs are no words here. Takes time in proportion to a text's length, and
raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice
from math import inf
from pathlib import Path
from typing import Final, Protocol

from models.emotion.artefact.artefact import ArtefactProblem
from models.emotion.config import LanguageSettings

HINDI: Final = Path(__file__).parent / "romanised-hindi.txt"
"""Frequent words of Hindi and Urdu as they are typed in Latin letters; none that English has."""

_LETTER: Final = re.compile(r"[^\W\d_]")
_LATIN: Final = re.compile(r"[A-Za-zªº\u00c0-\u024f\u1e00-\u1eff]")
_WORD: Final = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)*")
# A letter that stands alone is a face's eye or mouth; one or two Greek ones are of a formula.
_SIGNS: Final = re.compile(
    r"(?:^|(?<=[\s!-/:-@\[-`{-~]))(?:[^\W\d_]|[\u0370-\u03ff]{2})(?=[\s!-/:-@\[-`{-~]|$)"
)
_QUOTED_CODE: Final = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
_NO_WORD: Final = re.compile(r"[\d_=\\{}\[\]<>^|$@/#~*+]|www\.|:\w+:|\w[.(]\w|[a-z][A-Z]")
_PARTS: Final = re.compile(r"[.!?;:()\"“”«»„\n]+")


class Identifier(Protocol):
    """What tells languages apart: `py3langid`'s."""

    def classify(self, text: str, /) -> tuple[str, float]:
        """The best of `rank`."""
        ...

    def rank(self, text: str, /) -> list[tuple[str, float]]:
        """Each language once, with its log-likelihood up to a constant; the best first."""
        ...


class Languages:
    """Tells whether a text is in one of an artefact's languages. For use from one thread."""

    def __init__(self, known: Sequence[str], settings: LanguageSettings) -> None:
        """known: ISO 639-1 codes. Raises ArtefactProblem for one that py3langid has not."""
        self._known = frozenset(known)
        self._in_latin = self._known.issubset(settings.compared)
        self._settings = settings
        self._identifier = _identifier(tuple(sorted({*settings.compared, *known})))
        self._romanised = frozenset() if "hi" in known else _words_of(HINDI)

    def knows(self, text: str) -> bool:
        """Whether to read this judged copy; True where nothing tells of another language."""
        if not self._is_foreign(text):
            return True
        return any(self._is_clearly_known(part) for part in _PARTS.split(text))

    def _is_foreign(self, text: str) -> bool:
        if not text.isascii() and self._is_of_another_script(text):
            # Unless the artefact knows one of them; then the identifier tells.
            best = self._identifier.classify
            return self._in_latin or best(text)[0] not in self._known
        words = self._words(text)
        if len(words) < self._settings.least_words:
            return False
        romanised = sum(word in self._romanised for word in words)
        if romanised > self._settings.romanised * len(words):
            return True
        # The best alone takes a fifth less time than all, and mostly it is a known one.
        if self._identifier.classify(" ".join(words))[0] in self._known:
            return False
        return self._ahead(words) < -self._settings.log_odds

    def _is_of_another_script(self, text: str) -> bool:
        return _other_letters(text) > self._settings.other_script

    def _is_clearly_known(self, part: str) -> bool:
        words = self._words(part)
        if len(words) < self._settings.least_words:
            return False
        return self._ahead(words) > self._settings.log_odds

    def _ahead(self, words: Sequence[str]) -> float:
        """Log-odds of the best known language against the best other one."""
        ranked = self._identifier.rank(" ".join(words))
        known = next(score for language, score in ranked if language in self._known)
        others = (score for language, score in ranked if language not in self._known)
        return known - next(others, -inf)

    def _words(self, text: str) -> list[str]:
        return _latin_words(text, self._settings.most_words)


class LanguageNames:
    """Names the language of a text, where it is sure of it. For use from one thread."""

    OTHER_SCRIPT: Final = "other"
    """Stands for every language that is not written in Latin letters."""

    def __init__(self, settings: LanguageSettings) -> None:
        """Raises ArtefactProblem where `settings.compared` has one that py3langid has not."""
        self._settings = settings
        self._identifier = _identifier(tuple(sorted(settings.compared)))

    def of(self, text: str, least_words: int, log_odds: float) -> str | None:
        """ISO 639-1 code, OTHER_SCRIPT, or None where it is not sure.

        least_words: different words from which a language is told
        log_odds: against every other language
        """
        if not text.isascii() and _other_letters(text) > self._settings.other_script:
            return self.OTHER_SCRIPT
        words = _latin_words(text, self._settings.most_words)
        if len(words) < least_words:
            return None
        (best, score), (_, second), *_ = self._identifier.rank(" ".join(words))
        return best if score - second > log_odds else None


def _other_letters(text: str) -> float:
    """Share of letters that are of another script than Latin."""
    letters = _SIGNS.sub(" ", text)
    count = len(_LETTER.findall(letters))
    return 1 - len(_LATIN.findall(letters)) / count if count else 0.0


def _latin_words(text: str, most: int) -> list[str]:
    """The first different words in Latin letters: `la la la` says no more than `la`."""
    if "`" in text:
        text = _QUOTED_CODE.sub(" ", text)
    if _NO_WORD.search(text):
        text = " ".join(each for each in text.split() if not _NO_WORD.search(each))
    words = dict.fromkeys(_WORD.findall(text.lower()))
    latin = words if text.isascii() else filter(_LATIN.match, words)
    return list(islice(latin, most))


@lru_cache(maxsize=1)
def _identifier(languages: tuple[str, ...]) -> Identifier:
    """py3langid with these languages alone; takes about a second, and keeps 57 MB.

    Kept for the process: a swap of the artefact hardly ever changes its languages.
    """
    # Here and not above: only the process that serves the model pays for it.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    whole = LanguageIdentifier.from_model_file(MODEL_FILE)
    try:
        whole.set_languages(languages)
    except ValueError as error:
        raise ArtefactProblem(f"emotion.language, or the artefact's languages: {error}") from error
    # The whole model would be kept beside the part.
    part: Identifier = LanguageIdentifier(
        whole.nb_ptc,
        whole.nb_pc,
        whole.nb_classes,
        whole.tk_nextmove,
        whole.tk_output,
        tk_row=whole.tk_row,
    )
    return part


def _words_of(file: Path) -> frozenset[str]:
    lines: Iterable[str] = file.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines for word in line.split())
