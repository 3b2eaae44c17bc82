"""`masterx train policy`: a deployment's answers, as one Bayesian regression an action.

    reward - prior = w·x + noise,   w ~ N(0, noise²/strength · I),   x = (1, facts - ½)

fitted by `bayesianbandits.NormalRegressor` (exact conjugate updates). A learner's N
answers about an action share what is the learner's own, so that they count as
N·k / (N + k) answers, k being `person_strength`. An action that fewer than
`min_learners` people answered keeps the catalogue's prior, and says nothing of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.files import replacing
from models.learner.recommending.offline.log import LoggedDecision, reward_of
from models.learner.recommending.serving.catalogue import Action, Catalogue
from models.learner.recommending.serving.expectations import LearnedAction, LearnedPolicy, Vector
from models.learner.recommending.serving.settings import RecommendingSettings


@dataclass(frozen=True, slots=True)
class _Answer:
    learner: str
    x: Vector
    reward: float
    weight: float


def context_vector(logged: LoggedDecision, catalogue: Catalogue) -> Vector:
    """x of a logged decision; facts that were unknown then are the middle of their range."""
    facts = (logged.context.get(one.fact) for one in catalogue.context)
    return np.array([1.0, *(0.0 if value is None else value - 0.5 for value in facts)])


def fit_policy(
    log: Iterable[LoggedDecision], catalogue: Catalogue, settings: RecommendingSettings
) -> LearnedPolicy:
    """Fit every action that enough people have answered about."""
    answers: dict[str, list[_Answer]] = defaultdict(list)
    decisions = 0
    for logged in log:
        decisions += 1
        x = context_vector(logged, catalogue)
        for shown in logged.shown:
            reward = reward_of(shown, catalogue, settings.follow_up_weight)
            if reward is not None and shown.variant in catalogue.by_name:
                answers[shown.variant].append(
                    _Answer(logged.learner, x, reward.value, reward.weight)
                )
    fitted = {
        name: _fit(catalogue.by_name[name], given, settings)
        for name, given in sorted(answers.items())
        if len({one.learner for one in given}) >= settings.min_learners
    }
    return LearnedPolicy(
        catalogue=catalogue.digest.hex(),
        facts=catalogue.context,
        actions=fitted,
        decisions=decisions,
        answers=sum(len(given) for given in answers.values()),
        learners=len({one.learner for given in answers.values() for one in given}),
    )


def write_policy(policy: LearnedPolicy, path: Path) -> None:
    """Write the artefact in one step, so that a worker never reads half of it.

    Raises:
        OSError: it cannot be written there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        beside.write_text(policy.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _fit(action: Action, answers: list[_Answer], settings: RecommendingSettings) -> LearnedAction:
    from bayesianbandits import NormalRegressor  # noqa: PLC0415 - takes seconds; workers never need it

    prior, noise = action.prior, settings.noise**2
    weights = np.array([one.weight for one in answers]) * _person_shares(answers, settings)
    regression = NormalRegressor(alpha=prior.strength / noise, beta=1 / noise)
    regression.partial_fit(
        np.array([one.x for one in answers]),
        np.array([one.reward - prior.mean for one in answers]),
        sample_weight=weights,
    )
    # The library keeps the upper triangle of the precision.
    upper = np.triu(np.asarray(regression.cov_inv_, dtype=np.float64))
    covariance = np.linalg.inv(upper + np.triu(upper, 1).T)
    coefficients = np.asarray(regression.coef_, dtype=np.float64).copy()
    coefficients[0] += prior.mean
    return LearnedAction(
        effect=action.effect,
        coefficients=tuple(coefficients.tolist()),
        covariance=tuple(tuple(row) for row in ((covariance + covariance.T) / 2).tolist()),
        answers=len(answers),
        learners=len({one.learner for one in answers}),
    )


def _person_shares(answers: list[_Answer], settings: RecommendingSettings) -> NDArray[np.float64]:
    totals: dict[str, float] = defaultdict(float)
    for one in answers:
        totals[one.learner] += one.weight
    trust = settings.person_strength
    return np.array([trust / (trust + totals[one.learner]) for one in answers])
