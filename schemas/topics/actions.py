"""Topics `recommendations`, `interventions`, `feedback`: what we suggest, what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.base import Count, Derived, Event, Json, Message, OpaqueId, Unit
from schemas.times import Millis
from schemas.vocabulary import Level


class Recommendation(Message):
    """One adaptive-UI suggestion."""

    id: OpaqueId
    action: str = Field(min_length=1, max_length=64)
    parameters: Json = Field(default_factory=dict)
    confidence: Unit
    because: tuple[str, ...] = Field(description="the facts of the state that led to it")
    variant: str | None = Field(
        default=None, description="the catalogue's entry: the action with these parameters"
    )
    propensity: Unit | None = Field(
        default=None, description="exact probability with which it was to be among those shown"
    )
    policy_version: str | None = Field(
        default=None, description="names the catalogue, what was learned, and the settings"
    )


class Candidate(Message):
    """An action that might have been recommended."""

    variant: str = Field(description="the catalogue's entry")
    action: str
    propensity: Unit = Field(description="exact probability of being among those shown")
    expected: Unit = Field(description="reward expected for this learner")


class ShownVariant(Message):
    """One of the places that a decision filled."""

    id: OpaqueId = Field(description="of the recommendation: what an answer is about")
    variant: str = Field(description="the catalogue's entry")


class DecisionMade(Message):
    """What was chosen from, by which policy, in which context: for comparing policies offline."""

    id: str
    decided_at: Millis
    policy_version: str
    context: dict[str, Unit] = Field(
        default_factory=dict,
        description="facts that were known, scaled to 0..1 by the catalogue's ranges",
    )
    candidates: tuple[Candidate, ...]
    shown: tuple[ShownVariant, ...] | None = Field(
        default=None,
        description="all that was chosen, also what has been refused or has lapsed since, where "
        "a decision is told again; absent in records of earlier versions",
    )


class FollowUp(Message):
    """How a goal moved from the decision to some minutes after the page applied it."""

    id: OpaqueId = Field(description="of the recommendation")
    reward: Unit = Field(description="0 away from the goal, 0.5 as before, 1 towards it")


class RecommendationsMade(Derived):
    """The suggestions that hold after one state update; possibly none.

    A decision stands over several updates: its recommendations keep their ids.
    """

    version: Count = Field(description="of the state they were made from")
    recommendations: tuple[Recommendation, ...] = ()
    decision: DecisionMade | None = Field(
        default=None, description="where this update decided; absent while a decision stands"
    )
    follow_ups: tuple[FollowUp, ...] = Field(
        default=(), description="all that are remembered; each is told several times"
    )


class InterventionRaised(Derived):
    """A reason to step in."""

    version: Count = Field(
        description="of the state it was raised from; 0: from what was said, by the tutor"
    )
    level: Level
    confidence: Unit
    because: tuple[str, ...]
    raised_at: Millis


class TargetType(StrEnum):
    """What feedback is about."""

    RECOMMENDATION = "recommendation"
    INTERVENTION = "intervention"
    REPLY = "reply"


class FeedbackReceived(Event):
    """What a learner or a page says came of a suggestion."""

    target_type: TargetType
    target_id: OpaqueId
    outcome: str = Field(
        min_length=1,
        max_length=64,
        description="of a recommendation: helpful, not_helpful, applied, dismissed, reverted; "
        "others are counted and teach nothing",
    )
