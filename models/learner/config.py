"""Settings of the learner's state: decays, bounds, and the policy that acts on it.

These are the numbers that decide about a person until trained artefacts do; an
operator can change every one of them. docs/state.md says what each one means.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from models.learner.behaviour.serving.config import BehaviourSettings
from models.learner.parameters import (
    ConfidenceSettings,
    Days,
    EvidenceSettings,
    Group,
    Seconds,
    SeenSettings,
    TrajectorySettings,
)
from models.learner.recommending.serving.catalogue import Catalogue, load_catalogue
from models.learner.recommending.serving.settings import Recommending, RecommendingSettings
from models.learner.rules import PolicyError, Rules, load_rules
from models.words.words import Words, load
from schemas.vocabulary import Level

if TYPE_CHECKING:
    from models.learner.nets.serving.reading import Nets


class GapSettings(Group):
    """Seconds that must pass after an intervention of a level (or a higher one)."""

    preventive: Seconds = Field(900.0)
    mild: Seconds = Field(600.0)
    moderate: Seconds = Field(300.0)
    significant: Seconds = Field(180.0)
    critical: Seconds = Field(60.0)

    def of(self, level: Level) -> float:
        """Seconds for one level (not for `none`)."""
        return float(getattr(self, level.value))


class PolicySettings(Group):
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
        3, ge=1, description="interventions kept so that a redelivery sends the same again"
    )


class NetSettings(Group):
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
        le=1e6,
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


class TutorRequestSettings(Group):
    """When the tutor is asked for words."""

    reply_to_all: bool = Field(
        False, description="reply to chat messages that do not say whether they want one"
    )
    words_at: tuple[Level, ...] = Field(
        (Level.MODERATE, Level.SIGNIFICANT),
        description="levels of interventions that the tutor puts into words",
    )


class LearnerSettings(Group):
    """How evidence adds up, and what is done about it."""

    evidence: EvidenceSettings = EvidenceSettings()
    confidence: ConfidenceSettings = ConfidenceSettings()
    trajectory: TrajectorySettings = TrajectorySettings()
    seen: SeenSettings = SeenSettings()
    policy: PolicySettings = PolicySettings()
    behaviour: BehaviourSettings = BehaviourSettings()
    nets: NetSettings = NetSettings()
    recommending: RecommendingSettings = RecommendingSettings()
    tutor: TutorRequestSettings = TutorRequestSettings()
    least_emotion: float = Field(
        0.005,
        ge=0,
        le=0.1,
        description="emotions with a smaller share are left out of the state that is sent; "
        "0 sends all that the model knows",
    )
    marker_days: Days = Field(
        30.0, gt=0, description="days that an erased learner's marker is kept"
    )
    inactive_days: Days = Field(
        180.0,
        gt=0,
        description="days without an event after which a learner's state is deleted; whoever "
        "comes back later starts from priors",
    )

    # Not a field: a deployment has one language, for the learner's state and for the tutor.
    _words: Words = PrivateAttr(default_factory=load)

    @property
    def words(self) -> Words:
        """In which recommendations and interventions give their reasons."""
        return self._words

    def speaking(self, words: Words) -> Self:
        """The same settings with other words."""
        copy = self.model_copy()
        copy._words = words
        return copy

    @model_validator(mode="after")
    def _rules_can_be_used(self) -> LearnerSettings:
        names = {rule.name for rule in self.rules.interventions}
        for action in self.catalogue.actions:
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
        from models.learner.nets.serving.reading import load_nets  # noqa: PLC0415

        return load_nets(self.nets.readiness, self.nets.intervention)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What may be recommended, read when these settings were made."""
        return load_catalogue(self.recommending.file)

    @cached_property
    def recommending_policy(self) -> Recommending:
        """The catalogue with what was learned, read when it is first used.

        Not with the settings: the command that trains anew has them too.
        Raises PolicyError that names what is missing or does not fit.
        """
        places = self.policy.max_recommendations
        return Recommending.load(self.recommending, places, self.catalogue)

    def load(self) -> None:
        """Read what was trained now, not at the first update.

        Raises NetProblem, BehaviourArtefactProblem or PolicyError that names what is missing
        or broken.
        """
        _ = self.trained_nets, self.behaviour.behaviour, self.recommending_policy
