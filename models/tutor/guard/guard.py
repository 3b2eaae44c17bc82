"""One reply, read while it is written.

    while it is written   length, loops, tokens and turns of a template, our own prompt,
                          another language, the answer given away
    when it is whole      the learner's words alone, politeness alone

What the learner or the conversation has said first is no fault: a lesson may be about HTML tags.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from models.tutor.guard.answers import Answers
from models.tutor.guard.config import GuardSettings
from models.tutor.guard.repetition import Loops, Sentences
from models.tutor.guard.signs import signs_of
from schemas.vocabulary import Task

LanguageOf = Callable[[str, int, float], str | None]
"""(text, least words, log-odds) -> a language's code, or None where that is not sure."""

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_TAG: Final = re.compile(r"</?([A-Za-z][\w-]*(?: [\w-]+){0,3})(?: [^<>\n]{0,60})?/?>")
_OPENED: Final = re.compile(r"(?:<[/|<]?\w{0,1}[^<>\n]{0,38}|\[/?[A-Za-z_]{0,16})$")
"""What may become a tag or a token: not shown before that is known."""
_SENTENCE: Final = re.compile(r"(?<=[.!?\u2026])\s+|\n+")
_CLAUSE: Final = re.compile(r"[,;:\u2013\u2014]\s")
_SIGN: Final = re.compile(r"[*_`#>\u00a1\u00bf!.?,:;()\"\u201c\u201d\u201e\u2013\u2014-]+")
_DIGIT: Final = re.compile(r"\d")
_QUOTED: Final = re.compile(
    r"```.*?(?:```|$)|`[^`\n]*`|\"[^\"\n]*\"|\u201c[^\u201d\n]*\u201d|\u201e[^\u201c\n]*\u201c"
    r"|\u00ab[^\u00bb\n]*\u00bb|\*[^*\n]+\*",
    re.DOTALL,
)
_BACK: Final = 160
"""Characters before a piece that are read again: longer than any token, tag or phrase."""


class Unfit(StrEnum):
    """Why a reply is not fit to be said."""

    REPETITION = "repetition"
    TEMPLATE = "template"
    """Tokens of a chat template, made-up tags, or a turn in the learner's name."""
    PROMPT = "prompt"
    """Our own instructions, or talk about them."""
    ECHO = "echo"
    LANGUAGE = "language"
    EMPTY = "empty"
    """Politeness without content."""
    LENGTH = "length"
    GIVES_AWAY = "gives_away"
    """The exercise's answer, where the learner is to find it."""


