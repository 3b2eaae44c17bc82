"""Settings of the recommendations, and what is read from the files that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from models.learner.parameters import Days, Group, Seconds, Share
from models.learner.recommending.serving.catalogue import Catalogue
from models.learner.recommending.serving.expectations import (
    Expectations,
    LearnedPolicy,
    load_learned,
)


class RecommendingSettings(Group):
    """Which actions there are, and how the policy learns which of them help."""

    file: Path = Field(
        Path(__file__).parents[1] / "catalogue.toml",
        description="the catalogue of actions (TOML), read at start",
    )
    learned: Path | None = Field(
        None,
        description="what `masterx train policy` made of this deployment's answers, read at "
        "start; empty: the catalogue's priors hold",
    )
    keep: Seconds = Field(
        300.0, description="seconds that a decision stands while its grounds hold"
    )
    rest: Seconds = Field(900.0, description="seconds that a refused action is not shown again")
    explore: Share = Field(
        0.03, description="probability that the last place tries another candidate; 0 never does"
    )
    least: float = Field(
        0.05,
        gt=0,
        le=1,
        description="smallest weight of an explored candidate, the largest being 1",
    )
    noise: float = Field(
        0.5, ge=1e-3, le=1, description="standard deviation of one reward around its expectation"
    )
    person_strength: float = Field(
        40.0,
        ge=1e-3,
        le=1e9,
        description="answers' worth of trust that a learner is as the others are; "
        "smaller where learners differ more",
    )
    half_life_days: Days = Field(
        30.0, gt=0, description="days until a learner's answer counts half"
    )
    follow_up_after: Seconds = Field(
        180.0,
        description="seconds after an action was applied from which its goal counts",
    )
    follow_up_until: Seconds = Field(
        900.0, gt=0, description="seconds after an action was applied up to which it does"
    )
    follow_up_scale: float = Field(
        0.3, gt=0, le=1, description="share of a fact's range that counts as fully better or worse"
    )
    follow_up_weight: float = Field(
        0.25, ge=0, le=10, description="of a goal's movement, an answer being 1; 0 learns nothing"
    )
    remembered: int = Field(
        3, ge=1, le=16, description="decisions that answers can still be matched with"
    )
    learned_actions: int = Field(
        10, ge=1, le=64, description="actions whose answers are kept of one learner"
    )
    min_learners: int = Field(
        5, ge=1, description="people who must have answered before an action's regression is kept"
    )

    @field_validator("learned", mode="before")
    @classmethod
    def _empty_is_none(cls, file: object) -> object:
        return None if file == "" else file

    @model_validator(mode="after")
    def _ordered(self) -> RecommendingSettings:
        if self.follow_up_after >= self.follow_up_until:
            raise ValueError("follow_up_after must be below follow_up_until")
        return self


@dataclass(frozen=True, slots=True)
class Recommending:
    """Everything that decides what is recommended."""

    settings: RecommendingSettings
    places: int
    """At most so many at a time."""
    catalogue: Catalogue
    expectations: Expectations = field(compare=False)
    version: bytes
    """Four bytes that name catalogue, artefact and settings."""

    @classmethod
    def load(
        cls, settings: RecommendingSettings, places: int, catalogue: Catalogue
    ) -> Recommending:
        """Read what was learned on top of a catalogue.

        Raises:
            PolicyError: it cannot be used, or not with this catalogue.
        """
        learned = load_learned(settings.learned) if settings.learned is not None else None
        return cls.of(settings, places, catalogue, learned)

    @classmethod
    def of(
        cls,
        settings: RecommendingSettings,
        places: int,
        catalogue: Catalogue,
        learned: LearnedPolicy | None,
    ) -> Recommending:
        """From what was read."""
        rest = settings.model_dump_json(exclude={"file", "learned"}).encode()
        parts = (catalogue.digest, learned.digest if learned is not None else b"", rest)
        version = blake2b(b"\0".join((*parts, str(places).encode())), digest_size=4).digest()
        expectations = Expectations(catalogue, learned, settings.noise)
        return cls(settings, places, catalogue, expectations, version)
