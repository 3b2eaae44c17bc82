"""The policy's rules as data: what they may ask of a state, read and checked when settings load.

Errors:
    PolicyError                a policy file that cannot be used; names file, rule and field
      UnknownPolicyFormat      another version of this code reads it
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.artefacts import UnknownArtefactFormat
from schemas.base import Unit
from schemas.topics.emotions import Emotion
from schemas.topics.state import Trajectory
from schemas.vocabulary import Level

AFFECT_FACTS: Final = ("valence", "arousal", "dominance")
ACTIVITY_FACTS: Final = (
    "activity.response_time",
    "activity.dwell_time",
    "activity.tab_active",
    "activity.correct",
    "activity.hints",
    "activity.attempts",
)
BEHAVIOUR_FACTS: Final = (
    "help_need",
    "next_correct",
    "focus",
    "cognitive_load",
    "engagement",
    "fatigue",
)
"""Estimates of models/learner/behaviour/serving/estimating.py."""
EMOTION_FACTS: Final = tuple(f"emotions.{emotion.value}" for emotion in Emotion)
SLOPE_FACT: Final = "trajectory.slope"
TRAJECTORY_FACT: Final = "trajectory"
"""The one fact that is a class, not a number."""

FACTS: Final = frozenset(
    (
        *AFFECT_FACTS,
        *BEHAVIOUR_FACTS,
        *ACTIVITY_FACTS,
        *EMOTION_FACTS,
        SLOPE_FACT,
        TRAJECTORY_FACT,
    )
)
"""Every fact of a state that a rule may name."""


Document = TypeVar("Document", bound=BaseModel)


class PolicyError(ValueError):
    """A policy file that cannot be used."""


class UnknownPolicyFormat(PolicyError):
    """A policy file or catalogue of a format that another version reads."""


POLICY_FORMAT: Final = 1
"""Of policy files and catalogues; one that says nothing is of it."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Strict):
    """One fact, and where it must stand. A fact that is not known never holds."""

    fact: str
    below: float | None = Field(default=None, allow_inf_nan=False)
    above: float | None = Field(default=None, allow_inf_nan=False)
    is_any: tuple[Trajectory, ...] = Field(default=(), description="of `trajectory` only")
    min_confidence: Unit = 0.0

    @field_validator("fact")
    @classmethod
    def _known(cls, fact: str) -> str:
        if fact not in FACTS:
            shown = ", ".join(sorted(FACTS - set(EMOTION_FACTS)))
            raise ValueError(f"unknown fact '{fact}'; known: {shown}, emotions.<class>")
        return fact

    @model_validator(mode="after")
    def _one_comparison(self) -> Condition:
        given = (self.below is not None) + (self.above is not None) + bool(self.is_any)
        if given != 1:
            raise ValueError("needs exactly one of below, above, is_any")
        if bool(self.is_any) != (self.fact == TRAJECTORY_FACT):
            raise ValueError(f"is_any goes with the fact '{TRAJECTORY_FACT}' and only with it")
        return self


class _Rule(_Strict):
    name: str = Field(min_length=1, max_length=48, pattern=r"^[a-z0-9_-]+$")
    when: tuple[Condition, ...] = Field(min_length=1, description="all must hold")
    reason: str = Field(min_length=1, description="why this default; for operators")


class InterventionRule(_Rule):
    """When to step in, and how strongly."""

    level: Level

    @field_validator("level")
    @classmethod
    def _not_none(cls, level: Level) -> Level:
        if level is Level.NONE:
            raise ValueError("a rule that raises nothing; leave it out")
        return level


class Rules(_Strict):
    """Everything a policy file says. What to suggest is in the catalogue (recommending/)."""

    interventions: tuple[InterventionRule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _has_no_recommendations(cls, document: Any) -> Any:
        if isinstance(document, dict) and "recommendations" in document:
            raise ValueError("recommendations stand in a catalogue now (learner.recommending.file)")
        return document

    @model_validator(mode="after")
    def _names_are_unique(self) -> Rules:
        names: set[str] = set()
        for rule in self.interventions:
            if rule.name in names:
                raise ValueError(f"two rules are named '{rule.name}'")
            names.add(rule.name)
        return self


def load_rules(path: Path) -> Rules:
    """Read and check a policy file (TOML).

    Raises:
        PolicyError: it is missing, is not TOML, or a rule is wrong; names the rule and field.
    """
    return read_policy_file(path, Rules, "policy")


def read_policy_file(path: Path, document_type: type[Document], what: str) -> Document:
    """Read a TOML file of the policy into its model; errors begin with `what` and the path.

    Raises:
        PolicyError: it is missing, is not TOML, or an entry is wrong; names entry and field.
        UnknownPolicyFormat: its `format` is another than this version's.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{what} {path}: not TOML: {error}") from error
    if (found := document.pop("format", POLICY_FORMAT)) != POLICY_FORMAT:
        problem = UnknownArtefactFormat(path, found, POLICY_FORMAT)
        raise UnknownPolicyFormat(f"{what} {problem}")
    try:
        return document_type.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = _place(document, first["loc"])
        raise PolicyError(f"{what} {path}: {where}: {first['msg']}") from error


def _place(document: dict[str, Any], location: tuple[int | str, ...]) -> str:
    """Where in the file: `interventions[2] 'steep-fall': when.0.fact`."""
    if len(location) < 2 or not isinstance(location[1], int):
        return ".".join(str(part) for part in location) or "whole file"
    section, index = str(location[0]), location[1]
    rule = document[section][index]
    name = f" '{rule['name']}'" if isinstance(rule, dict) and "name" in rule else ""
    field = ".".join(str(part) for part in location[2:]) or "rule"
    return f"{section}[{index}]{name}: {field}"