class UnfitReply(Exception):
    """A reply is not fit to be said. Holds none of its text."""

    def __init__(self, reason: Unfit) -> None:
        super().__init__(f"unfit: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class GuardContext:
    """What a reply answers, and what it must not give away.

    mode: of the reply
    telling: whether it may tell the answer also in the Socratic mode (the last rung)
    learner: the judged copy of the message that is answered; empty where the tutor speaks first
    tried: whether that message is a try rather than a question
    before: earlier turns, the newest last, and the message as it was sent
    instructions: our own words in the prompt; sayable: those of them that a reply may say
    answers: known answers of the exercise
    """

    mode: Task
    telling: bool = False
    learner: str = ""
    tried: bool = False
    before: tuple[str, ...] = ()
    instructions: str = ""
    sayable: str = ""
    answers: tuple[str, ...] = ()


class ReplyGuard:
    """Reads one reply. Raises UnfitReply as soon as it is unfit; then it is of no more use.

    language_of: names a language; None: languages are not looked at
    """

    def __init__(
        self,
        context: GuardContext,
        settings: GuardSettings,
        language_of: LanguageOf | None = None,
    ) -> None:
        self._context = context
        self._settings = settings
        self._signs = signs_of(settings.signs)
        self._said = "\n".join((*context.before, context.learner))
        self._said_lower = self._said.lower()
        self._roles = self._signs.turn_unless.search(self._said) is not None
        self._markup = self._signs.markup.search(self._said) is not None
        self._loops = Loops(settings)
        self._sentences = Sentences(settings)
        self._last: deque[str] = deque(maxlen=settings.prompt_words)
        self._ours = _runs(context.instructions, context.sayable, settings.prompt_words)
        self._language_of = language_of
        self._language = self._language_known()
        finds = context.mode is Task.SOCRATIC and not context.telling
        self._answers = Answers(
            context.answers if finds else (),
            (*context.before, context.learner),
            self._signs,
            settings,
        )
        self._text = ""
        self._shown = 0
        self._read = 0
        self._tags: Counter[bool] = Counter()
        self._tags_read = 0
        self._code = False
        self._language_read = 0

    def add(self, piece: str) -> str:
        """The next piece; returns what may be shown by now. Raises UnfitReply."""
        begin = max(0, len(self._text) - _BACK)
        self._text += piece
        if len(self._text) > self._settings.most_chars:
            raise UnfitReply(Unfit.LENGTH)
        self._look_for_signs(begin)
        cut = max(self._text.rfind(" "), self._text.rfind("\n")) + 1
        if cut > self._read:
            self._read_words(cut)
        if len(self._text) - self._language_read >= self._settings.language_chars:
            self._look_at_language(self._text[self._language_read :])
            self._language_read = len(self._text)
        opened = _OPENED.search(self._text, max(self._shown, len(self._text) - _BACK))
        return self._show(len(self._text) if opened is None else opened.start())

    def end(self) -> str:
        """The reply is whole; returns what was not shown of it. Raises UnfitReply."""
        self._read_words(len(self._text))
        if self._sentences.end():
            raise UnfitReply(Unfit.REPETITION)
        self._look_at_language(self._text[self._language_read :])
        self._look_at_language(self._text)
        words = _words(self._text)
        if self._echoes(words):
            raise UnfitReply(Unfit.ECHO)
        if self._is_empty():
            raise UnfitReply(Unfit.EMPTY)
        return self._show(len(self._text))

    def _show(self, end: int) -> str:
        if end <= self._shown:
            return ""
        shown, self._shown = self._text[self._shown : end], end
        return shown

    # -- while it is written ---------------------------------------------------------------

    def _look_for_signs(self, begin: int) -> None:
        signs, text = self._signs, self._text
        if any(not self._said_first(found) for found in signs.token.finditer(text, begin)):
            raise UnfitReply(Unfit.TEMPLATE)
        # `^` is a line's begin, not the place from which is searched.
        turns = () if self._roles else signs.turn.finditer(text, begin)
        if not all(map(self._in_code, turns)):
            raise UnfitReply(Unfit.TEMPLATE)
        if any(not self._said_first(found) for found in signs.phrase.finditer(text, begin)):
            raise UnfitReply(Unfit.PROMPT)
        for tag in _TAG.finditer(text, self._tags_read):
            self._tags_read = tag.end()
            self._look_at_tag(tag)

    def _look_at_tag(self, tag: re.Match[str]) -> None:
        name = tag[1].lower()
        if f"<{name}" in self._said_lower or self._markup or self._in_code(tag):
            return
        if name in self._signs.tags:
            raise UnfitReply(Unfit.TEMPLATE)
        known = name.split()[0] in self._signs.html
        self._tags[known] += 1
        most = self._settings.html_tags if known else self._settings.unknown_tags
        begins = not known and not self._text[: tag.start()].strip()
        if begins or (self._tags[known] > most and "<" not in self._said):
            raise UnfitReply(Unfit.TEMPLATE)

    def _said_first(self, found: re.Match[str]) -> bool:
        """Whether the conversation had it before the reply did."""
        return found.group().strip().lower() in self._said_lower

    def _in_code(self, found: re.Match[str]) -> bool:
        before = self._text[: found.start()]
        if before.count("```") % 2:
            return True
        return before[before.rfind("\n") + 1 :].count("`") % 2 == 1

    def _read_words(self, end: int) -> None:
        part, begin = self._text[self._read : end], self._read
        self._read = end
        for index, block in enumerate(part.split("```")):
            self._code = self._code if index == 0 else not self._code
            if not self._code and self._sentences.add(block):
                raise UnfitReply(Unfit.REPETITION)
            for word in _words(block):
                if self._loops.add(word, code=self._code):
                    raise UnfitReply(Unfit.REPETITION)
                self._last.append(word)
                if tuple(self._last) in self._ours:
                    raise UnfitReply(Unfit.PROMPT)
        if _same_sign(self._settings.same_sign).search(part):
            raise UnfitReply(Unfit.REPETITION)
        if self._answers.told_in(self._text[max(0, begin - _BACK) : end]):
            raise UnfitReply(Unfit.GIVES_AWAY)

    # -- language --------------------------------------------------------------------------

    def _language_known(self) -> str | None:
        if self._language_of is None or self._signs.lesson.search(self._said):
            return None
        settings, plain = self._settings, _QUOTED.sub(" ", self._context.learner)
        return self._language_of(plain, settings.asked_words, settings.asked_log_odds)

    def _look_at_language(self, part: str) -> None:
        if self._language is None or self._language_of is None:
            return
        settings = self._settings
        plain = _QUOTED.sub(" ", part)
        told = self._language_of(plain, settings.language_words, settings.language_log_odds)
        if told is not None and told != self._language:
            raise UnfitReply(Unfit.LANGUAGE)

    # -- when it is whole ------------------------------------------------------------------

    def _echoes(self, words: Sequence[str]) -> bool:
        settings, sides = self._settings, self._signs.sides
        asked = [sides.get(word, word) for word in _words(self._context.learner)]
        if words == _words(self._context.learner) and len(words) > 1:
            return True
        if len(asked) < settings.echo_words or not words:
            return False
        said = [sides.get(word, word) for word in words]
        theirs, ours = set(asked), set(said)
        new = sum(word not in theirs for word in said) / len(said)
        covered = len(theirs & ours) / len(theirs)
        return new <= settings.echo_new and covered >= settings.echo_of

    def _is_empty(self) -> bool:
        """Whether hardly a word of a subject stands beside polite phrases; a number is one."""
        context, signs = self._context, self._signs
        if _DIGIT.search(self._text):
            return False
        short = len(_words(context.learner)) <= self._settings.thanks_words
        if short and signs.thanks.search(context.learner):
            return False
        tried = context.tried and context.mode is not Task.ENCOURAGEMENT
        if tried and signs.praise.search(self._text):
            return False
        polite, content = False, set[str]()
        for sentence in _SENTENCE.split(self._text):
            whole = [sentence] if self._is_polite(sentence) else _CLAUSE.split(sentence)
            others = [part for part in whole if not self._is_polite(part)]
            polite = polite or len(others) < len(whole)
            found = {word for part in others for word in _words(part)} - signs.generic
            if found and sentence.rstrip().endswith("?"):
                return False
            content |= found
        return polite and len(content) < self._settings.content_words

    def _is_polite(self, part: str) -> bool:
        plain = " ".join(_SIGN.sub(" ", part).split())
        return self._signs.polite.fullmatch(plain) is not None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("\u2019", "'"))


@lru_cache(maxsize=4)
def _same_sign(times: int) -> re.Pattern[str]:
    # Rules of a table and lines to write on are made of one sign.
    return re.compile(rf"([^\s=_.*#~|+-])\1{{{times - 1}}}")


@lru_cache(maxsize=64)
def _runs(instructions: str, sayable: str, length: int) -> frozenset[tuple[str, ...]]:
    """Runs of so many words of our instructions, but for those that a reply may say."""

    def runs(text: str) -> set[tuple[str, ...]]:
        words = _words(text)
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    return frozenset(runs(instructions) - runs(sayable))
