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
from models.tutor.safety.lexicon import load
from models.tutor.safety.matching import Finding, findings
from schemas.actions import Level
from schemas.emotions import Emotion

_WINDOW: Final = 600  # characters of a reply that are looked at with each piece


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
        self.lexicon: Final = load(settings.lexicons)

    def message(self, text: str, emotions: Mapping[Emotion, float] | None = None) -> Screening:
        """A learner's message. emotions: as they were read in it, empty while they are not."""
        read = emotions or {}
        settings = self._settings
        found = findings(text, self.lexicon.patterns, self.lexicon, most=settings.words)
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
        return _screening(
            found,
            because,
            alarm=alarm,
            confidence=max(sources, default=0.0),
            said=settings.help_message,
            level=settings.level,
        )

    def reply(self, text: str) -> Screening:
        """A model's words, before or while a learner sees them."""
        return self.of_reply(findings(text, self.lexicon.replies, self.lexicon))

    def of_reply(self, found: Sequence[Finding]) -> Screening:
        """What findings in a model's words amount to: each of them is enough."""
        settings = self._settings
        return _screening(
            found,
            [finding.why for finding in found],
            alarm=bool(found),
            confidence=settings.lexicon_confidence,
            said=settings.reply_message,
            level=settings.reply_level,
        )


def _screening(
    found: Sequence[Finding],
    because: Sequence[str],
    *,
    alarm: bool,
    confidence: float,
    said: str,
    level: Level,
) -> Screening:
    return Screening(
        alarm=alarm,
        confidence=confidence if alarm else 0.0,
        findings=tuple(found),
        because=tuple(dict.fromkeys(because)),
        level=level if alarm else Level.NONE,
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
