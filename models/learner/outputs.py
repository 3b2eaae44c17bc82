"""What an update sends: state, recommendations, interventions, requests, with ids that repeat.

Ids are derived from the causing event, so that however often an output is computed,
every reader can tell that it is the same. Figures are rounded here, and only here: rules,
nets and the record have the exact ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.ids import derived_id, reply_id
from models.learner.config import LearnerSettings, TutorRequestSettings
from models.learner.policy import Decision
from models.learner.recommending.serving.advising import decision_made, follow_ups, recommendations
from models.learner.record import LearnerRecord, PastIntervention
from models.learner.state import Summary
from schemas.base import Event
from schemas.figures import rounded, rounded_shares
from schemas.topics.actions import InterventionRaised, RecommendationsMade
from schemas.topics.emotions import Emotion, EmotionRead
from schemas.topics.state import (
    Activity,
    Behaviour,
    Estimate,
    InterventionNeed,
    LongTerm,
    Readiness,
    Tendency,
    TrajectoryCall,
    UserState,
)
from schemas.topics.tutor import RequestKind, TutorRequested


@dataclass(frozen=True, slots=True)
class Position:
    """Where the client's record stands in its topic."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outputs:
    """What to send, in this order."""

    state: UserState
    recommendations: RecommendationsMade
    interventions: tuple[InterventionRaised, ...]
    requests: tuple[TutorRequested, ...] = ()


@dataclass(frozen=True, slots=True)
class Cause:
    """The event behind an update: its identity, its times, its place."""

    event: Event
    root: str
    """The id that output ids are derived from."""
    ids: tuple[str, ...]
    """The client's event ids, which it matches `causedBy` against."""
    position: Position


def decision_id(cause: Cause) -> bytes:
    """The 16 bytes that name the decision on recommendations that a cause leads to."""
    return UUID(derived_id("decision", cause.root, cause.event.user_id)).bytes


def outputs_of(
    record: LearnerRecord,
    summary: Summary,
    decision: Decision,
    raised: tuple[PastIntervention, ...],
    cause: Cause,
    *,
    settings: LearnerSettings,
) -> Outputs:
    """The messages that tell a record's state, with ids that follow from the cause."""
    event, position, user = cause.event, cause.position, cause.event.user_id
    state = UserState(
        event_id=derived_id("state", cause.root, user),
        user_id=user,
        event_time=event.event_time,
        ingest_time=event.ingest_time,
        caused_by=cause.ids,
        source_topic=position.topic,
        source_partition=position.partition,
        source_offset=position.offset,
        version=record.version,
        updated_at=record.ingested,
        valence=_estimate(summary.valence),
        arousal=_estimate(summary.arousal),
        dominance=_estimate(summary.dominance),
        emotions=_emotions(summary.emotions, settings.least_emotion),
        trajectory=_trajectory(summary.trajectory),
        activity=_activity(summary.activity),
        model_status="unavailable" if record.model_unavailable else "ok",
        readiness=_readiness(summary.nets.readiness),
        intervention=_need(summary, decision),
        long_term=_long_term(summary.long_term, settings.least_emotion),
        behaviour=_behaviour(summary),
    )
    policy = settings.recommending_policy
    suggested = RecommendationsMade(
        event_id=derived_id("recommendations", cause.root, user),
        user_id=user,
        event_time=event.event_time,
        ingest_time=event.ingest_time,
        caused_by=cause.ids,
        source_topic=position.topic,
        source_partition=position.partition,
        source_offset=position.offset,
        version=record.version,
        recommendations=recommendations(record.advice, decision.eligible, user, policy),
        decision=decision_made(record.advice, decision_id(cause), user, policy),
        follow_ups=follow_ups(record.advice, user, policy),
    )
    interventions = tuple(
        InterventionRaised(
            event_id=past.event_id,
            user_id=user,
            event_time=event.event_time,
            ingest_time=event.ingest_time,
            caused_by=cause.ids,
            source_topic=position.topic,
            source_partition=position.partition,
            source_offset=position.offset,
            version=past.version,
            level=past.level,
            confidence=rounded(past.confidence),
            because=past.because,
            raised_at=past.raised_at,
        )
        for past in raised
    )
    requests = requests_of(state, interventions, cause, settings.tutor)
    return Outputs(state, suggested, interventions, requests)


