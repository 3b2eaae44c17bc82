"""Learners who are simulated: what learning costs on the way, and what it earns.

Regret is expected regret, by the exact chances that are logged: what the draw happened to
be adds nothing but noise. It is summed over learners (or deployments) whose truths lie
around the priors; for one of them alone the priors may be perfect, and learning only cost.
Nobody refuses anything for a while here, and no fact of the state is known.
"""

from __future__ import annotations

import itertools
import random

import pytest

from models.learner.recommending.offline.log import LoggedDecision
from models.learner.recommending.offline.training import fit_policy
from tests.models.learner.recommending.build import Learner, catalogue, policy

DECISIONS = 500
MARGIN = 1.05
"""What learning may cost on the way, against never learning."""


def around(priors: list[float], spread: float, rng: random.Random) -> list[float]:
    return [min(0.95, max(0.05, prior + rng.gauss(0, spread))) for prior in priors]


def regret_of_the_prior(priors: list[float], truth: list[float], places: int) -> float:
    """Per decision, of showing what the priors rank highest."""
    ranked = sorted(range(len(priors)), key=lambda index: -priors[index])[:places]
    return sum(sorted(truth)[-places:]) - sum(truth[index] for index in ranked)


def cumulative_regret(
    places: int, seed: int, learners: int, decisions: int
) -> list[tuple[float, float]]:
    """Up to each decision, that of learning and that of the priors, summed over learners."""
    rng = random.Random(seed)
    learned, prior = [0.0] * decisions, 0.0
    for number in range(learners):
        priors = [rng.uniform(0.3, 0.6) for _ in range(6)]
        truth = around(priors, 0.2, rng)
        prior += regret_of_the_prior(priors, truth, places)
        learner, of = Learner(f"{number}", truth, rng), policy(priors, places, keep=0)
        for decision in range(decisions):
            learned[decision] += learner.step(of, answers=0.7)[0]
    return [
        (total, prior * decision) for decision, total in enumerate(itertools.accumulate(learned), 1)
    ]


# The seeds are the first ones, and all that were tried. Nothing is known in the first decisions:
# what exploring costs shows there, and needs many learners to be seen.
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("places", [1, 3])
def test_learning_costs_little_in_the_first_decisions(places: int, seed: int) -> None:
    regret = cumulative_regret(places, seed, learners=300, decisions=15)
    for decision, (learned, prior) in enumerate(regret, 1):
        assert learned <= MARGIN * prior, f"after {decision} decisions"
    learned, prior = regret[-1]
    assert learned < prior


def test_what_a_learner_answers_makes_recommendations_better_for_that_learner() -> None:
    regret = cumulative_regret(places=3, seed=0, learners=40, decisions=DECISIONS)
    for decision, (learned, prior) in enumerate(regret, 1):
        assert learned <= MARGIN * prior, f"after {decision} decisions"
    learned, prior = regret[-1]
    assert learned < prior / 2


@pytest.mark.parametrize("seed", range(2))
def test_what_a_deployment_learns_helps_people_who_never_answered(seed: int) -> None:
    rng = random.Random(seed)
    priors = [0.5, 0.5, 0.45, 0.45, 0.4, 0.4]
    learned, prior = [0.0] * DECISIONS, [0.0] * DECISIONS
    first = first_of_prior = 0.0
    for deployment in range(15):
        population = around(priors, 0.2, rng)
        of, log = policy(priors, places=2, keep=0), list[LoggedDecision]()
        while len(log) < DECISIONS:
            # Ten new learners, ten decisions each; then the policy is trained anew.
            for number in range(10):
                truth = around(population, 0.1, rng)
                learner = Learner(f"{deployment}-{len(log)}-{number}", truth, rng)
                for _ in range(10):
                    regret, line = learner.step(of)
                    learned[len(log)] += regret
                    prior[len(log)] += regret_of_the_prior(priors, truth, 2)
                    log.append(line)
            fitted = fit_policy(log, catalogue(priors), of.settings)
            of = policy(priors, places=2, learned=fitted, keep=0)
        for number in range(20):
            truth = around(population, 0.1, rng)
            first += Learner(f"new-{number}", truth, rng).step(of)[0]
            first_of_prior += regret_of_the_prior(priors, truth, 2)

    total = total_of_prior = 0.0
    for decision, (regret, base) in enumerate(zip(learned, prior, strict=True), 1):
        total, total_of_prior = total + regret, total_of_prior + base
        assert total <= MARGIN * total_of_prior, f"after {decision} decisions"
    assert total < total_of_prior
    assert first < first_of_prior, "somebody nobody knows is not served better"
