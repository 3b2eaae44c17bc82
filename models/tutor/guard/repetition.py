"""Whether a text goes round in circles, told word by word."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import Final

from models.tutor.guard.config import GuardSettings

_SENTENCE_END: Final = re.compile(r"(?<=[.!?\u2026])\s+|\n+")
_BARE: Final = re.compile(r"[\W\d_]{1,4}")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_RUN: Final = 3
"""Words of a run that is looked up among those before: two are often a phrase, four too rare."""


class Loops:
    """Reads a text's words in order. Each costs the same; what is kept is bounded by the text."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._last: deque[str] = deque(maxlen=settings.longest_loop)
        self._runs = [0] * (settings.longest_loop + 1)
        self._seen: set[tuple[str, ...]] = set()
        self._again: deque[bool] = deque(maxlen=settings.window)
        self._run: deque[str] = deque(maxlen=_RUN)

    def add(self, word: str, *, code: bool = False) -> bool:
        """The next word; whether the text repeats itself too much by now."""
        found = self._in_a_row(word, self._settings.loop_code if code else 1)
        if not code:
            found = self._over_all(word) or found
        self._last.append(word)
        return found

    def _in_a_row(self, word: str, times: int) -> bool:
        settings, last = self._settings, self._last
        found = False
        for period in range(1, len(last) + 1):
            if last[-period] != word:
                self._runs[period] = 0
                continue
            run = self._runs[period] = self._runs[period] + 1
            needed = max(settings.loop_words, (settings.loop_times - 1) * period)
            found = found or run >= needed * times
        return found

    def _over_all(self, word: str) -> bool:
        self._run.append(word)
        if len(self._run) < _RUN:
            return False
        run = tuple(self._run)
        self._again.append(run in self._seen)
        self._seen.add(run)
        window = self._settings.window
        return len(self._again) == window and sum(self._again) >= self._settings.repeated * window


class Sentences:
    """Counts a text's sentences and lines, whatever number or bullet they begin with."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._open = ""
        self._times: Counter[str] = Counter()
        self._bare = 0

    def add(self, text: str) -> bool:
        """The next part of the text; whether a sentence has come too often by now.

        So has a line that holds no more than its bullet or its number.
        """
        *whole, self._open = _SENTENCE_END.split(self._open + text)
        return any(map(self._too_often, whole))

    def end(self) -> bool:
        """The text is whole; whether its last sentence is one too many."""
        return self._too_often(self._open)

    def _too_often(self, sentence: str) -> bool:
        self._bare = self._bare + 1 if _BARE.fullmatch(sentence.strip()) else 0
        if self._bare >= self._settings.bare_lines:
            return True
        words = _LETTERS.findall(sentence.lower())
        if len(words) < self._settings.sentence_words:
            return False
        key = " ".join(words)
        self._times[key] += 1
        return self._times[key] >= self._settings.same_sentence
