"""ASSISTments' rows as what the nets would have read before each of them, and what came of it.

Rows become the interactions that a page would have sent and go through the evidence
that serves. The set has no clock; order ids grow with the whole system's use, so a
jump in them is a pause. What took a learner so long moves the made clock, plus GAP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from models.learner.behaviour.serving.estimating import estimate
from models.learner.behaviour.serving.observed import observe
from models.learner.behaviour.serving.record import NO_BEHAVIOUR
from models.learner.behaviour.serving.record import add as add_behaviour
from models.learner.behaviour.training.replay import GAP, LONGEST, START, by_person
from models.learner.behaviour.training.sources import ProblemRow
from models.learner.config import LearnerSettings
from models.learner.evidence import Evidence, add, observe_interaction
from models.learner.nets.serving.assembling import net_inputs, session_seconds
from models.learner.nets.serving.inputs import Feature
from models.learner.trajectory import Called
from schemas.topics.interactions import Interaction, TaskData, TimingData

NEW_SESSION: Final = 20_000
"""Order ids between two exercises of a learner from which a new session began; of the
gaps 95% are below 3,200 and 4% above 100,000, so that its exact value hardly matters."""
NO_CALL: Final = (Called(points=0), 0.0, 0.0)
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Before one exercise: the inputs; and what then happened."""

    person: str
    features: dict[str, Feature]
    correct: bool
    outcome: str
    """unaided, wrong, hint or all_hints (grades.csv)."""


def replay(rows: Sequence[ProblemRow], settings: LearnerSettings) -> Iterator[Moment]:
    """A moment before each labelled exercise, by person in their own order."""
    behaviour = settings.behaviour
    population, pause = behaviour.behaviour.population, behaviour.fatigue.pause
    for person, theirs in by_person(rows).items():
        evidence, record, now, last = Evidence(), NO_BEHAVIOUR, START, None
        for row in sorted(theirs, key=lambda row: (row.order, row.row)):
            if last is not None and row.order - last > NEW_SESSION:
                now += _DAY_MS
            last = row.order
            if row.correct is not None:
                inputs = net_inputs(
                    evidence,
                    None,
                    NO_CALL,
                    settings.confidence,
                    estimates=estimate(record, {}, 0.0, behaviour),
                    session_seconds=session_seconds(record),
                )
                yield Moment(person, dict(inputs.features), row.correct, outcome_of(row))
            now += round(1000 * (min(row.seconds or 0.0, LONGEST) + GAP))
            interaction = _answer(row, now)
            observation = observe_interaction(interaction, now)
            evidence = add(evidence, [observation], settings.evidence, interactions=1)
            observed = observe(interaction, now, behaviour.kind_of)
            record = add_behaviour(record, [observed], population, pause)


def outcome_of(row: ProblemRow) -> str:
    """What came of an exercise, in the words of grades.csv."""
    hints = row.hints or 0
    if hints and hints >= row.hint_total:
        return "all_hints"
    if hints:
        return "hint"
    return "unaided" if row.correct else "wrong"


def _answer(row: ProblemRow, time: int) -> Interaction:
    return Interaction(
        timestamp=time,
        interaction_type="answer",
        timing_data=None if row.seconds is None else TimingData(response_time=row.seconds),
        task_data=TaskData(
            skill=row.skill[:128],
            correct=row.correct,
            attempt_count=row.attempts,
            hint_count=row.hints,
            hint_total=row.hint_total,
        ),
    )
