"""Topic `interactions`: batches of what a learner did on the page."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from schemas.base import Event, Flag, Message, OpaqueId, UserId, measured
from schemas.times import ClockOffset, In, Timestamp, integral

MAX_INTERACTIONS = 500
"""Interactions in one batch, at most (a protocol limit)."""

_DAY = 86_400.0
_FARTHEST = 1e9
_LONGEST = 1e11

Seconds = Annotated[
    Annotated[float, Field(ge=0.0, le=_DAY, strict=True)] | None, measured(0.0, _DAY), In("s")
]
"""A duration in seconds, at most a day; one below 0 or above a day is taken as absent."""

Tries = Annotated[int, Field(ge=0, le=10_000, strict=True), BeforeValidator(integral)]
"""How often something was done."""


class TimingData(Message):
    """How long it took, in seconds."""

    response_time: Seconds = None
    dwell_time: Seconds = None


class ViewportData(Message):
    """What the screen showed."""

    scroll_distance: Annotated[
        Annotated[float, Field(ge=0.0, le=_FARTHEST, strict=True)] | None,
        measured(0.0, _FARTHEST),
        In("px"),
    ] = Field(default=None, description="pixels")
    device_type: str | None = Field(default=None, max_length=32)


class ContextData(Message):
    """Around the interaction."""

    tab_active: Flag | None = None
    session_duration: Annotated[
        Annotated[float, Field(ge=0.0, le=_LONGEST, strict=True)] | None,
        measured(0.0, _LONGEST),
        In("ms"),
    ] = Field(default=None, description="milliseconds since the session began")


class TaskData(Message):
    """An exercise that is finished, when the page knows it: once for each."""

    problem_id: str | None = Field(default=None, max_length=128)
    skill: str | None = Field(default=None, max_length=128)
    correct: Flag | None = Field(default=None, description="whether the first try was right")
    attempt_count: Tries | None = Field(default=None, description="all tries that it took")
    hint_count: Tries | None = Field(default=None, description="hints that were used")
    hint_total: Tries | None = Field(default=None, description="hints on offer")


class Interaction(Message):
    """One thing that a learner did."""

    event_id: OpaqueId | None = None
    timestamp: Timestamp
    user_id: UserId | None = None
    interaction_type: str = Field(min_length=1, max_length=64)
    element_id: str | None = Field(default=None, max_length=256)
    timing_data: TimingData | None = None
    viewport_data: ViewportData | None = None
    context_data: ContextData | None = None
    task_data: TaskData | None = None


class InteractionsReceived(Event):
    """Interactions that were accepted together. `event_id` is derived from their ids.

    So two records with one id hold the same interactions, whatever the batches were that
    brought them. Every interaction carries its own `event_id` here: the client's, or one
    that is derived from the batch's id and the position in it.
    """

    clock_offset: ClockOffset
    interactions: tuple[Interaction, ...] = Field(min_length=1, max_length=MAX_INTERACTIONS)
