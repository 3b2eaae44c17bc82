"""Figures as they leave: with the decimals that mean something.

`models/` computes with exact figures; whoever makes a message rounds them here, last.
Shares of a whole are rounded together, so that their sum stays what it was.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from math import floor
from typing import Final, TypeVar

DECIMALS: Final = 4
"""Of a figure in a message. Serving a model in half precision moves its readings by more."""
_STEPS: Final = 10**DECIMALS

_Name = TypeVar("_Name", bound=Hashable)


def rounded(figure: float) -> float:
    """The nearest figure with `DECIMALS` decimals; never -0.0."""
    return round(figure, DECIMALS) + 0.0


def rounded_shares(shares: Mapping[_Name, float]) -> dict[_Name, float]:
    """Shares with `DECIMALS` decimals each, and a sum that is the exact sum's nearest.

    Each share is rounded down, and those that lost most get the steps that are missing
    (largest remainders; of equal ones the first). So 1 stays 1, and no sum of at most 1
    goes beyond it. A share moves by less than one step.

    Args:
        shares: each 0 or more, finite.
    """
    steps = {name: share * _STEPS for name, share in shares.items()}
    down = {name: floor(exact) for name, exact in steps.items()}
    missing = round(sum(steps.values())) - sum(down.values())
    if missing:
        lost = sorted(steps, key=lambda name: down[name] - steps[name])
        for name in lost[:missing]:
            down[name] += 1
    return {name: whole / _STEPS for name, whole in down.items()}
