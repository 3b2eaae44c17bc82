"""The update of a learner: (record, event, settings) -> (record, outputs).

Pure: no clock, no await, no I/O; the input record is never changed. What an event
does to a record:

    not newer than the last erasure   nothing                             ERASED
    offset at or below the applied    nothing; outputs derived again      REDELIVERY
    only event ids seen before, of    offset advances; outputs as they    RETRY
    its kind                          stand
    otherwise                         evidence, decision, outputs         APPLIED

What is sent: models/learner/outputs.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from models.ids import derived_id
from models.learner.affect import plus
from models.learner.behaviour.serving.observed import Observed, observe
from models.learner.behaviour.serving.record import add as add_behaviour
from models.learner.config import LearnerSettings
from models.learner.evidence import (
    Observation,
    add,
    clamp,
    decay,
    observe_interaction,
    observe_reading,
)
from models.learner.guards import advance, is_applied, is_erased, remembering
from models.learner.outputs import Cause, Outputs, Position, decision_id, outputs_of
from models.learner.policy import decide, may_raise
from models.learner.recommending.serving.advising import advise
from models.learner.recommending.serving.learning import answer
from models.learner.record import LearnerRecord, PastIntervention
from models.learner.seen import EventId, Kind
from models.learner.state import summarise
from schemas.base import Event
from schemas.topics.actions import FeedbackReceived, TargetType
from schemas.topics.emotions import EmotionRead
from schemas.topics.interactions import InteractionsReceived
from schemas.topics.operations import ErasureRequested

__all__ = [
    "Effect",
    "Outputs",
    "Position",
    "SourceUnknown",
    "Step",
    "apply_emotion",
    "apply_erasure",
    "apply_feedback",
    "apply_interactions",
    "derived_id",
]


class SourceUnknown(ValueError):
    """A derived event that does not say which record it was computed from."""


class Effect(StrEnum):
    """What an event did to the record."""

    APPLIED = "applied"
    REDELIVERY = "redelivery"
    """Kafka delivered it before; the record stands, outputs are sent again."""
    RETRY = "retry"
    """The client sent it before; the offset advances, evidence does not."""
    ERASED = "erased"
    """The learner was erased after it was received; it leaves no trace."""


@dataclass(frozen=True, slots=True)
class Step:
    """One update. `record` is to be stored exactly if `changed`."""

    record: LearnerRecord | None
    changed: bool
    outputs: Outputs | None
    effect: Effect
    duplicates: int = 0
    """Interactions or messages left out because their ids had been seen."""
    late: int = 0
    """Applied events more than `lateness` behind the newest before them."""
    clamped: int = 0
    """Applied events whose time lay more than `skew` after their receipt."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """Event times after clamping, and what was found on the way."""

    times: list[int]
    late: int
    clamped: int


def apply_interactions(
    record: LearnerRecord | None,
    batch: InteractionsReceived,
    position: Position,
    settings: LearnerSettings,
) -> Step:
    """Add a batch of interactions; those whose ids were seen are left out."""
    ids = tuple(
        interaction.event_id
        or derived_id("interaction", f"{batch.event_id}:{index}", batch.user_id)
        for index, interaction in enumerate(batch.interactions)
    )
    cause = Cause(batch, batch.event_id, ids, position)
    if (done := _not_to_apply(record, cause, settings)) is not None:
        return done
    known = remembering(record or LearnerRecord(), batch, settings)
    named = [EventId(Kind.INTERACTION, each) for each in ids]
    # A long batch pushes ids out of the memory, its own first ones too: its name stays behind them.
    whole = (EventId(Kind.BATCH, batch.event_id),) if len(ids) > 1 else ()
    fresh = known.seen.unseen(named)
    if not fresh or (whole and not known.seen.unseen(whole)):
        return _retry(known, cause, settings)
    interactions = [batch.interactions[index] for index in fresh]
    timed = _times([i.timestamp + batch.clock_offset for i in interactions], batch, known, settings)
    observations = [
        observe_interaction(interaction, time)
        for interaction, time in zip(interactions, timed.times, strict=True)
    ]
    advanced = advance(known, cause, [*(named[index] for index in fresh), *whole], settings)
    behaved = [
        observe(interaction, time, settings.behaviour.kind_of)
        for interaction, time in zip(interactions, timed.times, strict=True)
    ]
    grown = _observe(advanced, observations, behaved, settings, interactions=len(fresh))
    return _decided(grown, cause, settings, len(ids) - len(fresh), timed)


def apply_emotion(
    record: LearnerRecord | None, reading: EmotionRead, settings: LearnerSettings
) -> Step:
    """Add what was read in one chat message, guarded by the message's own offset.

    An unavailable reading marks the state, with its reason, and leaves the evidence alone.

    Raises:
        SourceUnknown: the reading does not say which chat message it is of.
    """
    if reading.source_offset < 0 or not reading.source_topic:
        raise SourceUnknown(f"reading {reading.event_id} does not name its chat message's position")
    position = Position(reading.source_topic, reading.source_partition, reading.source_offset)
    ids = reading.caused_by or (reading.event_id,)
    cause = Cause(reading, ids[0], ids, position)
    if (done := _not_to_apply(record, cause, settings)) is not None:
        return done
    known = remembering(record or LearnerRecord(), reading, settings)
    named = [EventId(Kind.MESSAGE, each) for each in ids]
    if not known.seen.unseen(named):
        return _retry(known, cause, settings)
    advanced = advance(known, cause, named, settings)
    if reading.status == "unavailable":
        unread = replace(advanced, model_unavailable=True, unread=reading.reason)
        return _decided(unread, cause, settings)
    timed = _times([reading.event_time + reading.clock_offset], reading, known, settings)
    observation = observe_reading(reading, timed.times[0])
    # A message says that the learner is there, and nothing else about behaviour.
    behaved = [Observed(observation.time)]
    grown = _observe(advanced, [observation], behaved, settings, messages=1)
    if reading.pad is not None and grown.evidence.newest is not None:
        age = grown.evidence.newest - observation.time
        trend = grown.trend.plus(age, reading.pad.valence, settings.trajectory, observation.weight)
        grown = replace(grown, trend=trend)
    if reading.affect and grown.evidence.newest is not None:
        age = grown.evidence.newest - observation.time
        weight = observation.weight * decay(age, settings.evidence.session_half_life)
        affect = plus(grown.affect, reading.model_version, reading.affect, weight)
        grown = replace(grown, affect=affect)
    read = replace(grown, model_unavailable=False, unread=None)
    return _decided(read, cause, settings, 0, timed)


def apply_feedback(
    record: LearnerRecord | None,
    feedback: FeedbackReceived,
    position: Position,
    settings: LearnerSettings,
) -> Step:
    """Count feedback by what it is about, and learn from it if it is about a recommendation.

    Says nothing new about how the learner is: no outputs.
    """
    known = record or LearnerRecord()
    if is_erased(known, feedback):
        return Step(record, False, None, Effect.ERASED)
    if is_applied(known, position):
        return Step(record, False, None, Effect.REDELIVERY)
    cause = Cause(feedback, feedback.event_id, (feedback.event_id,), position)
    known = remembering(known, feedback, settings)
    named = (EventId(Kind.FEEDBACK, feedback.event_id),)
    if not known.seen.unseen(named):
        return Step(advance(known, cause, (), settings), True, None, Effect.RETRY, duplicates=1)
    advanced = advance(known, cause, named, settings)
    target = feedback.target_type
    counts = {**advanced.feedback, target: advanced.feedback.get(target, 0) + 1}
    advice = advanced.advice
    if target is TargetType.RECOMMENDATION:
        advice = answer(
            advice,
            feedback.user_id,
            feedback.target_id,
            feedback.outcome,
            now=advanced.ingested,
            policy=settings.recommending_policy,
        )
    grown = replace(advanced, feedback=counts, advice=advice)
    return Step(grown, True, None, Effect.APPLIED)


def apply_erasure(
    record: LearnerRecord | None,
    erasure: ErasureRequested,
    position: Position,
    settings: LearnerSettings,
) -> Step:
    """Replace the record by a marker. No outputs; the caller sends the tombstones.

    Everything known is dropped, also what was received after the request but applied
    before it arrived here: sums cannot be taken apart, and forgetting too much is the
    right mistake. Offsets and version stay, they guard and say nothing of a person.
    """
    known = record or LearnerRecord()
    if is_applied(known, position):
        return Step(record, False, None, Effect.REDELIVERY)
    marker = replace(
        LearnerRecord.empty(known.format),
        version=known.version + 1,
        ingested=known.ingested,
        erased_at=max(erasure.ingest_time, known.erased_at or 0),
        applied={**known.applied, position.topic: position.offset},
    )
    return Step(marker, True, None, Effect.APPLIED)


# -- guards -------------------------------------------------------------------------------


def _not_to_apply(
    record: LearnerRecord | None, cause: Cause, settings: LearnerSettings
) -> Step | None:
    if record is None:
        return None
    if is_erased(record, cause.event):
        return Step(record, False, None, Effect.ERASED)
    if is_applied(record, cause.position):
        return Step(record, False, _outputs_again(record, cause, settings), Effect.REDELIVERY)
    return None


def _retry(record: LearnerRecord, cause: Cause, settings: LearnerSettings) -> Step:
    advanced = advance(record, cause, (), settings)
    outputs = _outputs_again(advanced, cause, settings)
    return Step(advanced, True, outputs, Effect.RETRY, duplicates=len(cause.ids))


# -- the record ---------------------------------------------------------------------------


def _times(
    event_times: list[int], event: Event, record: LearnerRecord, settings: LearnerSettings
) -> _Timed:
    times = clamp(event_times, event.ingest_time, settings.evidence)
    newest = record.evidence.newest
    horizon = None if newest is None else newest - settings.evidence.lateness * 1000
    return _Timed(
        times,
        late=0 if horizon is None else sum(time < horizon for time in times),
        clamped=sum(time != raw for time, raw in zip(times, event_times, strict=True)),
    )


def _observe(
    record: LearnerRecord,
    observations: list[Observation],
    behaved: list[Observed],
    settings: LearnerSettings,
    *,
    interactions: int = 0,
    messages: int = 0,
) -> LearnerRecord:
    before = record.evidence.newest
    evidence = add(
        record.evidence,
        observations,
        settings.evidence,
        interactions=interactions,
        messages=messages,
    )
    moved = 0 if before is None or evidence.newest is None else evidence.newest - before
    left = decay(moved, settings.evidence.session_half_life)
    return replace(
        record,
        evidence=evidence,
        trend=record.trend.moved(moved, settings.trajectory),
        affect=None if record.affect is None else record.affect.moved(left),
        behaviour=add_behaviour(
            record.behaviour,
            behaved,
            settings.behaviour.behaviour.population,
            settings.behaviour.fatigue.pause,
        ),
    )


# -- decisions and outputs ----------------------------------------------------------------


def _decided(
    record: LearnerRecord,
    cause: Cause,
    settings: LearnerSettings,
    duplicates: int = 0,
    timed: _Timed | None = None,
) -> Step:
    summary = summarise(record, settings)
    decision = decide(summary, record.active, settings)
    raised: tuple[PastIntervention, ...] = ()
    alarm = decision.alarm
    if alarm is not None and may_raise(
        alarm.level, record.ingested, record.raised, settings.policy
    ):
        past = PastIntervention(
            event_id=derived_id("intervention", cause.root, cause.event.user_id),
            level=alarm.level,
            confidence=alarm.confidence,
            because=alarm.because,
            raised_at=record.ingested,
            version=record.version,
        )
        raised = (past,)
        record = replace(
            record,
            raised={**record.raised, alarm.level: record.ingested},
            recent=(*record.recent, past)[-settings.policy.remembered :],
        )
    advice = advise(
        record.advice,
        decision.eligible,
        summary.number,
        decision_id(cause),
        now=record.ingested,
        policy=settings.recommending_policy,
    )
    record = replace(record, active=decision.active, advice=advice)
    outputs = outputs_of(record, summary, decision, raised, cause, settings=settings)
    late, clamped = (timed.late, timed.clamped) if timed is not None else (0, 0)
    return Step(record, True, outputs, Effect.APPLIED, duplicates, late, clamped)


def _outputs_again(record: LearnerRecord, cause: Cause, settings: LearnerSettings) -> Outputs:
    """Outputs of an event that was applied before, from the record as it stands now."""
    summary = summarise(record, settings)
    decision = decide(summary, record.active, settings)
    event_id = derived_id("intervention", cause.root, cause.event.user_id)
    raised = tuple(past for past in record.recent if past.event_id == event_id)
    return outputs_of(record, summary, decision, raised, cause, settings=settings)