def requests_of(
    state: UserState,
    interventions: tuple[InterventionRaised, ...],
    cause: Cause,
    settings: TutorRequestSettings,
) -> tuple[TutorRequested, ...]:
    """Who asks the tutor for words after this update: the message, or else an intervention.

    One reply for one cause: who asked is answered, with the intervention as a part of the state.
    """
    event, user = cause.event, cause.event.user_id

    def request(kind: RequestKind, root: str, **more: Any) -> TutorRequested:
        return TutorRequested(
            event_id=derived_id("tutor-request", root, user),
            reply_id=reply_id(root, user),
            user_id=user,
            event_time=event.event_time,
            ingest_time=event.ingest_time,
            caused_by=cause.ids,
            source_topic=cause.position.topic,
            source_partition=cause.position.partition,
            source_offset=cause.position.offset,
            kind=kind,
            state=state,
            **more,
        )

    felt: dict[str, Any] = {}
    if isinstance(event, EmotionRead):
        felt = {"reading": event.probabilities}
        asked = settings.reply_to_all if event.wants_reply is None else event.wants_reply
        if asked:
            return (request(RequestKind.CHAT, cause.root, **felt),)
    return tuple(
        request(
            RequestKind.INTERVENTION, one.event_id, level=one.level, because=one.because, **felt
        )
        for one in interventions
        if one.level in settings.words_at
    )


# -- figures, with the digits that mean something -----------------------------------------


def _estimate(exact: Estimate) -> Estimate:
    return Estimate(
        value=rounded(exact.value), confidence=rounded(exact.confidence), source=exact.source
    )


def _emotions(exact: Mapping[Emotion, float], least: float) -> dict[Emotion, float]:
    # By the rounded share: sums in float32 put 0.005 a little below it.
    return rounded_shares({e: share for e, share in exact.items() if rounded(share) >= least})


def _trajectory(exact: TrajectoryCall) -> TrajectoryCall:
    return TrajectoryCall(
        call=exact.call,
        slope=_if_known(exact.slope),
        slope_error=_if_known(exact.slope_error),
        points=exact.points,
    )


def _activity(exact: Activity) -> Activity:
    return Activity(
        interactions=exact.interactions,
        messages=exact.messages,
        response_time=_if_known(exact.response_time),
        dwell_time=_if_known(exact.dwell_time),
        tab_active=_if_known(exact.tab_active),
        correct=_if_known(exact.correct),
        hints=_if_known(exact.hints),
        attempts=_if_known(exact.attempts),
    )


def _if_known(exact: float | None) -> float | None:
    return None if exact is None else rounded(exact)


def _readiness(exact: Readiness | None) -> Readiness | None:
    if exact is None:
        return None
    return Readiness(
        score=rounded(exact.score),
        state=exact.state,
        confidence=rounded(exact.confidence),
        source=exact.source,
        weights=rounded_shares(exact.weights),
    )


def _need(summary: Summary, decision: Decision) -> InterventionNeed | None:
    need = summary.nets.need
    if need is None:
        return None
    return InterventionNeed(
        level=decision.needed,
        at_least={level: rounded(share) for level, share in need.at_least.items()},
        inputs=need.sides,
    )


def _long_term(exact: LongTerm, least: float) -> LongTerm:
    return LongTerm(
        valence=_estimate(exact.valence),
        arousal=_estimate(exact.arousal),
        dominance=_estimate(exact.dominance),
        emotions=_emotions(exact.emotions, least),
    )


def _behaviour(summary: Summary) -> Behaviour:
    exact = summary.behaviour
    shares = rounded_shares({name: one.share for name, one in exact.tendencies.items()})
    return Behaviour(
        help_need=_estimate(exact.help_need),
        next_correct=_estimate(exact.next_correct),
        focus=_estimate(exact.focus),
        cognitive_load=_estimate(exact.cognitive_load),
        engagement=_estimate(exact.engagement),
        fatigue=_estimate(exact.fatigue),
        tendencies={
            name: Tendency(share=shares[name], count=one.count)
            for name, one in exact.tendencies.items()
        },
    )
