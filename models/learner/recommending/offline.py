"""Policies compared on a log that another policy wrote: what would they have earned?

The value of a policy is the mean reward of one place that it fills. An answer about
variant a, shown with the logged probability p(a), counts for a policy that would show it
with probability q(a) as often as w = q(a) / p(a):

    IPS   mean over answers of  w · r
    DR    mean over places of  Σ_a q(a) m(x, a) / places  +  mean over answers of  w · (r - m(x, a))

m is a regression on the answers of *other* learners (two folds by learner), so that a
learner's answer never predicts itself. DR is unbiased where either p or m is right
(Dudik, Langford and Li, 2011); p is exact here. Assumed: a reward does not depend on what
else was shown, and whether somebody answers does not depend on which variant it was.

Intervals are percentiles of a bootstrap over learners, not over decisions: the answers of
one person are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.learner.recommending.catalogue import Catalogue
from models.learner.recommending.choice import Rated, weigh
from models.learner.recommending.expectations import Expectations, LearnedPolicy, Vector
from models.learner.recommending.log import LoggedDecision, reward_of
from models.learner.recommending.memory import unshare
from models.learner.recommending.settings import RecommendingSettings
from models.learner.recommending.training import context_vector, fit_policy

Array = NDArray[np.float64]
_Estimator = Callable[[Array, Array, Array, Array, Array], Array]
_FOLDS: Final = 2
_PERCENTILES: Final = (2.5, 97.5)


class NothingToCompare(ValueError):
    """A log without a single answer."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the 95% interval of its bootstrap."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """value, low, high."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What one policy would have earned a place, by each estimator."""

    ips: Interval
    doubly_robust: Interval
    effective_answers: float
    """(Σw)² / Σw²: how many answers the weights leave (Kish, 1965)."""
    largest_weight: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A log, and what policies would have earned on it."""

    decisions: int
    learners: int
    shown: int
    answers: int
    logged: Interval
    """Mean reward of what was really shown."""
    policies: Mapping[str, PolicyValue]

    def as_json(self) -> dict[str, object]:
        """The figures as one JSON object."""
        return {
            "n": self.decisions,
            "learners": self.learners,
            "shown": self.shown,
            "answers": self.answers,
            "logged": self.logged.as_json(),
            "policies": {
                name: {
                    "ips": value.ips.as_json(),
                    "doubly_robust": value.doubly_robust.as_json(),
                    "effective_answers": value.effective_answers,
                    "largest_weight": value.largest_weight,
                }
                for name, value in self.policies.items()
            },
        }


@dataclass(slots=True)
class _Sums:
    """Per learner, what the estimators add up."""

    places: Array
    answers: Array
    weighted: Array
    """Σ w · r"""
    modelled: Array
    """Σ over places of Σ_a q(a) m(x, a) / places"""
    corrected: Array
    """Σ w · (r - m)"""
    weights: list[float]


def compare(
    log: Sequence[LoggedDecision],
    catalogue: Catalogue,
    policies: Mapping[str, LearnedPolicy | None],
    settings: RecommendingSettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Estimate the value of policies, each given by what it has learned (None: the priors).

    Raises:
        NothingToCompare: nobody answered.
    """
    learners = sorted({logged.learner for logged in log})
    index = {learner: number for number, learner in enumerate(learners)}
    models = _cross_fitted(log, catalogue, settings)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(learners), (resamples, len(learners))) if learners else None
    values: dict[str, PolicyValue] = {}
    logged_sums = _logged_sums(log, catalogue, settings, index)
    if draws is None or not logged_sums.answers.sum():
        raise NothingToCompare("no decision of the log has an answer that teaches")
    for name, learned in policies.items():
        target = Expectations(catalogue, learned, settings.noise)
        sums = _sums(log, catalogue, target, models, settings=settings, index=index)
        weights = np.array(sums.weights)
        squares = float((weights**2).sum())
        values[name] = PolicyValue(
            ips=_interval(sums, draws, _ips),
            doubly_robust=_interval(sums, draws, _doubly_robust),
            effective_answers=float(weights.sum() ** 2 / squares) if squares else 0.0,
            largest_weight=float(weights.max(initial=0.0)),
        )
    return Comparison(
        decisions=len(log),
        learners=len(learners),
        shown=int(logged_sums.places.sum()),
        answers=int(logged_sums.answers.sum()),
        logged=_interval(logged_sums, draws, _ips),
        policies=values,
    )


