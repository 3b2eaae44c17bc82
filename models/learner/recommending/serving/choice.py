"""Which candidates to show, and with exactly what probability each of them is.

The best are shown by expected reward, one of an action. With probability `explore` the
last place goes to another candidate instead, drawn by how likely it is to be better
than the one that it replaces (and never less likely than `least` of that weight). So

    chance = 1            of all places but the last
    chance = 1 - e        of the last place's own candidate
    chance = e · q        of each other that may stand there, q summing to 1

in whole 65535ths, which the draw is made on: chances are exact, also where they are
small. At most one place of a decision explores, which bounds what exploring may cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from models.learner.recommending.serving.memory import WHOLE


@dataclass(frozen=True, slots=True)
class Rated:
    """A candidate: what the page would do, and how good that is expected to be."""

    action: str
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The chances of all candidates, and how places are filled."""

    chances: tuple[int, ...]
    """In the candidates' order, 65535ths."""
    best: tuple[int, ...]
    """Candidates by place, where nothing is explored."""
    others: tuple[int, ...]
    """Candidates that may be explored in the last place."""


def weigh(rated: Sequence[Rated], places: int, explore: float, least: float) -> Choice:
    """Chances of candidates, whose order breaks ties.

    Args:
        rated: candidates; of those with one action at most one is shown.
        places: at most so many are shown.
        explore: probability of exploring in the last place, 0..1.
        least: smallest weight of an explored candidate, in (0, 1].
    """
    best: list[int] = []
    taken: set[str] = set()
    for index in sorted(range(len(rated)), key=lambda index: -rated[index].mean):
        if len(best) < places and rated[index].action not in taken:
            best.append(index)
            taken.add(rated[index].action)
    chances = [0] * len(rated)
    for index in best:
        chances[index] = WHOLE
    if not best:
        return Choice(tuple(chances), (), ())
    last = best[-1]
    before = taken - {rated[last].action}
    others = [
        index
        for index in range(len(rated))
        if index not in best and rated[index].action not in before
    ]
    parts = round(explore * WHOLE)
    if not others or parts == 0:
        return Choice(tuple(chances), tuple(best), ())
    weights = [max(least, _chance_to_beat(rated[index], rated[last])) for index in others]
    chances[last] = WHOLE - parts
    for index, part in zip(others, _apportion(parts, weights), strict=True):
        chances[index] = part
    return Choice(tuple(chances), tuple(best), tuple(others))


def draw(choice: Choice, seed: bytes) -> tuple[int, ...]:
    """The candidates shown, by place: the same for the same seed."""
    left = int.from_bytes(blake2b(seed, digest_size=8, person=b"recommend").digest(), "big")
    left %= WHOLE
    for index in choice.others:
        if left < choice.chances[index]:
            return (*choice.best[:-1], index)
        left -= choice.chances[index]
    return choice.best


def _chance_to_beat(one: Rated, other: Rated) -> float:
    """That one's true mean is above the other's, both normal and independent."""
    spread = math.sqrt(one.variance + other.variance)
    if spread == 0:
        return float(one.mean > other.mean)
    return 0.5 * (1 + math.erf((one.mean - other.mean) / (spread * math.sqrt(2))))


def _apportion(parts: int, weights: Sequence[float]) -> list[int]:
    """Whole parts in proportion to weights; what rounding leaves over goes to the first."""
    total = sum(weights)
    whole = [int(parts * weight / total) for weight in weights]
    whole[0] += parts - sum(whole)
    return whole
