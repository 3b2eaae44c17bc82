"""Catalogues, policies and learners who answer, for these tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from models.learner.recommending.offline.log import Answered, LoggedDecision
from models.learner.recommending.serving.advising import (
    Eligible,
    advise,
    decision_made,
    recommendations,
)
from models.learner.recommending.serving.catalogue import Catalogue
from models.learner.recommending.serving.expectations import LearnedPolicy
from models.learner.recommending.serving.learning import answer
from models.learner.recommending.serving.memory import Advice
from models.learner.recommending.serving.settings import Recommending, RecommendingSettings
from models.words.words import load

NOW = 1_790_000_000_000
WORDS = load()
MINUTE = 60_000
NOTHING_KNOWN = dict[str, float]().get
OUTCOMES: list[dict[str, Any]] = [
    {"name": "helpful", "reward": 1, "weight": 1},
    {"name": "not_helpful", "reward": 0, "weight": 1},
    {"name": "applied", "reward": 0.7, "weight": 0.5, "applies": True},
    {"name": "dismissed", "reward": 0, "weight": 0.5, "refuses": True},
]


def catalogue(priors: Sequence[float], strength: float = 40, **document: Any) -> Catalogue:
    """Actions a0, a1, ... with these priors; their goal is that `focus` rises."""
    actions = [
        {
            "name": f"a{index}",
            "action": f"do-{index}",
            "prior": {"mean": mean, "strength": strength},
            "goal": {"fact": "focus", "towards": "up"},
            "when": [[{"fact": "valence", "below": 1}]],
            "reason": "r",
        }
        for index, mean in enumerate(priors)
    ]
    context = [{"fact": "focus"}, {"fact": "valence"}]
    return Catalogue.model_validate(
        {"actions": actions, "outcomes": OUTCOMES, "context": context, **document}
    )


def policy(
    priors: Sequence[float] = (0.5, 0.4, 0.3),
    places: int = 2,
    learned: LearnedPolicy | None = None,
    catalogue_: Catalogue | None = None,
    **settings: Any,
) -> Recommending:
    return Recommending.of(
        RecommendingSettings(**settings), places, catalogue_ or catalogue(priors), learned
    )


def eligible(of: Recommending, *names: str) -> list[Eligible]:
    return [
        Eligible(action, 0.9, lambda: ("because",))
        for action in of.catalogue.actions
        if not names or action.name in names
    ]


def seed(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def decide(
    advice: Advice,
    of: Recommending,
    *names: str,
    now: int = NOW,
    cause: object = 0,
    facts: dict[str, float] | None = None,
) -> Advice:
    known = facts or {}
    return advise(advice, eligible(of, *names), known.get, seed(cause), now=now, policy=of)


class Learner:
    """Somebody to whom each action is helpful with a probability of their own."""

    def __init__(self, name: str, truth: Sequence[float], rng: random.Random) -> None:
        self.name = name
        self.truth = {f"a{index}": value for index, value in enumerate(truth)}
        self.advice = Advice()
        self.decisions = 0
        self._rng = rng

    def step(self, of: Recommending, answers: float = 1.0) -> tuple[float, LoggedDecision]:
        """One decision, answered with this probability: its expected regret, and its log line."""
        self.decisions += 1
        now = NOW + self.decisions * 10 * MINUTE
        identity = seed(self.name, self.decisions)
        self.advice = advise(self.advice, eligible(of), NOTHING_KNOWN, identity, now=now, policy=of)
        made = decision_made(self.advice, identity, self.name, of)
        assert made is not None
        shown: list[Answered] = []
        for one in recommendations(self.advice, eligible(of), self.name, of, WORDS):
            assert one.variant is not None
            outcomes: tuple[str, ...] = ()
            if self._rng.random() < answers:
                is_helpful = self._rng.random() < self.truth[one.variant]
                outcomes = ("helpful" if is_helpful else "not_helpful",)
                self.advice = answer(
                    self.advice, self.name, one.id, outcomes[0], now=now, policy=of
                )
            shown.append(Answered(id=one.id, variant=one.variant, outcomes=outcomes))
        expected = sum(one.propensity * self.truth[one.variant] for one in made.candidates)
        best = sum(sorted(self.truth.values())[-of.places :])
        logged = LoggedDecision(
            decision=made.id,
            learner=self.name,
            decided_at=made.decided_at,
            policy_version=made.policy_version,
            context=made.context,
            candidates=made.candidates,
            shown=tuple(shown),
        )
        return best - expected, logged
