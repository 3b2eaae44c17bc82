"""Rows of the data sets as the interactions that a page would have sent.

Training and evaluation go through the very code that serves: a row becomes an
`Interaction`, is observed and added to a record, and features are read from that.
The sets carry no clock, so times are made: what took the learner so long, plus GAP.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from math import exp
from typing import Final, NamedTuple, Protocol, TypeVar

from models.learner.behaviour.serving.features import focus_features, load_features, next_features
from models.learner.behaviour.serving.observed import Observed, observe, skill_key
from models.learner.behaviour.serving.population import Population
from models.learner.behaviour.serving.record import BehaviourRecord, add
from models.learner.behaviour.training.sources import (
    NBACK_LURES,
    NBACK_TARGETS,
    BlockRow,
    ClipRow,
    ProblemRow,
)
from schemas.topics.interactions import Interaction, TaskData, TimingData

START: Final = 1_600_000_000_000
GAP: Final = 5.0
"""Seconds between one exercise and the next."""
LONGEST: Final = 600.0
"""Seconds: what took longer moves the made clock by this much."""
TRIAL: Final = 3.0
"""Seconds of one n-back trial."""
APART: Final = 3_600.0
"""Seconds between clips, and between blocks: long enough that what was recent is not."""
_PAUSE: Final = 600.0
_NO_KINDS: Final[dict[str, int]] = {}


class Example(NamedTuple):
    """What an estimator would have seen at one row, and what then happened."""

    row: int
    person: str
    features: list[float]


class _OfPerson(Protocol):
    @property
    def person(self) -> str: ...


_Row = TypeVar("_Row", bound=_OfPerson)


def by_person(rows: Iterable[_Row]) -> dict[str, list[_Row]]:
    """The rows of each person, in the order of the file."""
    people: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        people[row.person].append(row)
    return people


def in_order(rows: Iterable[ProblemRow]) -> dict[str, list[ProblemRow]]:
    """The exercises of each person, as they were done."""
    return {
        person: sorted(theirs, key=lambda row: (row.order, row.row))
        for person, theirs in by_person(rows).items()
    }


def replay_problems(rows: Sequence[ProblemRow], population: Population) -> Iterator[Example]:
    """Before each exercise: its skill and hints on offer, and the person's earlier rows only."""
    for person, theirs in in_order(rows).items():
        record, now = BehaviourRecord(), START
        for row in theirs:
            skill = skill_key(row.skill)
            yield Example(row.row, person, next_features(record, population, skill, row.hint_total))
            now += round(1000 * (min(row.seconds or 0.0, LONGEST) + GAP))
            record = add(record, [observe(_answer(row), now, _NO_KINDS)], population, _PAUSE)


def replay_blocks(rows: Sequence[BlockRow], population: Population) -> Iterator[Example]:
    """After each block that was played: its trials as answers, the person's others as history.

    The file does not say in which order blocks were played and the level may not be
    used, so the norm is made of all the other blocks, whichever came first.
    """
    for person, theirs in by_person(row for row in rows if row.is_played).items():
        for row in theirs:
            record, now = BehaviourRecord(), START
            for block in (*(other for other in theirs if other is not row), row):
                trials, now = _trials(block, now)
                record = add(record, trials, population, _PAUSE)
                now += round(1000 * APART)
            yield Example(row.row, person, load_features(record))


def replay_clips(rows: Sequence[ClipRow], population: Population) -> Iterator[Example]:
    """At each clip: the response times that its sums of deviations tell, as responses.

    The log's deviations are from the step's usual time; a page knows the learner's own
    norm instead. Each clip is therefore told to a learner whose norm is the population's.
    """
    for row in rows:
        older = (row.last5 - row.last3) / 2
        newer = row.last3 / 3
        deviations = (older, older, newer, newer, newer, row.z)
        now, told = START, []
        for deviation in deviations:
            seconds = _deviating(deviation, population)
            now += round(1000 * min(seconds, LONGEST))
            interaction = Interaction(
                timestamp=now,
                interaction_type="answer",
                timing_data=TimingData(response_time=seconds),
            )
            told.append(observe(interaction, now, _NO_KINDS))
        record = add(BehaviourRecord(), told, population, _PAUSE)
        yield Example(row.row, row.person, focus_features(record, population))


def _answer(row: ProblemRow) -> Interaction:
    return Interaction(
        timestamp=START,
        interaction_type="answer",
        timing_data=None if row.seconds is None else TimingData(response_time=row.seconds),
        task_data=TaskData(
            problem_id=row.problem[:128] or None,
            skill=row.skill[:128],
            correct=row.correct,
            attempt_count=row.attempts,
            hint_count=row.hints,
            hint_total=row.hint_total,
        ),
    )


def _trials(block: BlockRow, now: int) -> tuple[list[Observed], int]:
    hits = round(block.hit * NBACK_TARGETS)
    rejections = round(block.correct_rejections * NBACK_LURES)
    trials = NBACK_TARGETS + NBACK_LURES
    told = []
    for index in range(trials):
        # Right and wrong trials alternate evenly: the file does not say where they fell.
        right = hits + rejections
        correct = (index + 1) * right // trials > index * right // trials
        now += round(1000 * TRIAL)
        interaction = Interaction(
            timestamp=now, interaction_type="answer", task_data=TaskData(correct=correct)
        )
        told.append(observe(interaction, now, _NO_KINDS))
    return told, now


def _deviating(deviation: float, population: Population) -> float:
    """Seconds that lie so many standard deviations from the usual, log-normally."""
    mean = exp(population.log_response + population.log_response_spread**2 / 2)
    return min(max(mean * (1.0 + deviation), 0.05 * mean), 86_400.0)
