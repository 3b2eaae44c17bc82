"""Topic `user-state` (compacted): how a learner is doing, as far as the evidence goes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import Count, Derived, Message, Number, Unit
from schemas.times import In, Millis
from schemas.topics.emotions import Emotion, Unread
from schemas.vocabulary import Level


class Source(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    """A trained model read it in this learner's own data."""
    DERIVED = "derived"
    """A documented formula over measured figures; no labelled data exists for it."""
    PRIOR = "prior"
    """No evidence of this learner yet: the population's value."""


class Trajectory(StrEnum):
    """Where valence is heading."""

    IMPROVING = "improving"
    DECLINING = "declining"
    STABLE_POSITIVE = "stable_positive"
    STABLE_NEUTRAL = "stable_neutral"
    STABLE_NEGATIVE = "stable_negative"


class Estimate(Message):
    """A figure with how far to trust it."""

    value: Unit = Field(description="the figure itself")
    confidence: Unit = Field(
        description="in the evidence as it was at `updatedAt`: low with little of it. A stored "
        "state does not fade by itself: hold `updatedAt` against your clock"
    )
    source: Source


class TrajectoryCall(Message):
    """The trend of valence; `call` is absent while there are too few points."""

    call: Trajectory | None = None
    slope: Annotated[Number | None, In("1/min")] = Field(
        default=None, description="change of valence per minute"
    )
    slope_error: Annotated[Number | None, In("1/min")] = Field(
        default=None, ge=0, description="its standard error"
    )
    points: Count


class ReadinessState(StrEnum):
    """Fifths of the readiness scores that the training run saw, ascending.

    Of a learner of whom nothing is known (source `prior`): the middle one.
    """

    VERY_LOW = "very_low"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    VERY_HIGH = "very_high"


class Readiness(Message):
    """Readiness to learn: the probability of getting the next exercise right.

    `weights` explains the score: the attention that each known input got, summing to 1;
    empty where nothing is known.
    """

    score: Unit
    state: ReadinessState
    confidence: Unit = Field(description="of the inputs, by their weights")
    source: Source
    weights: dict[str, Unit] = Field(default_factory=dict)


class InterventionNeed(Message):
    """How strongly somebody should step in, as the trained net sees it now.

    An intervention itself also waits for its level's gap; see topic `interventions`.
    """

    level: Level
    at_least: dict[Level, Unit] = Field(
        description="probability that the need is of this level or a higher one"
    )
    inputs: tuple[str, ...] = Field(description="which sides were known: text, behaviour")


class Activity(Message):
    """Time-decayed sums over interactions; `interactions` itself is a plain count."""

    interactions: Count
    messages: Count
    response_time: Annotated[Number | None, In("s")] = Field(
        default=None, ge=0, description="mean, seconds"
    )
    dwell_time: Annotated[Number | None, In("s")] = Field(
        default=None, ge=0, description="mean, seconds"
    )
    tab_active: Unit | None = Field(default=None, description="share of interactions")
    correct: Unit | None = Field(default=None, description="share of answers")
    hints: Number | None = Field(default=None, ge=0, description="mean where sent")
    attempts: Number | None = Field(default=None, ge=0, description="mean where sent")


class Tendency(Message):
    """How much of what a learner used was of one kind: a share of use, not a type of person."""

    share: Unit = Field(description="time-decayed over weeks; all kinds sum to 1")
    count: Count = Field(description="interactions with it, ever")


class Behaviour(Message):
    """What a learner's interactions say (docs/state.md); `source` tells how far each is learned."""

    help_need: Estimate = Field(description="probability of asking for a hint on the next exercise")
    next_correct: Estimate = Field(description="probability that the next answer is right")
    focus: Estimate = Field(description="1 - probability of being off task")
    cognitive_load: Estimate = Field(
        description="probability that the load is above the learner's own mean"
    )
    engagement: Estimate = Field(description="derived from taking part and from the text")
    fatigue: Estimate = Field(description="derived from time on task and slowing down")
    tendencies: dict[str, Tendency] = Field(
        default_factory=dict, description="kinds of content by use, as the settings name them"
    )


class LongTerm(Message):
    """What messages said over weeks, by the longer of two half-lives (docs/state.md)."""

    valence: Estimate
    arousal: Estimate
    dominance: Estimate
    emotions: dict[Emotion, Unit] = Field(
        default_factory=dict, description="mean share of each class, summing to at most 1"
    )


class UserState(Derived):
    """The state of one learner after one update.

    `version` grows by one with each applied record of this learner; a reader
    keeps the highest. `emotions` is the time-decayed mix of readings, summing to
    at most 1. A class that it does not name has a share below `learner.least_emotion`, or
    the model does not know it: the profile's `details.classes` tells. Figures have 4 decimals.
    """

    version: Count = Field(description="grows by one with each applied record of this learner")
    updated_at: Millis = Field(
        description="newest receipt among its events; UTC, milliseconds since the epoch"
    )
    valence: Estimate
    arousal: Estimate
    dominance: Estimate
    emotions: dict[Emotion, Unit] = Field(
        default_factory=dict, description="time-decayed share of this class in the readings"
    )
    trajectory: TrajectoryCall
    activity: Activity
    model_status: str = Field(
        default="ok",
        description="ok, or unavailable: the last message was not read and is not in the state; "
        "simulated: the SDK's testing gateway made the state up, of nobody",
    )
    model_reason: Unread | None = Field(
        default=None,
        description="why the last message was not read; absent where it was, or the model was down",
    )
    readiness: Readiness | None = Field(default=None, description="absent without its net")
    intervention: InterventionNeed | None = Field(
        default=None, description="absent without its net, or where none of its inputs is known"
    )
    long_term: LongTerm | None = Field(
        default=None,
        description="absent in `user_state_update`: `hello`, `resumed` and the profile have it",
    )
    behaviour: Behaviour | None = Field(
        default=None, description="absent in states from before it was estimated"
    )
