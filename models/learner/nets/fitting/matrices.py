"""Features of many moments as arrays, and how they are standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.learner.nets.serving.inputs import Feature, Floats, Layout

Bools = npt.NDArray[np.bool_]


def matrix(layout: Layout, rows: Sequence[Mapping[str, Feature]]) -> tuple[Floats, Bools]:
    """(n, width) raw numbers and (n, inputs) which are known."""
    filled = [layout.fill(features) for features in rows]
    return np.stack([v for v, _ in filled]), np.stack([k for _, k in filled])


def standard(layout: Layout, values: Floats, known: Bools) -> tuple[Floats, Floats]:
    """(width,) centre and reciprocal scale of each number, over the rows that know it."""
    centre, scale = np.zeros(layout.width), np.ones(layout.width)
    for index, where in enumerate(layout.slices.values()):
        rows = known[:, index]
        if rows.any():
            centre[where] = values[rows, where].mean(0)
            spread = values[rows, where].std(0)
            scale[where] = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    return centre, scale


def trained_inputs(layout: Layout, known: Bools) -> list[str]:
    """Names of the inputs that any row knows."""
    return [name for index, name in enumerate(layout.names) if known[:, index].any()]
