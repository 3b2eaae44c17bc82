"""What an update sends: state, recommendations, interventions, requests, with ids that repeat.

Ids are derived from the causing event, so that however often an output is computed,
every reader can tell that it is the same. Figures are rounded here, and only here: rules,
nets and the record have the exact ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.ids import derived_id, reply_id
from models.learner.behaviour.serving.estimating import BehaviourEstimates, Figure
from models.learner.config import LearnerSettings, TutorRequestSettings
from models.learner.policy import Decision
from models.learner.recommending.serving.advising import decision_made, follow_ups, recommendations
from models.learner.record import LearnerRecord, PastIntervention
from models.learner.rules import BEHAVIOUR_FACTS
from models.learner.state import Summary
from schemas.base import Event
from schemas.figures import rounded, rounded_shares
from schemas.topics.actions import InterventionRaised, RecommendationsMade
from schemas.topics.emotions import EmotionRead
from schemas.topics.state import Readiness, UserState
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
    name = derived_id("decision", cause.root, cause.event.user_id)
    return bytes.fromhex(name.replace("-", ""))


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
    common: dict[str, Any] = {
        "user_id": user,
        "event_time": event.event_time,
        "ingest_time": event.ingest_time,
        "caused_by": cause.ids,
        "source_topic": position.topic,
        "source_partition": position.partition,
        "source_offset": position.offset,
    }
    # Validated as a whole: part by part costs three times as much.
    state = UserState.model_validate(
        {
            **common,
            "event_id": derived_id("state", cause.root, user),
            "version": record.version,
            "updated_at": record.ingested,
            "model_status": "unavailable" if record.model_unavailable else "ok",
            "model_reason": record.unread,
            **_figures(record, summary, decision, settings.least_emotion),
        }
    )
    policy = settings.recommending_policy
    suggested = RecommendationsMade(
        **common,
        event_id=derived_id("recommendations", cause.root, user),
        version=record.version,
        recommendations=recommendations(
            record.advice, decision.eligible, user, policy, settings.words
        ),
        decision=decision_made(record.advice, decision_id(cause), user, policy),
        follow_ups=follow_ups(record.advice, user, policy),
    )
    interventions = tuple(
        InterventionRaised(
            **common,
            event_id=past.event_id,
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


def _figures(
    record: LearnerRecord, summary: Summary, decision: Decision, least: float
) -> dict[str, Any]:
    """The fields of a UserState that say how the learner is. `least`: of an emotion's share."""
    trend, long, need = summary.trajectory, summary.long_term, summary.nets.need
    return {
        "valence": _estimate(summary.valence),
        "arousal": _estimate(summary.arousal),
        "dominance": _estimate(summary.dominance),
        "emotions": rounded_shares(summary.emotions, least),
        "trajectory": {
            "call": trend.call,
            "slope": None if trend.slope is None else rounded(trend.slope),
            "slope_error": None if trend.slope_error is None else rounded(trend.slope_error),
            "points": trend.points,
        },
        "activity": {
            "interactions": record.evidence.interactions,
            "messages": record.evidence.messages,
            **{name: rounded(float(mean)) for name, (mean, _) in summary.activity.items()},
        },
        "readiness": _readiness(summary.nets.readiness),
        "intervention": None
        if need is None
        else {
            "level": decision.needed,
            "at_least": {level: rounded(share) for level, share in need.at_least.items()},
            "inputs": need.sides,
        },
        "long_term": {
            "valence": _estimate(long.valence),
            "arousal": _estimate(long.arousal),
            "dominance": _estimate(long.dominance),
            "emotions": rounded_shares(long.emotions, least),
        },
        "behaviour": _behaviour(summary.behaviour),
    }


def _estimate(exact: Figure) -> dict[str, Any]:
    value, confidence, source = exact
    return {"value": rounded(value), "confidence": rounded(confidence), "source": source}


def _readiness(exact: Readiness | None) -> dict[str, Any] | None:
    if exact is None:
        return None
    return {
        "score": rounded(exact.score),
        "state": exact.state,
        "confidence": rounded(exact.confidence),
        "source": exact.source,
        "weights": rounded_shares(exact.weights),
    }


def _behaviour(exact: BehaviourEstimates) -> dict[str, Any]:
    shares = rounded_shares({name: one.share for name, one in exact.tendencies.items()})
    return {
        **{name: _estimate(getattr(exact, name)) for name in BEHAVIOUR_FACTS},
        "tendencies": {
            name: {"share": shares[name], "count": one.count}
            for name, one in exact.tendencies.items()
        },
    }
