"""What came of a run: a line for each learner turn, and the figures of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

import orjson

from schemas.figures import rounded
from schemas.topics.tutor import ReplyStatus, TutorReplied

PUT_OFF: Final = "put_off"
"""There is no answer now. A worker tries again later; a run goes on with the next turn."""
UNREAD: Final = "dead_letter"
"""The message cannot be read: a worker sends it to the dead letters, and nobody replies."""
NONE: Final = "none"
"""In the figures: without a provider, or without a mode."""

_WORDS: Final = frozenset({ReplyStatus.ANSWERED, ReplyStatus.HUMAN_HELP})
_WENT_WELL: Final = frozenset({"answered", "cancelled"})
"""Outcomes of an attempt that are no failure."""

Attempts = Counter[tuple[str, str]]
"""How often each provider was asked, by provider and outcome."""


@dataclass(frozen=True, slots=True)
class TurnLine:
    """One learner turn.

    Attributes:
        dialogue, turn: numbers from 0, in the order of the file.
        reply: what the learner reads: the words, or why there are none.
        mode, provider: of who wrote the words; None where nobody did.
        verdict: docs/tutor.md, "Look at its replies", has the values.
        seconds: from the message to the reply.
    """

    dialogue: int
    turn: int
    learner: str
    reply: str
    mode: str | None
    provider: str | None
    verdict: str
    seconds: float

    def json_line(self) -> bytes:
        """With its line end."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


class Told:
    """What a learner is told in one turn. The same message told again counts once."""

    def __init__(self) -> None:
        self._replies: dict[str, TutorReplied] = {}

    def take(self, reply: TutorReplied) -> None:
        """It was sent."""
        self._replies.setdefault(reply.event_id, reply)

    @property
    def reply(self) -> TutorReplied | None:
        """The one that counts: help before a lesson, and what is final before what is not."""
        found = sorted(
            self._replies.values(),
            key=lambda one: (one.status is not ReplyStatus.HUMAN_HELP, not one.final),
        )
        return next(iter(found), None)


def text_of(reply: TutorReplied | None) -> str:
    """The words of a reply, or why there are none."""
    return "" if reply is None else reply.text or "; ".join(reply.because)


def verdict_of(reply: TutorReplied | None, asked: Attempts) -> str:
    """What came of a turn in which these attempts were made."""
    if reply is None:
        return UNREAD
    if reply.status in _WORDS:
        return str(reply.status)
    failures = {outcome for _, outcome in asked if outcome not in _WENT_WELL}
    if failures:
        return "+".join(sorted(failures))
    return str(reply.status) if reply.final else PUT_OFF


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a run. seconds: the median of all turns; attempts by provider, outcome."""

    dialogues: int
    turns: int
    verdicts: Mapping[str, int]
    providers: Mapping[str, int]
    modes: Mapping[str, int]
    seconds: float
    attempts: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, lines: Sequence[TurnLine], attempts: Attempts) -> Report:
        """Of at least one turn."""
        asked: dict[str, dict[str, int]] = {}
        for (provider, outcome), number in sorted(attempts.items()):
            asked.setdefault(provider, {})[outcome] = number
        return cls(
            dialogues=len({line.dialogue for line in lines}),
            turns=len(lines),
            verdicts=_counted(line.verdict for line in lines),
            providers=_counted(line.provider for line in lines),
            modes=_counted(line.mode for line in lines),
            seconds=rounded(median(line.seconds for line in lines)),
            attempts=asked,
        )

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "seconds": {"median": self.seconds}}

    def as_text(self) -> str:
        """A few lines to read."""
        asked = {
            f"{provider} {outcome}": number
            for provider, outcomes in self.attempts.items()
            for outcome, number in outcomes.items()
        }
        return "\n".join(
            (
                f"dialogues: {self.dialogues}, turns: {self.turns}",
                f"median seconds to a reply: {self.seconds:.2f}",
                f"verdicts: {_listed(self.verdicts)}",
                f"providers: {_listed(self.providers)}",
                f"modes: {_listed(self.modes)}",
                f"attempts: {_listed(asked)}",
            )
        )


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    """The most frequent first."""
    return dict(Counter(value or NONE for value in values).most_common())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.items()) or NONE
