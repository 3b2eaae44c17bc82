"""How many learners of whom a person should know raise an alarm over their messages together.

A dialogue's messages are taken in as the emotion worker takes those of one learner
(`models.emotion.hints`), a minute apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.emotion.config import ConcernSettings
from models.emotion.hints import Hints, Place
from models.emotion.measuring.concerns import Alarms, alarms_of
from models.emotion.measuring.served import Prediction
from models.emotion.measuring.signs import Share, by_kind
from models.emotion.training.examples import LabelledDialogue
from schemas.topics.concerns import Evidence

APART: Final = 60_000
"""Milliseconds between two messages: the data tell no times."""
LEARNER: Final = "learner"

By = Literal["words", "message", "messages"]


@dataclass(frozen=True, slots=True)
class DialogueOutcome:
    """What came of one dialogue.

    at: place of the first message that raises an alarm; None without one
    by: the words (the tutor's screening), the message's concern, or that of several together
    by_one: whether a message raises one by itself, this one or a later one
    """

    at: int | None
    by: By | None
    by_one: bool

    @property
    def alarm(self) -> bool:
        """Whether a person would be told."""
        return self.at is not None

    def as_json(self) -> dict[str, Any]:
        """One line of a predictions file, without the row's number."""
        return {"alarm": self.alarm, "at": self.at, "by": self.by}


@dataclass(frozen=True, slots=True)
class DialogueFigures:
    """What `evaluate emotion --format dialogues` reports.

    rows: dialogues of the file; n: those of them that are labelled
    concern_at, hints_at: the operating points of one message, and of the sum of hints
    alarms: of all dialogues
    by_one: of those in which one message is enough
    found_by_kind, alarmed_by_kind: of the kinds of either label, in the file's order
    """

    rows: int
    n: int
    concern_at: float
    hints_at: float
    alarms: Alarms
    by_one: Alarms
    found_by_kind: dict[str, Share]
    alarmed_by_kind: dict[str, Share]

    def as_json(self) -> dict[str, Any]:
        """One object with every key."""
        return {
            "rows": self.rows,
            "n": self.n,
            "concern_at": self.concern_at,
            "hints_at": self.hints_at,
            **self.alarms.as_json(),
            "by_one": self.by_one.as_json(),
            "found_by_kind": {kind: s.as_json() for kind, s in self.found_by_kind.items()},
            "alarmed_by_kind": {kind: s.as_json() for kind, s in self.alarmed_by_kind.items()},
        }


def outcome_of(predictions: Sequence[Prediction], settings: ConcernSettings) -> DialogueOutcome:
    """Take in one learner's messages, in their order."""
    by_one = any(prediction.alarm for prediction in predictions)
    hints = Hints(settings)
    for at, prediction in enumerate(predictions):
        if prediction.by_words:
            return DialogueOutcome(at, "words", by_one)
        if prediction.concern is None:
            continue
        now = at * APART
        alarm = hints.read(LEARNER, Place(0, at, now), prediction.concern, now)
        if alarm is not None:
            by: By = "message" if alarm.source is Evidence.MESSAGE else "messages"
            return DialogueOutcome(at, by, by_one)
    return DialogueOutcome(None, None, by_one)


def dialogue_figures(
    dialogues: Sequence[LabelledDialogue],
    outcomes: Sequence[DialogueOutcome],
    settings: ConcernSettings,
) -> DialogueFigures:
    """Every figure; `outcomes` with the dialogues' places."""
    pairs = list(zip(dialogues, outcomes, strict=True))
    alarms = alarms_of([(dialogue.label, found.alarm) for dialogue, found in pairs])
    return DialogueFigures(
        rows=len(pairs),
        n=alarms.rows,
        concern_at=settings.at,
        hints_at=settings.hints_at,
        alarms=alarms,
        by_one=alarms_of([(dialogue.label, found.by_one) for dialogue, found in pairs]),
        found_by_kind=by_kind([(d.kind, found.alarm) for d, found in pairs if d.label == 1]),
        alarmed_by_kind=by_kind([(d.kind, found.alarm) for d, found in pairs if d.label == 0]),
    )
