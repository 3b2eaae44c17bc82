"""What is known of learners in general: the ground against which one learner is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from models.learner.behaviour.serving.exercises import Exercises

MOST_HINTS: Final = 6
HINTS_NOT_SENT: Final = MOST_HINTS + 1
HINT_GROUPS: Final = HINTS_NOT_SENT + 1
"""Shares are split by the hints on offer: 0 to MOST_HINTS (and more), or not sent."""


@dataclass(frozen=True, slots=True)
class Chances:
    """The population's shares for one kind of exercise."""

    correct: float
    hint: float


@dataclass(frozen=True, slots=True)
class Population:
    """Shares by skill and hints on offer; moments of response times. Learned in training."""

    skills: Mapping[int, tuple[Chances, ...]]
    """By `skill_key`: one entry for each hint group."""
    overall: tuple[Chances, ...]
    """For a skill that is not in `skills`."""
    repeated: float
    """Share of answers that took more than one attempt."""
    log_response: float
    """Mean of the logarithm of response times in seconds."""
    log_response_spread: float
    """Its standard deviation."""
    half_lives: tuple[float, float, float]
    """Seconds: what is recent, this session, and the learner's own norm."""

    exercises: Exercises = field(default_factory=Exercises)
    """How hard exercises are for a learner of mean ability, and what follows which."""

    def chances(self, skill: int, hint_total: int) -> Chances:
        """What a learner of whom nothing is known would do; `hint_total` < 0: not sent."""
        return self.skills.get(skill, self.overall)[hint_group(hint_total)]


def hint_group(hint_total: int) -> int:
    """Which of the hint groups."""
    if hint_total < 0:
        return HINTS_NOT_SENT
    return min(hint_total, MOST_HINTS)
