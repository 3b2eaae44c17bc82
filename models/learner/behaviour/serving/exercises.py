"""How hard exercises are, apart from who did them, and what usually follows which.

Log odds that add up, of being right and of asking for a hint; learned in training with
every learner's own ability beside them (fitting_exercises.py). A page does not say which
exercise comes next, only its skill and hints on offer; the one just answered tells more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

NO_PROBLEM: Final = 0
"""The key of an exercise that the page did not name."""
NO_FAMILY: Final = 0
"""Of an exercise that training did not meet, or that has no like there."""

Odds = tuple[float, float]
"""Log odds: right at the first attempt, a hint asked for."""
Key = tuple[int | str, ...]
"""A group's name, then what it is of: skills and problems by key, hints by hint group."""


class Before(NamedTuple):
    """The exercise that was done last."""

    problem: int
    skill: int
    hints: int
    """Its hint group."""


@dataclass(frozen=True, slots=True)
class Exercises:
    """Weights of one population; what is not in them adds nothing."""

    answered: Mapping[Key, Odds] = field(default_factory=dict)
    """Of exercises that are known by name; `()` is the mean."""
    upcoming: Mapping[Key, Odds] = field(default_factory=dict)
    """Of exercises of which skill and hints on offer are known, and what came before."""
    families: Mapping[int, int] = field(default_factory=dict)
    """By problem: which ones are made after the same template."""

    def of_answered(self, problem: int, skill: int, group: int) -> Odds:
        """Log odds on an exercise that was done, for a learner of mean ability."""
        family = self.families.get(problem, NO_FAMILY)
        return _sum(self.answered, answered_keys(problem, family, skill, group))

    def of_upcoming(self, skill: int, group: int) -> Odds:
        """Log odds on an exercise to come, from its skill and hints on offer alone."""
        return _sum(self.upcoming, upcoming_keys(skill, group))

    def of_sequel(self, before: Before | None, skill: int, group: int) -> Odds:
        """What is added by what was done just before."""
        if before is None:
            return _sum(self.upcoming, (START,))
        family = self.families.get(before.problem, NO_FAMILY)
        return _sum(self.upcoming, sequel_keys(before, family, skill, group))


START: Final[Key] = ("start",)
"""Nothing was done before."""


def answered_keys(problem: int, family: int, skill: int, group: int) -> Iterable[Key]:
    """The weights of an exercise that was done."""
    yield from upcoming_keys(skill, group)
    if family != NO_FAMILY:
        yield ("family", family)
    if problem != NO_PROBLEM:
        yield ("problem", problem)


def upcoming_keys(skill: int, group: int) -> Iterable[Key]:
    """The weights of an exercise to come."""
    return ((), ("skill", skill), ("hints", group), ("both", skill, group))


def sequel_keys(before: Before, family: int, skill: int, group: int) -> Iterable[Key]:
    """The weights of one exercise's following another, which is of a family."""
    problem = before.problem
    yield ("after_kind", before.skill, before.hints, skill, group)
    if family != NO_FAMILY:
        yield ("after_family", family, skill, group)
    if problem != NO_PROBLEM:
        yield ("after_problem", problem, skill, group)


def _sum(weights: Mapping[Key, Odds], keys: Iterable[Key]) -> Odds:
    correct = hint = 0.0
    for key in keys:
        found = weights.get(key)
        if found is not None:
            correct += found[0]
            hint += found[1]
    return correct, hint
