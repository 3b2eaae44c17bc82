"""The catalogue: which adaptive-UI actions there are, when each may be made, what it promises.

A TOML file (`catalogue.toml` beside this module; a deployment names its own in
`learner.recommending.file`), read and checked when settings load. Preconditions are
those of the policy's rules (models/learner/rules.py).

Errors:
    PolicyError    a catalogue that cannot be used; names the file, the action and the field
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.learner.rules import FACTS, TRAJECTORY_FACT, Condition, read_policy_file
from schemas.base import Json, Unit

MAX_OUTCOMES: Final = 8
"""A recommendation keeps one bit for each."""
MAX_CONTEXT: Final = 16
"""Facts that a decision keeps, two bytes for each."""
MAX_ACTIONS: Final = 64


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Prior(_Strict):
    """What is expected of an action before anybody answered."""

    mean: Unit = Field(description="share of rewarding answers expected")
    strength: float = Field(ge=1e-3, le=1e6, description="answers' worth of trust in it")


class Direction(StrEnum):
    """Where a fact is meant to move."""

    UP = "up"
    DOWN = "down"


class Goal(_Strict):
    """What an action is meant to change, from the decision to minutes after it was applied."""

    fact: str
    towards: Direction


class Action(_Strict):
    """One thing that a page can do, with its parameters: an arm of the bandit."""

    name: str = Field(min_length=1, max_length=48, pattern=r"^[a-z0-9_-]+$")
    action: str = Field(min_length=1, max_length=64, description="what the page is told to do")
    parameters: Json = Field(default_factory=dict)
    prior: Prior
    goal: Goal | None = None
    when: tuple[tuple[Condition, ...], ...] = Field(
        min_length=1, description="grounds; a ground holds when all of its conditions hold"
    )
    reason: str = Field(min_length=1, description="why, and why this prior; for operators")

    @field_validator("when")
    @classmethod
    def _grounds_say_something(
        cls, when: tuple[tuple[Condition, ...], ...]
    ) -> tuple[tuple[Condition, ...], ...]:
        if not all(when):
            raise ValueError("an empty ground would always hold")
        return when

    @cached_property
    def key(self) -> int:
        """The name in four bytes, as records keep it."""
        return int.from_bytes(blake2b(self.name.encode(), digest_size=4).digest(), "big")

    @cached_property
    def effect(self) -> str:
        """Changes with what the page is told, and with what that is meant to change.

        Not with grounds, prior or reason: answers stay answers to the same thing.
        """
        said = self.model_dump(mode="json", include={"action", "parameters", "goal"})
        return blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest()


class Outcome(_Strict):
    """What an answer teaches."""

    name: str = Field(min_length=1, max_length=64)
    reward: Unit = Field(description="0 harmful or unwanted .. 1 helpful")
    weight: float = Field(ge=0, le=10, description="of an answer; 0 teaches nothing")
    refuses: bool = Field(False, description="the action rests for a while")
    applies: bool = Field(False, description="the page did it: the goal is measured later")


class ContextFact(_Strict):
    """A fact that expectations may depend on, and the range that it is scaled from."""

    fact: str
    low: float = Field(0.0, allow_inf_nan=False)
    high: float = Field(1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_a_number_in_a_range(self) -> ContextFact:
        if self.fact not in FACTS or self.fact == TRAJECTORY_FACT:
            raise ValueError(f"'{self.fact}' is not a fact with a number")
        if self.high <= self.low:
            raise ValueError("needs low < high")
        return self


class Catalogue(_Strict):
    """Everything that a catalogue file says. The order of actions breaks ties."""

    actions: tuple[Action, ...] = Field(default=(), max_length=MAX_ACTIONS)
    outcomes: tuple[Outcome, ...] = Field(default=(), max_length=MAX_OUTCOMES)
    context: tuple[ContextFact, ...] = Field(default=(), max_length=MAX_CONTEXT)

    @model_validator(mode="after")
    def _is_consistent(self) -> Catalogue:
        _unique("actions", [action.name for action in self.actions])
        _unique("outcomes", [outcome.name for outcome in self.outcomes])
        _unique("facts of the context", [one.fact for one in self.context])
        if len({action.key for action in self.actions}) < len(self.actions):
            raise ValueError("two names share their four bytes; rename one of the last added")
        known = {one.fact for one in self.context}
        for action in self.actions:
            if action.goal is not None and action.goal.fact not in known:
                raise ValueError(f"the goal of '{action.name}' is not among the context's facts")
        return self

    @cached_property
    def by_key(self) -> dict[int, Action]:
        """Actions by the four bytes of their name."""
        return {action.key: action for action in self.actions}

    @cached_property
    def by_name(self) -> dict[str, Action]:
        """Actions by their name."""
        return {action.name: action for action in self.actions}

    @cached_property
    def outcome_bits(self) -> dict[str, int]:
        """Each outcome's place in the answers that a record keeps."""
        return {outcome.name: bit for bit, outcome in enumerate(self.outcomes)}

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that change with anything the catalogue says."""
        return blake2b(self.model_dump_json().encode(), digest_size=8).digest()


def load_catalogue(path: Path) -> Catalogue:
    """Read and check a catalogue (TOML).

    Raises:
        PolicyError: it is missing, is not TOML, or an entry is wrong; names entry and field.
    """
    return read_policy_file(path, Catalogue, "catalogue")


def _unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two {what} are named '{name}'")
