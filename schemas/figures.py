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


def rounded_shares(shares: Mapping[_Name, float], least: float = 0.0) -> dict[_Name, float]:
    """Shares with `DECIMALS` decimals each, and a sum that is the exact sum's nearest.

    Each share is rounded down, and those that lost most get the steps that are missing
    (largest remainders; of equal ones the first). So 1 stays 1, and no sum of at most 1
    goes beyond it. A share moves by less than one step.

    Args:
        shares: each 0 or more, finite.
        least: those that round to less are left out; the rest is not scaled up.
    """
    # Half a step below, where rounding leads to it; and sums in float32 are a little off.
    bound = least - 0.5 / _STEPS if least else 0.0
    names = [name for name, share in shares.items() if share >= bound]
    exact = [shares[name] * _STEPS for name in names]
    steps = list(map(floor, exact))
    missing = round(sum(exact)) - sum(steps)
    if missing:
        lost = sorted(range(len(steps)), key=lambda at: steps[at] - exact[at])
        for at in lost[:missing]:
            steps[at] += 1
    return {name: step / _STEPS for name, step in zip(names, steps, strict=True)}
