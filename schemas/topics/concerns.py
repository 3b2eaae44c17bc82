"""Topic `concerns`: a message, or several together, that a person should see. No text."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.base import Derived, Number, Unit
from schemas.times import ClockOffset
from schemas.vocabulary import Concern


class Evidence(StrEnum):
    """What a concern follows from."""

    MESSAGE = "message"
    """This message alone."""
    MESSAGES = "messages"
    """Hints in this message and in those before it, which are too weak each."""


class ConcernRead(Derived):
    """The emotion model reads danger in a message at or above an operating point, or hints add up.

    `event_id` is that of the chat message. With `from` "messages" that is the last one: probability
    and kinds are its own, and lie below the operating point.
    """

    clock_offset: ClockOffset
    model_version: str = Field(description="names the emotion model")
    probability: Unit = Field(
        description="calibrated probability that a person should see this message"
    )
    kinds: dict[Concern, Unit] = Field(
        default_factory=dict,
        description="each kind that the model knows, scaled as `probability` is: an order, not a "
        "frequency",
    )
    from_: Evidence = Field(
        alias="from", description="message: this one alone; messages: hints in several add up"
    )
    weight: Number | None = Field(
        default=None,
        ge=0,
        description="with messages: decayed sum of -log(1 - probability) over their hints",
    )
