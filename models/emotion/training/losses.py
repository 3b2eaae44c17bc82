"""Multi-task losses with masks: a source only teaches what it annotates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from models.emotion.labels import GOEMOTIONS
from models.emotion.network.network import Logits
from models.emotion.serving.inference import CONCERNS
from models.emotion.training.examples import Example
from models.emotion.training.recipe import LossWeights
from schemas.topics.emotions import Emotion
from schemas.vocabulary import Concern

UNKNOWN = float("nan")


class Targets(NamedTuple):
    """What is known of n texts; NaN where nothing is."""

    emotions: torch.Tensor  # (n, C)
    goemotions: torch.Tensor  # (n, 28)
    pad: torch.Tensor  # (n, 3) in [0, 1]
    urgency: torch.Tensor  # (n,) in [0, 1]
    authored: torch.Tensor  # (n,) bool
    taught_pad: torch.Tensor  # (n, 3) in [0, 1], a teacher's
    taught_goemotions: torch.Tensor  # (n, 28) in [0, 1], a teacher's
    sign: torch.Tensor  # (n,) -1, 0, 1
    concern: torch.Tensor  # (n, 1 + kinds) any danger, then each kind
    speaking: torch.Tensor  # (n, 1)


def targets(examples: Sequence[Example], emotions: Sequence[Emotion]) -> Targets:
    """Tensors of the examples' labels, for the classes of the artefact."""
    n = len(examples)
    result = Targets(
        torch.full((n, len(emotions)), UNKNOWN),
        torch.full((n, len(GOEMOTIONS)), UNKNOWN),
        torch.full((n, 3), UNKNOWN),
        torch.full((n,), UNKNOWN),
        torch.zeros(n, dtype=torch.bool),
        torch.full((n, 3), UNKNOWN),
        torch.full((n, len(GOEMOTIONS)), UNKNOWN),
        torch.full((n,), UNKNOWN),
        torch.full((n, CONCERNS), UNKNOWN),
        torch.full((n, 1), UNKNOWN),
    )
    for i, example in enumerate(examples):
        for c, emotion in enumerate(emotions):
            result.emotions[i, c] = example.emotions.get(emotion, UNKNOWN)
        if example.goemotions is not None:
            result.goemotions[i] = 0.0
            result.goemotions[i, list(example.goemotions)] = 1.0
        if example.pad is not None:
            result.pad[i] = torch.tensor(example.pad)
        if example.urgency is not None:
            result.urgency[i] = example.urgency
        if example.sign is not None:
            result.sign[i] = example.sign
        if example.concern is not None:
            result.concern[i, 0] = example.concern
            if example.concerns is not None or not example.concern:
                kinds = example.concerns or ()
                result.concern[i, 1:] = torch.tensor([float(k in kinds) for k in Concern])
        if example.speaking is not None:
            result.speaking[i, 0] = example.speaking
        result.authored[i] = bool(example.authored) and bool(example.emotions)
    return result


def pad_variance(known: torch.Tensor) -> torch.Tensor:
    """Variance of valence, arousal, dominance (3,); makes their errors comparable."""
    rows = known[~known.isnan().any(1)]
    return rows.var(0) if len(rows) > 1 else torch.ones(3)


class Variances(NamedTuple):
    """Of the continuous targets among the training texts."""

    pad: torch.Tensor  # (3,)
    urgency: torch.Tensor  # ()


def variances(known: Targets) -> Variances:
    """Make the tasks' squared errors comparable; 1 where fewer than two texts are rated."""
    graded = known.urgency[~known.urgency.isnan()]
    return Variances(
        pad_variance(known.pad), graded.var() if len(graded) > 1 else torch.tensor(1.0)
    )


def loss(
    logits: Logits, target: Targets, weights: LossWeights, variance: Variances
) -> torch.Tensor:
    """The weighted sum of the tasks' losses over this batch."""
    total = weights.goemotions * _binary(logits.goemotions, target.goemotions)
    total = total + weights.emotions * _binary(logits.emotions, target.emotions)
    total = total + weights.pad * _squared(logits.pad, target.pad, variance.pad)
    total = total + weights.taught_pad * _squared(logits.pad, target.taught_pad, variance.pad)
    soft = _binary(logits.goemotions, target.taught_goemotions)
    total = total + weights.taught_goemotions * soft
    total = total + weights.sign * _signed(logits.pad[:, 0], target.sign, weights)
    if logits.concern.shape[1]:
        total = total + weights.concern * _binary(logits.concern, target.concern)
    if logits.speaking.shape[1]:
        total = total + weights.speaking * _binary(logits.speaking, target.speaking)
    graded = ~target.urgency.isnan()
    if graded.any():
        error = torch.sigmoid(logits.urgency[graded]) - target.urgency[graded]
        total = total + weights.urgency * (error**2).sum() / variance.urgency / len(graded)
    if target.authored.any():
        chosen = target.emotions[target.authored]
        share = chosen / chosen.sum(1, keepdim=True)
        log_order = functional.log_softmax(logits.emotions[target.authored], 1)
        total = total - weights.order * (share * log_order).sum() / len(target.authored)
    return total


def _signed(logit: torch.Tensor, target: torch.Tensor, weights: LossWeights) -> torch.Tensor:
    """Cross entropy of three ordered signs, whose cuts on valence are the neutral band's edges.

    An ordinal regression with fixed cuts (McCullagh, 1980): it moves a valence over the edge, and
    no further than it must. EmoBank's ratings keep their scale. (n,) each.
    """
    known = ~target.isnan()
    if not known.any():
        return logit.sum() * 0.0
    valence = torch.sigmoid(logit[known])
    low, high = weights.sign_band
    above = functional.logsigmoid((valence - high) / weights.sign_width)
    below = functional.logsigmoid((low - valence) / weights.sign_width)
    between = torch.log((1 - above.exp() - below.exp()).clamp_min(1e-6))
    wanted = target[known]
    chosen = torch.where(wanted > 0, above, torch.where(wanted < 0, below, between))
    return -chosen.sum() / target.numel()


def _squared(logits: torch.Tensor, target: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Squared error over the variance, averaged as `_binary` is; (n, 3) each."""
    known = ~target.isnan().any(1)
    error = (torch.sigmoid(logits[known]) - target[known]) ** 2 / variance
    return error.sum() / target.numel()


def _binary(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy, averaged over the columns and over all texts of the batch.

    Over all texts, not the labelled ones: a source's weight then follows from how
    often its texts are drawn, not from which texts they meet in a batch.
    """
    known = ~target.isnan()
    if not known.any():
        return logits.sum() * 0.0
    cells = functional.binary_cross_entropy_with_logits(
        logits[known], target[known], reduction="sum"
    )
    return cells / target.numel()
