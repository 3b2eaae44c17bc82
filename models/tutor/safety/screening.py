"""Is this for a person? Patterns over plain text, with the emotion reading beside them.

Every text is looked at in its judged copy (`models/judged.py`), a learner's and a model's.
Pure: same text, reading, lexicon and settings, same answer. It answers with reasons that name
no word of the learner's, so that they may be shown to whoever is called and kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

from models.judged import judged_part
from models.tutor.safety.config import SafetySettings
from models.tutor.safety.lexicon import Pattern
from models.tutor.safety.lexicon import load as load_lexicon
from models.tutor.safety.matching import Finding, findings, found, found_by, without_figures
from models.tutor.safety.normalise import (
    NOTHING,
    SENTENCE_END,
    Sentence,
    extended,
    lowered,
    portions,
)
from models.words.words import ENGLISH, load
from schemas.topics.concerns import ConcernRead, Evidence
from schemas.topics.emotions import Emotion
from schemas.vocabulary import Level

_BREAK: Final = re.compile(r"[^\w'\u2019]")
_OPEN_TAG: Final = re.compile(r"<[/!]?[a-zA-Z][^<>]{0,200}\Z")
"""The tag that may go on: its blanks are no ends of words."""
_LONGEST: Final = 600
"""Characters from which a sentence is judged although it has not ended."""
_KEPT: Final = 160
"""Characters that no pattern's match is longer than."""


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
    """Looks at messages and at replies. Reads its lexicon once.

    language: of the reasons, and of what is said where the settings say nothing else

    Raises LexiconProblem, and models.words.words' WordsProblem.
    """

    def __init__(self, settings: SafetySettings, language: str = ENGLISH) -> None:
        self._settings = settings
        self._words = load(language)
        self.lexicon: Final = load_lexicon(settings.lexicons, language)
        self.help_message: Final = settings.help_message or self._words.help.message
        self._reply_message = settings.reply_message or self._words.help.reply

    def message(self, text: str, emotions: Mapping[Emotion, float] | None = None) -> Screening:
        """A learner's message. emotions: as they were read in it, empty while they are not."""
        read = emotions or {}
        settings, words = self._settings, self._words
        found = findings(text, self.lexicon.patterns, self.lexicon, most=settings.words)
        felt, support = self._felt(read), self._support(read)
        certain = any(finding.alone for finding in found)
        weak = len([finding for finding in found if not finding.alone])
        supported = weak > 0 and support >= settings.supporting_at
        alarm = certain or supported or weak >= settings.weak_findings or bool(felt)
        because = [finding.why for finding in found]
        because += [
            words.safety.felt.format(emotion=words.emotions[emotion].replace("_", " "))
            for emotion in felt
        ]
        if supported and not certain:
            because.append(words.safety.feelings_agree)
        sources = [settings.lexicon_confidence] if certain or weak else []
        sources += [read[emotion] for emotion in felt]
        sources += [support] if supported else []
        return _screening(
            found,
            because,
            alarm=alarm,
            confidence=max(sources, default=0.0),
            said=self.help_message,
            level=settings.level,
        )

    def concern(self, read: ConcernRead) -> Screening:
        """What the emotion model reads as danger; an alarm in any case.

        confidence: the message's probability; of several, 1 - exp(-weight): the probability that
        at least one of them is for a person, were they independent
        """
        settings, words = self._settings, self._words
        alone = read.from_ is Evidence.MESSAGE
        named = [kind for kind, p in read.kinds.items() if p >= settings.concern_named_at]
        # Of several messages the kinds are the last one's, which may be about nothing.
        if alone and read.kinds and not named:
            named = [max(read.kinds, key=lambda kind: read.kinds[kind])]
        about = [words.concerns[kind] for kind in named] or [words.safety.unnamed]
        text = words.safety.message if alone else words.safety.messages
        together = 0.0 if read.weight is None else 1.0 - exp(-read.weight)
        return _screening(
            (),
            [text.format(concern=concern) for concern in about],
            alarm=True,
            confidence=max(read.probability, together),
            said=self.help_message,
            level=settings.level,
        )

    def feelings_count(self, emotions: Mapping[Emotion, float]) -> bool:
        """Whether these can change what comes of looking at any message.

        Where not, `message(text, emotions)` equals `message(text)` for every text.
        """
        return bool(self._felt(emotions)) or self._support(emotions) >= self._settings.supporting_at

    def _felt(self, read: Mapping[Emotion, float]) -> list[Emotion]:
        """Emotions that are enough by themselves."""
        enough = self._settings.emotions.items()
        return [emotion for emotion, least in enough if read.get(emotion, 0.0) >= least]

    def _support(self, read: Mapping[Emotion, float]) -> float:
        """How much the feelings support a weak finding, in [0, 1]."""
        return min(1.0, sum(read.get(emotion, 0.0) for emotion in self._settings.supporting))

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
            said=self._reply_message,
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
    """Looks at a reply while it is written. A piece costs what its own words cost.

    A pattern is found with its last word; one that waits (`Pattern.waits`), when its sentence has
    ended: "you could hurt yourself if you hurry, so ...". What was shown until then: supersede
    it, or show nothing of a sentence while it is `undecided`.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._pieces: list[str] = []
        self._open = ""  # the word that may go on
        self._sentence = NOTHING  # whole words of the sentence that has not ended
        self.undecided = False
        """Whether the sentence so far fails, and only its rest can say whether it does."""

    def add(self, piece: str) -> Screening | None:
        """The alarm that this piece raises with those before, or None.

        Looks only where a word has ended, and at what may be a whole word.
        """
        self._pieces.append(piece)
        self._open += piece
        if not _BREAK.search(piece):
            return None
        whole = max(self._open.rfind(" "), self._open.rfind("\n")) + 1
        tag = _OPEN_TAG.search(self._open[:whole], max(0, whole - _KEPT))
        whole = whole if tag is None else tag.start()
        words, self._open = self._open[:whole], self._open[whole:]
        *ended, last = SENTENCE_END.split(lowered(judged_part(words)))
        for part in ended:
            screening = self._judged(extended(self._sentence, part, self._screen.lexicon))
            self._sentence = NOTHING
            if screening is not None:
                return screening
        self._sentence = extended(self._sentence, last, self._screen.lexicon)
        text = self._sentence.text
        if len(text) > _LONGEST:
            # It may never end. What is kept is enough for whatever began in it.
            screening = self._judged(self._sentence)
            kept = max(len(text) - _KEPT, text.find(" ", len(text) - _KEPT) + 1)
            self._sentence = Sentence(text[kept:])
            return screening
        rest = lowered(judged_part(self._open[:_KEPT]))
        return self._judged_so_far(extended(self._sentence, rest, self._screen.lexicon))

    def end(self) -> Screening | None:
        """The same, of the whole text."""
        screening = self._screen.reply("".join(self._pieces))
        return screening if screening.alarm else None

    def _judged(self, sentence: Sentence) -> Screening | None:
        self.undecided = False
        alarms = (self._alarm(self._matched(each), each) for each in portions(sentence))
        return next((alarm for alarm in alarms if alarm is not None), None)

    def _judged_so_far(self, sentence: Sentence) -> Screening | None:
        matched = self._matched(sentence, max(0, len(sentence.text) - _KEPT))
        self.undecided |= any(pattern.waits for pattern in matched)
        return self._alarm([pattern for pattern in matched if not pattern.waits], sentence)

    def _matched(self, sentence: Sentence, begin: int = 0) -> list[Pattern]:
        """Most sentences match nothing; all else is looked at only where they do."""
        replies = self._screen.lexicon.replies
        return [each for each in replies if each.looks_for.search(sentence.text, begin)]

    def _alarm(self, matched: Sequence[Pattern], sentence: Sentence) -> Screening | None:
        if not matched:
            return None
        read = without_figures(sentence, self._screen.lexicon)
        said = [found_by(pattern) for pattern in matched if found(pattern, read)]
        return self._screen.of_reply(said) if said else None
