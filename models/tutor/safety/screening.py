"""Is this for a person? Patterns over plain text, with the emotion reading beside them.

Pure: same text, reading, lexicon and settings, same answer. It answers with reasons that name
no word of the learner's, so that they may be shown to whoever is called and kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.tutor.safety.config import SafetySettings
from models.tutor.safety.lexicon import Kind, Lexicon, Pattern, load
from models.tutor.safety.plain import plain
from schemas.actions import Level
from schemas.emotions import Emotion

_NEGATION: Final = re.compile(
    r"\b(?:not|never|nobody|no|nor|neither|without|instead of|against)(?: (?:really|actually|even"
    r"|ever|going|to|want|wanting|trying|planning|feel|feeling|like|think|thinking|about|of|be"
    r"|do|mean|meant|saying|say|that|i|am|would|will|have|a|any|had|been|being|having|or))*$"
)
_TAKEN_BACK: Final = re.compile(
    r"\b(?:but|though|although|except|however|yet|until|unless|sometimes|because)\b"
)
_WINDOW: Final = 600  # characters of a reply that are looked at with each piece


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. why: for people; it holds no word of the text."""

    name: str
    kind: Kind
    why: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Screening:
    """What came of looking.

    alarm: a person is to be called
    confidence: in [0, 1], 0 without alarm; no probability, but what the settings give it
    findings: also those that were too weak for an alarm
    because: one sentence for each reason
    level: of the intervention to raise; Level.NONE without alarm
    message: what to say in place of any answer; empty without alarm
    """

    alarm: bool
    confidence: float
    findings: tuple[Finding, ...]
    because: tuple[str, ...]
    level: Level
    message: str


class Screen:
    """Looks at messages and at replies. Reads its lexicon once. Raises LexiconProblem."""

    def __init__(self, settings: SafetySettings) -> None:
        self._settings = settings
        self._lexicon = load(settings.lexicons)

    def message(self, text: str, emotions: Mapping[Emotion, float] | None = None) -> Screening:
        """A learner's message. emotions: as they were read in it, empty while they are not."""
        read = emotions or {}
        settings = self._settings
        found = findings(text, self._lexicon.patterns, self._lexicon)
        felt = [
            emotion
            for emotion, enough in settings.emotions.items()
            if read.get(emotion, 0.0) >= enough
        ]
        support = min(1.0, sum(read.get(emotion, 0.0) for emotion in settings.supporting))
        certain = any(finding.alone for finding in found)
        weak = len([finding for finding in found if not finding.alone])
        supported = weak > 0 and support >= settings.supporting_at
        alarm = certain or supported or weak >= settings.weak_findings or bool(felt)
        because = [finding.why for finding in found]
        because += [f"{emotion.replace('_', ' ')} was read in it" for emotion in felt]
        if supported and not certain:
            because.append("the feelings read in it agree")
        sources = [settings.lexicon_confidence] if certain or weak else []
        sources += [read[emotion] for emotion in felt]
        sources += [support] if supported else []
        return self._screening(
            alarm, max(sources, default=0.0), found, because, settings.help_message
        )

    def reply(self, text: str) -> Screening:
        """A model's words, before or while a learner sees them."""
        found = findings(text, self._lexicon.replies, self._lexicon)
        why = [finding.why for finding in found]
        certain = self._settings.lexicon_confidence
        return self._screening(bool(found), certain, found, why, self._settings.reply_message)

    def _screening(
        self,
        alarm: bool,
        confidence: float,
        found: Sequence[Finding],
        because: Sequence[str],
        said: str,
    ) -> Screening:
        return Screening(
            alarm=alarm,
            confidence=confidence if alarm else 0.0,
            findings=tuple(found),
            because=tuple(dict.fromkeys(because)),
            level=self._settings.level if alarm else Level.NONE,
            message=said if alarm else "",
        )


class ReplyWatch:
    """Looks at a reply while it is written.

    A phrase is found when its last word is complete, so that its first words may have been
    shown: supersede them.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._text = ""

    def add(self, piece: str) -> Screening | None:
        """The alarm that the text so far raises, or None. Looks only where a word has ended."""
        self._text += piece
        if not re.search(r"[^\w'\u2019]", piece):
            return None
        screening = self._screen.reply(self._text[-_WINDOW:])
        return screening if screening.alarm else None

    def end(self) -> Screening | None:
        """The same, of the whole text."""
        screening = self._screen.reply(self._text)
        return screening if screening.alarm else None


def findings(text: str, patterns: Sequence[Pattern], lexicon: Lexicon) -> tuple[Finding, ...]:
    """What is found in a text, each pattern at most once, in the lexicon's order."""
    sentences = [_without_figures(line, lexicon) for line in plain(text, lexicon).splitlines()]
    return tuple(
        Finding(pattern.name, pattern.kind, pattern.why, pattern.alone)
        for pattern in patterns
        if any(_found(pattern, sentence) for sentence in sentences)
    )


def _without_figures(sentence: str, lexicon: Lexicon) -> str:
    for figure in lexicon.figures:
        # A mark, not nothing: the words beside it must not become neighbours.
        sentence = figure.sub("~", sentence)
    return sentence


def _found(pattern: Pattern, sentence: str) -> bool:
    if any(context.search(sentence) for context in pattern.unless):
        return False
    return any(
        not (pattern.negatable and _negated(sentence, match))
        for match in pattern.looks_for.finditer(sentence)
    )


def _negated(sentence: str, match: re.Match[str]) -> bool:
    # "but" behind it takes the negation back: better one call too many.
    return bool(
        _NEGATION.search(sentence[: match.start()].rstrip())
        and not _TAKEN_BACK.search(sentence, match.end())
    )
