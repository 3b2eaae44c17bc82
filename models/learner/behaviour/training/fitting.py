"""Fitting: the population's shares, logistic models, calibration, folds by person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.evaluation.scores import Bools, Floats
from models.learner.behaviour.serving.observed import FASTEST
from models.learner.behaviour.serving.population import (
    HINT_GROUPS,
    HINTS_NOT_SENT,
    Chances,
    Population,
    hint_group,
)
from models.learner.behaviour.serving.scorer import Scorer, sigmoids
from models.learner.behaviour.training.fitting_exercises import fit_exercises
from models.learner.behaviour.training.sources import BehaviourDataProblem, ProblemRow

HALF_LIVES: Final = (90.0, 900.0, 1_209_600.0)
"""Seconds: about 3 exercises, about 30, and two weeks."""
PRIOR_ROWS: Final = 20.0
"""Rows' worth of the mean in a skill's share."""
_LEAST_SHARE: Final = 0.005
_ITERATIONS: Final = 50

Indices = npt.NDArray[np.int64]


def fit_population(
    rows: Sequence[ProblemRow],
) -> tuple[Population, dict[str, tuple[Chances, ...]]]:
    """Shares by skill and hint group, shrunk to the skill's and then to the overall ones."""
    overall = _Tally()
    skills: dict[str, _Tally] = defaultdict(_Tally)
    times, repeated = [], []
    for row in rows:
        if row.correct is None or row.hints is None:
            continue
        for tally in (overall, skills[row.skill]):
            tally.add(hint_group(row.hint_total), row.correct, row.hints > 0)
        if row.seconds is not None:
            times.append(np.log(max(row.seconds, FASTEST)))
        if row.attempts is not None:
            repeated.append(row.attempts > 1)
    if not times or not repeated:
        raise BehaviourDataProblem("no row tells correct, hints, attempts and response time")
    mean = overall.shares(HINTS_NOT_SENT)
    groups = [overall.shrunk(group, mean) for group in range(HINT_GROUPS)]
    named = {}
    for name, tally in skills.items():
        own = tally.shrunk(HINTS_NOT_SENT, mean)
        named[name] = tuple(
            _chances(tally.shrunk(group, own * groups[group] / np.maximum(mean, _LEAST_SHARE)))
            for group in range(HINT_GROUPS)
        )
    population = Population(
        skills={},
        overall=tuple(_chances(group) for group in groups),
        repeated=float(np.mean(repeated)),
        log_response=float(np.mean(times)),
        log_response_spread=float(np.std(times)),
        half_lives=HALF_LIVES,
        exercises=fit_exercises(rows),
    )
    return population, named


class _Tally:
    """Rows, correct ones, and ones with a hint, by hint group; HINTS_NOT_SENT counts all."""

    def __init__(self) -> None:
        self.counts = np.zeros((HINT_GROUPS, 3))

    def add(self, group: int, correct: bool, hint: bool) -> None:
        for index in (group, HINTS_NOT_SENT):
            self.counts[index] += (1.0, correct, hint)

    def shares(self, group: int) -> Floats:
        counts: Floats = self.counts[group]
        shares: Floats = counts[1:] / max(counts[0], 1.0)
        return shares

    def shrunk(self, group: int, towards: Floats) -> Floats:
        counts: Floats = self.counts[group]
        shares: Floats = (counts[1:] + PRIOR_ROWS * towards) / (counts[0] + PRIOR_ROWS)
        return shares


def _chances(shares: Floats) -> Chances:
    correct, hint = np.clip(shares, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return Chances(float(correct), float(hint))


def fit_logistic(features: Floats, truth: Bools, ridge: float) -> Scorer:
    """Logistic regression by Newton's method on standardised features; `ridge` as in 1 / C."""
    centre = features.mean(0)
    spread = features.std(0)
    spread[spread < 1e-9] = 1.0
    design = np.column_stack(((features - centre) / spread, np.ones(len(features))))
    penalty = np.full(design.shape[1], ridge)
    penalty[-1] = 0.0
    beta = np.zeros(design.shape[1])
    for _ in range(_ITERATIONS):
        chance = sigmoids(design @ beta)
        gradient = design.T @ (truth - chance) - penalty * beta
        weight = np.maximum(chance * (1 - chance), 1e-9)
        step = np.linalg.solve((design.T * weight) @ design + np.diag(penalty + 1e-9), gradient)
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    weights = beta[:-1] / spread
    return Scorer(tuple(map(float, weights)), float(beta[-1] - weights @ centre))


def calibrated(scorer: Scorer, logits: Floats, truth: Bools) -> Scorer:
    """The scorer with Platt's line through out-of-fold logits folded into its numbers."""
    line = fit_logistic(logits[:, None], truth, ridge=0.0)
    slope = line.weights[0]
    return Scorer(
        tuple(slope * weight for weight in scorer.weights),
        slope * scorer.intercept + line.intercept,
        None if scorer.trees is None else scorer.trees.scaled(slope),
    )


def logits_of(scorer: Scorer, features: Floats) -> Floats:
    """(n,) log odds."""
    return np.array([scorer.logit(row) for row in features.tolist()])


def folds(people: Sequence[str], truth: Bools, count: int, seed: int) -> Iterator[Indices]:
    """Positions of each held-out fold: whole people, positives spread over the folds.

    People are dealt in the order of their positives (then shuffled rows) to the fold
    that has the fewest positives, then the fewest rows.
    """
    rng = np.random.default_rng(seed)
    rows: dict[str, list[int]] = defaultdict(list)
    for index, person in enumerate(people):
        rows[person].append(index)
    order = sorted(rows)
    rng.shuffle(order)
    order.sort(key=lambda person: -int(truth[rows[person]].sum()))
    held: list[list[int]] = [[] for _ in range(count)]
    positives = [0] * count
    for person in order:
        fold = min(range(count), key=lambda i: (positives[i], len(held[i])))
        held[fold] += rows[person]
        positives[fold] += int(truth[rows[person]].sum())
    for fold_rows in held:
        if fold_rows:
            yield np.array(sorted(fold_rows), dtype=np.int64)
