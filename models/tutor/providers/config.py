"""Settings of the choice between providers: what counts, what is assumed, what is forgotten."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Likelihood = Annotated[float, Field(gt=0.0, lt=1.0)]
"""A mean that a Beta distribution can have: 0 and 1 would leave nothing to learn."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorthSettings(_Group):
    """How much each quality of an answer counts in the choice. Relative to their sum."""

    success: float = Field(4.0, ge=0, description="that there is an answer at all")
    speed: float = Field(2.0, ge=0, description="time to the first text")
    thrift: float = Field(1.0, ge=0, description="what it costs")
    helpful: float = Field(3.0, ge=0, description="the learner's feedback")

    def of(self, quality: str) -> float:
        """Of one quality, by its name."""
        return float(getattr(self, quality))

    @model_validator(mode="after")
    def _something_counts(self) -> WorthSettings:
        if self.success + self.speed + self.thrift + self.helpful <= 0:
            raise ValueError("choice.worth: at least one quality must count")
        return self


class PriorSettings(_Group):
    """What is assumed of a provider before anything is known. Means of qualities in (0, 1)."""

    success: Likelihood = Field(0.95, description="share of requests that it answers")
    helpful: Likelihood = Field(0.5, description="share of its answers that learners find helpful")
    first_text: float = Field(0.8, gt=0, description="median seconds to the first text")
    weight: float = Field(5.0, gt=0, description="outcomes that the assumption is worth")


class ChoiceSettings(_Group):
    """The bandit."""

    worth: WorthSettings = WorthSettings()
    half_life: float = Field(
        21_600.0, gt=0, description="seconds until an outcome counts half: providers change"
    )
    pooling: float = Field(
        10.0,
        gt=0,
        description="outcomes' worth of trust in all tasks and moods together, against those of "
        "this task and mood alone",
    )
    speed_scale: float = Field(
        2.0, gt=0, description="seconds to the first text at which speed scores 1/e"
    )
    cost_scale: float = Field(
        5_000.0, gt=0, description="millionths of a dollar an answer at which thrift scores 1/e"
    )
    spread: float = Field(
        0.6,
        gt=0,
        description="assumed standard deviation of the logarithm of seconds to first text",
    )
    typical_input: int = Field(1_500, ge=1, description="tokens assumed of a prompt, for thrift")
    typical_output: int = Field(300, ge=1, description="tokens assumed of an answer, for thrift")
