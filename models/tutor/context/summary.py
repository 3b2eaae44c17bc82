"""Old turns, compressed into a running summary.

The extractive summary quotes, and needs no model: the learner's statement of the problem, the
last mistake, what the learner has worked out, the question that is open. `by_model_request`
and `by_model_answer` are the optional way over a language model; where it does not answer, the
extractive one stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from models.tutor.context.config import SummarySettings
from models.tutor.context.cutting import shortened
from models.tutor.context.material import Compressor, PromptTurn, Role, Said, Summary
from models.tutor.context.tokens import Counter
from models.tutor.modes.problem import states_a_problem
from models.tutor.moves.serving import text as cues
from models.tutor.prompts.instructions import summary_instructions
from models.tutor.prompts.sanitising import Fence, fenced
from models.tutor.prompts.templates import Templates
from schemas.vocabulary import Speaker

_PROBLEM, _MISTAKE, _PROGRESS, _OPEN, _BEFORE = "problem", "mistake", "progress", "open", "before"
_KINDS = (_BEFORE, _PROBLEM, _PROGRESS, _MISTAKE, _OPEN)
_LINE = re.compile(rf"({'|'.join(_KINDS)}): (.*)")
_SHORTEST = 8  # characters of a quote that still says something


@dataclass(frozen=True, slots=True)
class _Points:
    before: str = ""
    problem: str = ""
    mistake: str = ""
    open: str = ""
    progress: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        told = [
            (_BEFORE, self.before),
            (_PROBLEM, self.problem),
            *((_PROGRESS, line) for line in self.progress),
            (_MISTAKE, self.mistake),
            (_OPEN, self.open),
        ]
        return [f"{kind}: {line}" for kind, line in told if line]


def compress(
    summary: Summary | None, folded: Sequence[Said], settings: SummarySettings, count: Counter
) -> Summary | None:
    """The summary with more turns in it, oldest first; None if there is nothing at all.

    At most `settings.max_tokens` tokens: progress goes first, the problem last.
    Turns up to `summary.through` change nothing.
    """
    new = [turn for turn in folded if summary is None or turn.at > summary.through]
    if not new:
        return summary
    points = _read(summary)
    previous: Said | None = None
    for turn in new:
        points = _noted(points, turn, previous, settings)
        previous = turn
    return Summary(
        text=_fitted(points, settings, count),
        through=max(turn.at for turn in new),
        turns=len(new) + (summary.turns if summary else 0),
        by=Compressor.EXTRACTIVE,
        since=summary.since if summary else min(turn.at for turn in new),
    )


def by_model_request(
    summary: Summary | None,
    folded: Sequence[Said],
    settings: SummarySettings,
    templates: Templates,
) -> tuple[PromptTurn, ...]:
    """The prompt that asks a model for the summary; the material stands in the user turn."""
    told = [] if summary is None else [fenced(Fence.EARLIER, summary.text)]
    told += [
        fenced(Fence.LEARNER if turn.speaker is Speaker.STUDENT else Fence.TUTOR, turn.text)
        for turn in folded
        if summary is None or turn.at > summary.through
    ]
    asked = summary_instructions(templates, settings.words)
    return (PromptTurn(Role.SYSTEM, asked.text), PromptTurn(Role.USER, "\n".join(told)))


def by_model_answer(
    answer: str, extractive: Summary, settings: SummarySettings, count: Counter
) -> Summary:
    """A model's summary of the same turns; the extractive one where it is blank or too long."""
    text = answer.strip()
    if not text or count(text) > settings.max_tokens:
        return extractive
    return replace(extractive, text=text, by=Compressor.MODEL)


def _read(summary: Summary | None) -> _Points:
    if summary is None:
        return _Points()
    if summary.by is Compressor.MODEL:
        return _Points(before=" ".join(summary.text.split()))
    read: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for line in summary.text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            read[match[1]].append(match[2])
    return _Points(
        before="".join(read[_BEFORE][-1:]),
        problem="".join(read[_PROBLEM][-1:]),
        mistake="".join(read[_MISTAKE][-1:]),
        open="".join(read[_OPEN][-1:]),
        progress=tuple(read[_PROGRESS]),
    )


def _noted(
    points: _Points, turn: Said, previous: Said | None, settings: SummarySettings
) -> _Points:
    line = shortened(turn.text, settings.line_chars)
    if not line:
        return points
    if turn.speaker is Speaker.STUDENT:
        points = replace(points, open="")
        if states_a_problem(turn.text, settings.problem_words) or not points.problem:
            # A new problem: what was worked out belongs to the old one.
            return _Points(before=points.before, problem=line)
        if cues.BEGINS_REALISING.match(turn.text) or cues.REALISES.search(turn.text):
            points = _with_progress(points, line, settings)
        return points
    said_before = previous if previous and previous.speaker is Speaker.STUDENT else None
    if said_before is not None and not states_a_problem(said_before.text, settings.problem_words):
        about = shortened(said_before.text, settings.line_chars)
        if cues.REJECTS.search(turn.text):
            points = replace(points, mistake=about)
        elif cues.PRAISES.search(turn.text):
            points = replace(_with_progress(points, about, settings), mistake="")
    asked = _last_question(turn.text)
    return replace(points, open=shortened(asked, settings.line_chars)) if asked else points


def _with_progress(points: _Points, line: str, settings: SummarySettings) -> _Points:
    kept = [known for known in points.progress if known != line]
    kept.append(line)
    return replace(points, progress=tuple(kept[max(0, len(kept) - settings.progress) :]))


def _last_question(text: str) -> str:
    questions = re.findall(r"[^.?!\n]*\?", text)
    return questions[-1].strip() if questions else ""


def _fitted(points: _Points, settings: SummarySettings, count: Counter) -> str:
    while True:
        text = "\n".join(points.lines())
        if count(text) <= settings.max_tokens:
            return text
        points = _with_less(points)


def _with_less(points: _Points) -> _Points:
    """The next thing to give up: progress, the oldest first; then quotes; the problem last."""
    if points.progress:
        return replace(points, progress=points.progress[1:])
    if points.mistake:
        return replace(points, mistake="")
    if points.open:
        return replace(points, open="")
    if len(points.before) > len(points.problem):
        return replace(points, before=_halved(points.before))
    return replace(points, problem=_halved(points.problem))


def _halved(line: str) -> str:
    return shortened(line, len(line) // 2) if len(line) >= _SHORTEST else ""
