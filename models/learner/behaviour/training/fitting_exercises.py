"""Fitting how hard exercises are: ridge-penalised logistic regression with a place for everyone.

Without a learner's own term, an exercise that only able learners reach looks easy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_array

from models.learner.behaviour.serving.exercises import (
    NO_FAMILY,
    START,
    Before,
    Exercises,
    Key,
    Odds,
    answered_keys,
    sequel_keys,
    upcoming_keys,
)
from models.learner.behaviour.serving.forest import Floats
from models.learner.behaviour.serving.observed import skill_key
from models.learner.behaviour.serving.population import hint_group
from models.learner.behaviour.serving.scorer import sigmoids
from models.learner.behaviour.training.replay import in_order
from models.learner.behaviour.training.sources import ProblemRow

SPREADS: Final = {
    "person": 0.8,
    "skill": 0.5,
    "hints": 0.5,
    "both": 0.4,
    "family": 0.5,
    "problem": 0.6,
    "start": 0.3,
    "after_kind": 0.3,
    "after_family": 0.4,
    "after_problem": 0.5,
}
"""Standard deviations in log odds that are expected of a group: the more, the less shrunk."""
_ITERATIONS: Final = 200
_TOLERANCE: Final = 1e-6
_LEAST: Final = 0.005
"""Log odds: smaller weights are left out of the artefact."""

_KeysOf = Callable[[ProblemRow, ProblemRow | None], Iterable[Key]]


def fit_exercises(rows: Sequence[ProblemRow]) -> Exercises:
    """Weights from labelled rows of any order."""
    told = [row for row in rows if row.correct is not None and row.hints is not None]
    families = _families(told)

    def answered(row: ProblemRow, _: ProblemRow | None) -> Iterable[Key]:
        family = families.get(skill_key(row.problem), NO_FAMILY)
        return answered_keys(skill_key(row.problem), family, *_kind(row))

    def upcoming(row: ProblemRow, before: ProblemRow | None) -> Iterable[Key]:
        yield from upcoming_keys(*_kind(row))
        if before is None:
            yield START
            return
        done = Before(skill_key(before.problem), *_kind(before))
        family = families.get(done.problem, NO_FAMILY)
        yield from sequel_keys(done, family, *_kind(row))

    return Exercises(_fit(told, answered), _fit(told, upcoming), families)


def _families(rows: Sequence[ProblemRow]) -> dict[int, int]:
    """By problem: the template's key. A problem of which no template is told has none."""
    return {
        skill_key(row.problem): skill_key(row.template)
        for row in rows
        if row.problem and row.template
    }


def _kind(row: ProblemRow) -> tuple[int, int]:
    return skill_key(row.skill), hint_group(row.hint_total)


def _fit(rows: Sequence[ProblemRow], keys_of: _KeysOf) -> dict[Key, Odds]:
    places: dict[Key, int] = {}
    at: list[tuple[int, int, float]] = []
    correct: list[bool] = []
    hint: list[bool] = []
    for person, theirs in in_order(rows).items():
        before: ProblemRow | None = None
        for row in theirs:
            for key in (*keys_of(row, before), ("person", person)):
                # The mean is not shrunk, or hardly: it alone has no group.
                spread = SPREADS[str(key[0])] if key else 10.0
                at.append((len(correct), places.setdefault(key, len(places)), spread))
            correct.append(bool(row.correct))
            hint.append((row.hints or 0) > 0)
            before = row
    lines, columns, spreads = zip(*at, strict=True)
    design = csr_array((spreads, (lines, columns)), shape=(len(correct), len(places)))
    scale = np.array([SPREADS[str(key[0])] if key else 10.0 for key in places])
    weights = np.column_stack(
        [scale * _ridge(design, np.array(truth, float)) for truth in (correct, hint)]
    )
    return {
        key: (round(float(weights[place, 0]), 4), round(float(weights[place, 1]), 4))
        for key, place in places.items()
        if key[:1] != ("person",) and np.abs(weights[place]).max() >= _LEAST
    }


def _ridge(design: csr_array, truth: Floats) -> Floats:
    """Coefficients under a standard normal prior."""

    def loss(beta: Floats) -> tuple[float, Floats]:
        logits = design @ beta
        value = np.logaddexp(0.0, logits).sum() - truth @ logits + beta @ beta / 2
        return float(value), design.T @ (sigmoids(logits) - truth) + beta

    start = np.zeros(design.shape[1])
    options = {"maxiter": _ITERATIONS, "ftol": _TOLERANCE, "gtol": 1e-2}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    fitted: Floats = found.x
    return fitted
