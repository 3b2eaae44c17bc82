"""Settings of the learner's state: decays, bounds, and the policy that acts on it.

These are the numbers that decide about a person until trained artefacts do; an
operator can change every one of them. docs/state.md says what each one means.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.learner.behaviour.config import BehaviourSettings
from models.learner.recommending.settings import Recommending, RecommendingSettings
from models.learner.rules import PolicyError, Rules, load_rules
from schemas.actions import Level
from schemas.interactions import MAX_INTERACTIONS

if TYPE_CHECKING:
    from models.learner.nets.serving import Nets

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""In [0, 1]. Not the wire's strict type: the environment gives text."""


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvidenceSettings(_Group):
    """How evidence adds up and fades."""

    session_half_life: float = Field(
        600.0, gt=0, description="seconds until evidence counts half, for the state of now"
    )
    long_half_life: float = Field(
        1_209_600.0, gt=0, description="seconds until evidence counts half, over weeks"
    )
    lateness: float = Field(
        300.0, ge=0, description="seconds behind the newest event from which one is reported late"
    )
    skew: float = Field(
        30.0, ge=0, description="seconds an event may lie after its receipt; beyond, it is clamped"
    )


class ConfidenceSettings(_Group):
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


class TrajectorySettings(_Group):
    """When the trend of valence is called, and what."""

    half_life: float = Field(900.0, gt=0, description="seconds until a point counts half")
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


class GapSettings(_Group):
    """Seconds that must pass after an intervention of a level (or a higher one)."""

    preventive: float = Field(900.0, ge=0)
    mild: float = Field(600.0, ge=0)
    moderate: float = Field(300.0, ge=0)
    significant: float = Field(180.0, ge=0)
    critical: float = Field(60.0, ge=0)

    def of(self, level: Level) -> float:
        """Seconds for one level (not for `none`)."""
        return float(getattr(self, level.value))


class PolicySettings(_Group):
    """What is done about a state."""

    file: Path = Field(
        Path(__file__).parent / "policy.toml", description="the rules (TOML), read at start"
    )
    hysteresis: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of its threshold that a fact must retreat before a held rule lets go",
    )
    max_recommendations: int = Field(3, ge=0, description="suggestions at a time")
    gaps: GapSettings = GapSettings()
    remembered: int = Field(
        4, ge=1, description="interventions kept so that a redelivery sends the same again"
    )


class NetSettings(_Group):
    """The trained nets: readiness to learn, and how strongly to step in."""

    readiness: Path | None = Field(
        Path(__file__).parent / "artefacts" / "readiness",
        description="folder of its artefact; empty: no readiness in the state",
    )
    intervention: Path | None = Field(
        Path(__file__).parent / "artefacts" / "intervention",
        description="folder of its artefact; empty: rules alone raise interventions",
    )
    missed_to_needless: float = Field(
        1.5,
        gt=0,
        description="what a level too low costs against a level too high: a level is needed "
        "once its probability is 1 / (1 + this)",
    )

    @field_validator("readiness", "intervention", mode="before")
    @classmethod
    def _empty_is_none(cls, folder: object) -> object:
        return None if folder == "" else folder

    @property
    def share(self) -> float:
        """Probability from which a level is needed."""
        return 1 / (1 + self.missed_to_needless)


class SeenSettings(_Group):
    """The memory by which a client's own retry is recognised."""

    window: float = Field(600.0, gt=0, description="seconds of ingest time an event id is kept")
    max_ids: int = Field(
        512,
        ge=MAX_INTERACTIONS,
        le=65_535,
        description="event ids kept; oldest go first (at least one largest batch)",
    )


class LearnerSettings(_Group):
    """How evidence adds up, and what is done about it."""

    evidence: EvidenceSettings = EvidenceSettings()
    confidence: ConfidenceSettings = ConfidenceSettings()
    trajectory: TrajectorySettings = TrajectorySettings()
    seen: SeenSettings = SeenSettings()
    policy: PolicySettings = PolicySettings()
    behaviour: BehaviourSettings = BehaviourSettings()
    nets: NetSettings = NetSettings()
    recommending: RecommendingSettings = RecommendingSettings()
    marker_days: float = Field(
        30.0, gt=0, description="days that an erased learner's marker is kept"
    )

    @model_validator(mode="after")
    def _rules_can_be_used(self) -> LearnerSettings:
        names = {rule.name for rule in self.rules.interventions}
        for action in self.recommending_policy.catalogue.actions:
            if action.name in names:
                raise PolicyError(
                    f"a rule and an action of the catalogue are named '{action.name}'"
                )
        return self

    @cached_property
    def rules(self) -> Rules:
        """The policy file's rules, read when these settings were made."""
        return load_rules(self.policy.file)

    @cached_property
    def trained_nets(self) -> Nets:
        """The nets, read when they are first used and once a process.

        Raises NetProblem that names what is missing or broken.
        """
        # Here, because only the worker that uses the nets should load numpy and them.
        from models.learner.nets.serving import load_nets  # noqa: PLC0415

        return load_nets(self.nets.readiness, self.nets.intervention)

    @cached_property
    def recommending_policy(self) -> Recommending:
        """The catalogue and what was learned, read when these settings were made."""
        return Recommending.load(self.recommending, self.policy.max_recommendations)

    def load(self) -> None:
        """Read what was trained now, not at the first update.

        Raises NetProblem or BehaviourArtefactProblem that names what is missing or broken.
        """
        _ = self.trained_nets, self.behaviour.behaviour
