"""Topics `recommendations`, `interventions`, `feedback`: what we suggest, what came of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.base import Count, Derived, Event, Json, Message, Millis, OpaqueId, Unit


class Level(StrEnum):
    """How strongly to step in; ordered from nothing to at once."""

    NONE = "none"
    PREVENTIVE = "preventive"
    MILD = "mild"
    MODERATE = "moderate"
    SIGNIFICANT = "significant"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (none) to 5 (critical)."""
        return list(Level).index(self)


class Recommendation(Message):
    """One adaptive-UI suggestion."""

    id: OpaqueId
    action: str = Field(min_length=1, max_length=64)
    parameters: Json = Field(default_factory=dict)
    confidence: Unit
    because: tuple[str, ...] = Field(description="the facts of the state that led to it")


class RecommendationsMade(Derived):
    """The suggestions that hold after one state update; possibly none."""

    version: Count = Field(description="of the state they were made from")
    recommendations: tuple[Recommendation, ...] = ()


class InterventionRaised(Derived):
    """A reason to step in."""

    version: Count = Field(description="of the state it was raised from")
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
    outcome: str = Field(min_length=1, max_length=64)