# -- sums ---------------------------------------------------------------------------------


def _fold(learner: str) -> int:
    return blake2b(learner.encode(), digest_size=1).digest()[0] % _FOLDS


def _cross_fitted(
    log: Sequence[LoggedDecision], catalogue: Catalogue, settings: RecommendingSettings
) -> list[Expectations]:
    """For each fold, expectations from the answers of the other learners."""
    anyone = settings.model_copy(update={"min_learners": 1})
    return [
        Expectations(
            catalogue,
            fit_policy((one for one in log if _fold(one.learner) != fold), catalogue, anyone),
            settings.noise,
        )
        for fold in range(_FOLDS)
    ]


def _empty(learners: int) -> _Sums:
    return _Sums(
        places=np.zeros(learners),
        answers=np.zeros(learners),
        weighted=np.zeros(learners),
        modelled=np.zeros(learners),
        corrected=np.zeros(learners),
        weights=[],
    )


def _logged_sums(
    log: Sequence[LoggedDecision],
    catalogue: Catalogue,
    settings: RecommendingSettings,
    index: Mapping[str, int],
) -> _Sums:
    sums = _empty(len(index))
    for logged in log:
        at = index[logged.learner]
        sums.places[at] += len(logged.shown)
        for shown in logged.shown:
            reward = reward_of(shown, catalogue, settings.follow_up_weight)
            if reward is not None:
                sums.answers[at] += 1
                sums.weighted[at] += reward.value
    return sums


def _sums(
    log: Sequence[LoggedDecision],
    catalogue: Catalogue,
    target: Expectations,
    models: Sequence[Expectations],
    *,
    settings: RecommendingSettings,
    index: Mapping[str, int],
) -> _Sums:
    sums = _empty(len(index))
    for logged in log:
        if not logged.shown:
            continue
        at, x = index[logged.learner], context_vector(logged, catalogue)
        would = _chances(logged, catalogue, target, settings, x)
        model = models[_fold(logged.learner)]
        means = {name: model.of(catalogue.by_name[name], x).mean for name in would}
        places = len(logged.shown)
        sums.places[at] += places
        # Σ q m / places, once for each of the places.
        sums.modelled[at] += sum(chance * means[name] for name, chance in would.items())
        chances = {one.variant: one.propensity for one in logged.candidates}
        for shown in logged.shown:
            reward = reward_of(shown, catalogue, settings.follow_up_weight)
            if reward is None:
                continue
            weight = would.get(shown.variant, 0.0) / chances[shown.variant]
            sums.answers[at] += 1
            sums.weights.append(weight)
            sums.weighted[at] += weight * reward.value
            sums.corrected[at] += weight * (reward.value - means.get(shown.variant, 0.0))
    return sums


def _chances(
    logged: LoggedDecision,
    catalogue: Catalogue,
    target: Expectations,
    settings: RecommendingSettings,
    x: Vector,
) -> dict[str, float]:
    """With what probability the target would have shown each candidate, without exploring."""
    known = [one.variant for one in logged.candidates if one.variant in catalogue.by_name]
    actions = [action for action in catalogue.actions if action.name in known]
    rated = []
    for action in actions:
        expected = target.of(action, x)
        rated.append(Rated(action.action, expected.mean, expected.variance))
    choice = weigh(rated, len(logged.shown), 0.0, settings.least)
    return {
        action.name: unshare(chance) for action, chance in zip(actions, choice.chances, strict=True)
    }


# -- estimators ---------------------------------------------------------------------------


def _ips(places: Array, answers: Array, weighted: Array, modelled: Array, corr: Array) -> Array:
    return weighted / np.maximum(answers, 1)


def _doubly_robust(
    places: Array, answers: Array, weighted: Array, modelled: Array, corrected: Array
) -> Array:
    return modelled / np.maximum(places, 1) + corrected / np.maximum(answers, 1)


def _interval(sums: _Sums, draws: NDArray[np.int64], estimator: _Estimator) -> Interval:
    columns = (sums.places, sums.answers, sums.weighted, sums.modelled, sums.corrected)
    value = estimator(*(np.array([column.sum()]) for column in columns))
    resampled = estimator(*(column[draws].sum(axis=1) for column in columns))
    low, high = np.percentile(resampled, _PERCENTILES)
    return Interval(float(value[0]), float(low), float(high))
