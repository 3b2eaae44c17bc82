"""Policies compared on a log that another policy wrote: what would they have earned?

The value of a policy is the mean reward of one place that it fills. An answer about
variant a, shown with the logged probability p(a), counts for a policy that would show it
with probability q(a) as often as w = q(a) / p(a):

    IPS   mean over answers of  w · r
    DR    mean over places of  Σ_a q(a) m(x, a) / places  +  mean over answers of  w · (r - m(x, a))

m is a regression on the answers of *other* learners (two folds by learner), so that a
learner's answer never predicts itself. DR is unbiased where either p or m is right
(Dudik, Langford and Li, 2011); p is exact here. Assumed:

    overlap        what a policy would show had a chance in the log: p(a) > 0 where q(a) > 0
    independence   a reward does not depend on what else was shown
    no selection   whether somebody answers does not depend on which variant it was

Only the first can be seen from the log, and exploring the last place alone breaks it: of
several variants of one action, those of a place before the last had no chance, and nothing
but the best had one where `explore` is 0. `unsupported` is the mean of q over what had none;
the estimators leave that reward out (IPS) or take it from the regression alone (DR), so that
above a small share of it there is no estimate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

from models.evaluation.scores import Floats
from models.learner.recommending.offline.comparison import (
    Comparison,
    PolicyValue,
    interval,
    resampled,
)
from models.learner.recommending.offline.log import LoggedDecision, reward_of
from models.learner.recommending.offline.training import context_vector, fit_policy
from models.learner.recommending.serving.catalogue import Catalogue
from models.learner.recommending.serving.choice import Rated, weigh
from models.learner.recommending.serving.expectations import Expectations, LearnedPolicy, Vector
from models.learner.recommending.serving.memory import unshare
from models.learner.recommending.serving.settings import RecommendingSettings

_FOLDS: Final = 2
MAX_UNSUPPORTED: Final = 0.01
"""A reward lies in 0..1: what is left out of IPS is at most this."""


class NothingToCompare(ValueError):
    """A log without a single answer to a decision of this catalogue."""


@dataclass(slots=True)
class _Sums:
    """Per learner, what the estimators add up."""

    places: Floats
    answers: Floats
    weighted: Floats
    """Σ w · r"""
    modelled: Floats
    """Σ over places of Σ_a q(a) m(x, a) / places"""
    corrected: Floats
    """Σ w · (r - m)"""
    weights: list[float]
    unsupported: float = 0.0
    """Σ q(a) over candidates that the log gave no chance."""

    def columns(self) -> Floats:
        """What the estimators are made of, (5, learners)."""
        return np.array([self.places, self.answers, self.weighted, self.modelled, self.corrected])


def compare(
    log: Sequence[LoggedDecision],
    catalogue: Catalogue,
    policies: Mapping[str, LearnedPolicy | None],
    settings: RecommendingSettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
    max_unsupported: float = MAX_UNSUPPORTED,
) -> Comparison:
    """Estimate the value of policies, each given by what it has learned (None: the priors).

    Args:
        log: decisions with their answers. One with a candidate that has left the catalogue is
            left out, and counted.
        catalogue: actions with priors, outcomes, facts of the context.
        policies: by name.
        settings: how the target policies choose, and what a goal's movement weighs.
        resamples: of the bootstrap over learners (models/evaluation/bootstrap.py).
        seed: of its draws.
        max_unsupported: largest share of its places, 0..1, that a policy may give to what the
            log could not show and still be estimated.

    Raises:
        NothingToCompare: nobody answered.
    """
    named = catalogue.by_name
    known = [one for one in log if all(each.variant in named for each in one.candidates)]
    learners = sorted({logged.learner for logged in known})
    index = {learner: number for number, learner in enumerate(learners)}
    logged_sums = _logged_sums(known, catalogue, settings, index)
    if not logged_sums.answers.sum():
        raise NothingToCompare(
            "no decision of the log has an answer that teaches and candidates of this catalogue"
        )
    models = _cross_fitted(known, catalogue, settings)
    values: dict[str, PolicyValue] = {}
    for name, learned in policies.items():
        target = Expectations(catalogue, learned, settings.noise)
        sums = _sums(known, catalogue, target, models, settings=settings, index=index)
        columns, weights = sums.columns(), np.array(sums.weights)
        squares = float((weights**2).sum())
        unsupported = sums.unsupported / float(sums.places.sum())
        is_known = unsupported <= max_unsupported
        drawn = resampled(columns, resamples, seed) if is_known else None
        values[name] = PolicyValue(
            ips=interval(columns, drawn, _ips) if is_known else None,
            doubly_robust=interval(columns, drawn, _doubly_robust) if is_known else None,
            unsupported=unsupported,
            effective_answers=float(weights.sum() ** 2 / squares) if squares else 0.0,
            largest_weight=float(weights.max(initial=0.0)),
        )
    columns = logged_sums.columns()
    return Comparison(
        decisions=len(known),
        left_out=len(log) - len(known),
        learners=len(learners),
        shown=int(logged_sums.places.sum()),
        answers=int(logged_sums.answers.sum()),
        logged=interval(columns, resampled(columns, resamples, seed), _ips),
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
        sums.unsupported += sum(chance for name, chance in would.items() if not chances[name])
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
    candidates = {one.variant for one in logged.candidates}
    actions = [action for action in catalogue.actions if action.name in candidates]
    rated = []
    for action in actions:
        expected = target.of(action, x)
        rated.append(Rated(action.action, expected.mean, expected.variance))
    choice = weigh(rated, len(logged.shown), 0.0, settings.least)
    return {
        action.name: unshare(chance) for action, chance in zip(actions, choice.chances, strict=True)
    }


# -- estimators ---------------------------------------------------------------------------


def _ips(sums: Floats) -> Floats:
    _, answers, weighted, _, _ = sums
    return np.asarray(weighted / np.maximum(answers, 1))


def _doubly_robust(sums: Floats) -> Floats:
    places, answers, _, modelled, corrected = sums
    return np.asarray(modelled / np.maximum(places, 1) + corrected / np.maximum(answers, 1))
