"""Which provider first? Thompson sampling over the qualities of their answers.

Each quality is a Beta distribution of its own, so that feedback, which comes minutes
later and rarely, need not be joined with the answer's speed. A provider's score is the
weighted mean of one sample from each; the order of the scores is the choice. What is
known well wins by its mean; what is known badly is tried now and then.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from models.tutor.providers.config import ChoiceSettings, PriorSettings
from models.tutor.providers.evidence import NOTHING, Known, Quality, Situation, cells

_EDGE: Final = 1e-3
"""Means are kept this far from 0 and 1: a Beta distribution needs both its parameters."""

_CHOSEN_BY: Final = (Quality.SUCCESS, Quality.SPEED, Quality.THRIFT, Quality.HELPFUL)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A provider, and what its settings say of it.

    Attributes:
        typical_cost: millionths of a dollar that a typical answer costs.
    """

    name: str
    prior: PriorSettings
    typical_cost: float


def speed_score(seconds: float, settings: ChoiceSettings) -> float:
    """Of a time to the first text, >= 0: 1 at once, 1/e at the scale."""
    return math.exp(-max(0.0, seconds) / settings.speed_scale)


def thrift_score(micros: float, settings: ChoiceSettings) -> float:
    """Of a cost in millionths of a dollar, >= 0: 1 for nothing, 1/e at the scale."""
    return math.exp(-max(0.0, micros) / settings.cost_scale)


def assumed(candidate: Candidate, quality: Quality, settings: ChoiceSettings) -> float:
    """The mean of a quality before anything is known, in (0, 1)."""
    match quality:
        case Quality.SUCCESS:
            mean = candidate.prior.success
        case Quality.HELPFUL:
            mean = candidate.prior.helpful
        case Quality.SPEED:
            mean = speed_score(candidate.prior.first_text, settings)
        case Quality.THRIFT:
            mean = thrift_score(candidate.typical_cost, settings)
        case Quality.FIRST_TEXT:
            raise ValueError("the time to the first text is no share; see hedge_delay")
    return min(max(mean, _EDGE), 1.0 - _EDGE)


def belief(
    candidate: Candidate,
    situation: Situation,
    quality: Quality,
    *,
    known: Known,
    now: float,
    settings: ChoiceSettings,
) -> tuple[float, float]:
    """Parameters (alpha, beta), both > 0, of what is believed of one quality."""
    mean, weight = assumed(candidate, quality, settings), candidate.prior.weight
    alpha = beta = 0.0
    for cell in cells(candidate.name, situation, quality):
        found = known.get(cell, NOTHING).faded(now, settings.half_life)
        alpha = mean * weight + found.total
        beta = (1.0 - mean) * weight + max(0.0, found.weight - found.total)
        # The next, narrower cell assumes what this one has learned.
        mean = min(max(alpha / (alpha + beta), _EDGE), 1.0 - _EDGE)
        weight = settings.pooling
    return alpha, beta


def ranked(
    candidates: Sequence[Candidate],
    situation: Situation,
    *,
    known: Known,
    now: float,
    settings: ChoiceSettings,
    rng: random.Random,
) -> list[str]:
    """Names of the candidates, the one to ask first at the front."""

    def score(candidate: Candidate) -> float:
        total = 0.0
        for quality in _CHOSEN_BY:
            alpha, beta = belief(
                candidate, situation, quality, known=known, now=now, settings=settings
            )
            total += settings.worth.of(quality) * rng.betavariate(alpha, beta)
        return total

    scores: Mapping[str, float] = {each.name: score(each) for each in candidates}
    return sorted(scores, key=lambda name: scores[name], reverse=True)


def hedge_delay(
    candidate: Candidate,
    situation: Situation,
    quantile: float,
    *,
    known: Known,
    now: float,
    settings: ChoiceSettings,
) -> float:
    """Seconds by which the given share of this provider's answers has begun.

    Times to the first text are taken as log-normal; the provider's own over all tasks,
    as it is the provider's queue that makes them, and the prior for as long as there are few.
    """
    cell = next(cells(candidate.name, situation, Quality.FIRST_TEXT))
    found = known.get(cell, NOTHING).faded(now, settings.half_life)
    trust = candidate.prior.weight
    prior_mean = math.log(candidate.prior.first_text)
    weight = trust + found.weight
    mean = (trust * prior_mean + found.total) / weight
    # Second moments are pooled around the common mean; rounding may leave a hair below zero.
    moment = trust * (settings.spread**2 + prior_mean**2) + found.square
    spread = math.sqrt(max(0.0, moment / weight - mean * mean))
    return math.exp(mean + NormalDist().inv_cdf(quantile) * spread)
