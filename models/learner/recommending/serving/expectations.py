"""What is expected of an action in a context, before this learner's own answers.

    reward of an action ~ N(w·x, noise²),   x = (1, facts - ½)

x holds the context's facts scaled to [-½, ½]; an unknown fact is 0, the middle of its
range. Without an artefact w is the catalogue's prior alone, and facts do not matter.
`masterx train policy` fits w for every action (recommending/training.py).

Errors:
    PolicyError    an artefact that cannot be used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.artefacts import UnknownArtefactFormat
from models.learner.recommending.serving.catalogue import Action, Catalogue, ContextFact
from models.learner.recommending.serving.memory import unscaled
from models.learner.rules import PolicyError

Vector = NDArray[np.float64]
ARTEFACT_FORMAT: Final = 1
_LARGEST: Final = 1e6
"""Rewards lie in 0..1; products of larger coefficients might overflow."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LearnedAction(_Strict):
    """One action's regression."""

    effect: str = Field(description="Action.effect of what the answers were about")
    coefficients: tuple[float, ...] = Field(description="of 1 and of each fact of the context")
    covariance: tuple[tuple[float, ...], ...]
    answers: int = Field(ge=0)
    learners: int = Field(ge=0)

    @model_validator(mode="after")
    def _is_square(self) -> LearnedAction:
        width = len(self.coefficients)
        if [len(row) for row in self.covariance] != [width] * width:
            raise ValueError("covariance is not square, or not as wide as the coefficients")
        values = np.array([self.coefficients, *self.covariance])
        if not (np.abs(values) <= _LARGEST).all() or (np.diagonal(values[1:]) < 0).any():
            raise ValueError("not finite, far from any reward, or a negative variance")
        return self


class LearnedPolicy(_Strict):
    """What `masterx train policy` writes: a deployment's answers, as one regression an action."""

    format: Literal[1] = ARTEFACT_FORMAT
    catalogue: str = Field(description="digest of the catalogue that it was trained with")
    facts: tuple[ContextFact, ...]
    actions: dict[str, LearnedAction]
    decisions: int = Field(ge=0, description="of the log")
    answers: int = Field(ge=0)
    learners: int = Field(ge=0)

    @cached_property
    def digest(self) -> bytes:
        """Eight bytes that change with anything it says."""
        return blake2b(self.model_dump_json().encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Expected:
    """Reward expected of one action in one context, before this learner's answers."""

    mean: float
    """In [0, 1]."""
    variance: float
    """Of that mean, not of single answers."""
    is_learned: bool
    """From this deployment's answers; otherwise the catalogue's prior."""


class Expectations:
    """A catalogue's priors, and what a deployment learned on top of them.

    Args:
        catalogue: actions with priors, facts of the context.
        learned: the artefact, or None.
        noise: standard deviation of a single reward around its expectation.

    An action that says something else than the one of its name that was trained keeps the
    catalogue's prior; such names are in `outdated`.

    Raises:
        PolicyError: the artefact was trained on other facts than the catalogue's, or a
            regression has not as many coefficients as there are facts, and one.
    """

    def __init__(self, catalogue: Catalogue, learned: LearnedPolicy | None, noise: float) -> None:
        if learned is not None and learned.facts != catalogue.context:
            raise PolicyError(
                "the learned policy was trained on another context than the catalogue's: train "
                "anew (masterx train policy), or empty learner.recommending.learned"
            )
        self._noise = noise
        fits = learned.actions if learned is not None else {}
        width = 1 + len(catalogue.context)
        for name, fit in fits.items():
            if len(fit.coefficients) != width:
                raise PolicyError(
                    f"the learned policy's action '{name}' has {len(fit.coefficients)} "
                    f"coefficients where the catalogue's context needs {width}"
                )
        effects = {action.name: action.effect for action in catalogue.actions}
        self.outdated = tuple(
            sorted(
                name for name, fit in fits.items() if effects.get(name, fit.effect) != fit.effect
            )
        )
        self._fits: Mapping[str, tuple[Vector, Vector]] = {
            name: (np.array(fit.coefficients), np.array(fit.covariance))
            for name, fit in fits.items()
            if effects.get(name) == fit.effect
        }

    def of(self, action: Action, x: Vector) -> Expected:
        """What is expected of an action where the context is `x` (see `vector`)."""
        fit = self._fits.get(action.name)
        if fit is None:
            return Expected(action.prior.mean, self._noise**2 / action.prior.strength, False)
        coefficients, covariance = fit
        mean = min(1.0, max(0.0, float(coefficients @ x)))
        return Expected(mean, max(0.0, float(x @ covariance @ x)), True)


def vector(context: Sequence[int | None]) -> Vector:
    """x of a context of scaled facts (recommending/memory.py), with the leading 1."""
    return np.array([1.0, *(0.0 if one is None else unscaled(one) - 0.5 for one in context)])


def load_learned(path: Path) -> LearnedPolicy:
    """Read an artefact.

    Raises:
        PolicyError: it is missing, or not an artefact of this version.
    """
    try:
        return LearnedPolicy.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PolicyError(f"learned policy {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        if first["loc"] == ("format",):
            problem = UnknownArtefactFormat(path, first["input"], ARTEFACT_FORMAT)
            raise PolicyError(f"learned policy {problem}") from error
        where = ".".join(str(part) for part in first["loc"]) or "whole file"
        raise PolicyError(f"learned policy {path}: {where}: {first['msg']}") from error
