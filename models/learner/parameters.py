"""What the arithmetic of the state takes from settings: decays, bounds and priors.

Apart from `config`, which also reads what was trained, so that neither needs the other.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.topics.interactions import MAX_INTERACTIONS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""In [0, 1]. Not the wire's strict type: the environment gives text."""
Seconds = Annotated[float, Field(ge=0.0, le=3.2e9)]
"""Up to a century, so that moments computed from it fit the eight bytes of a record."""
Days = Annotated[float, Field(ge=0.0, le=36_525.0)]
"""Likewise."""


class Group(BaseModel):
    """A part of the settings: fixed once made, strict about names, every number finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class EvidenceSettings(Group):
    """How evidence adds up and fades."""

    session_half_life: Seconds = Field(
        600.0, gt=0, description="seconds until evidence counts half, for the state of now"
    )
    long_half_life: Seconds = Field(
        1_209_600.0, gt=0, description="seconds until evidence counts half, over weeks"
    )
    lateness: Seconds = Field(
        300.0, ge=0, description="seconds behind the newest event from which one is reported late"
    )
    skew: Seconds = Field(
        30.0, ge=0, description="seconds an event may lie after its receipt; beyond, it is clamped"
    )


class ConfidenceSettings(Group):
    """How far evidence is trusted: weight / (weight + half), weight decayed to the newest event."""

    messages_half: float = Field(
        1.0, gt=0, description="messages' worth of weight at which confidence is 0.5"
    )
    interactions_half: float = Field(
        5.0, gt=0, description="interactions' worth of weight at which confidence is 0.5"
    )
    min_evidence: float = Field(
        0.01, ge=1e-9, description="weight below which there is no evidence, only the prior"
    )
    prior_valence: Share = Field(0.5, description="of a learner we know nothing of")
    prior_arousal: Share = Field(0.5, description="of a learner we know nothing of")
    prior_dominance: Share = Field(0.5, description="of a learner we know nothing of")


class TrajectorySettings(Group):
    """When the trend of valence is called, and what."""

    half_life: Seconds = Field(900.0, gt=0, description="seconds until a point counts half")
    min_points: int = Field(
        4, ge=3, description="effective points (Kish) below which there is no call"
    )
    reading_noise: float = Field(
        0.05, gt=0, le=1, description="standard deviation of one valence reading, at least"
    )
    error_factor: float = Field(
        2.0, ge=0, description="standard errors that a slope must exceed to be a trend"
    )
    min_slope: float = Field(
        0.01, ge=0, description="change of valence per minute that a trend must exceed"
    )
    positive_from: Share = Field(0.6, description="mean valence from which stable is positive")
    negative_to: Share = Field(0.4, description="mean valence up to which stable is negative")

    @model_validator(mode="after")
    def _ordered(self) -> TrajectorySettings:
        if self.negative_to >= self.positive_from:
            raise ValueError("trajectory.negative_to must be below trajectory.positive_from")
        return self


class SeenSettings(Group):
    """The memory by which a client's own retry is recognised."""

    window: Seconds = Field(600.0, gt=0, description="seconds of ingest time an event id is kept")
    max_ids: int = Field(
        512,
        ge=MAX_INTERACTIONS + 1,
        le=65_535,
        description="event ids kept; oldest go first (at least one largest batch and its own)",
    )
