"""How good predicted moves are: accuracy, F1, and intervals over dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation.bootstrap import mean_interval
from models.evaluation.scores import f1, precision_and_recall
from models.tutor.moves.serving.card import MoveFigures, OfClass
from models.tutor.moves.serving.dialogue import MOVES, Move

DRAWS = 2_000
SEED = 20_261_121


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled turn: whose dialogue, what is right, each move's probability."""

    group: str
    gold: Move
    probabilities: dict[Move, float]


def most_probable(probabilities: dict[Move, float]) -> Move:
    """The first of the most probable ones."""
    return max(probabilities, key=probabilities.__getitem__)


def figures(judged: Sequence[Judged]) -> MoveFigures:
    """The baseline always says the commonest move of these turns.

    Raises ValueError where there is nothing to judge.
    """
    if not judged:
        raise ValueError("no labelled turn to judge")
    always = Counter(j.gold for j in judged).most_common(1)[0][0]
    predicted = np.array(
        [[move is most_probable(j.probabilities) for move in MOVES] for j in judged]
    )
    truth = np.array([[move is j.gold for move in MOVES] for j in judged])
    right = (predicted & truth).any(1).astype(float)
    by_baseline = np.array([j.gold is always for j in judged], dtype=float)
    groups = [j.group for j in judged]
    scores, occurs = f1(predicted, truth), truth.any(0)
    precision, recall = precision_and_recall(predicted, truth)
    return MoveFigures(
        turns=len(judged),
        dialogues=len(set(groups)),
        accuracy=float(right.mean()),
        interval=mean_interval(right, groups, resamples=DRAWS, seed=SEED),
        macro_f1=float(scores[occurs].mean()),
        log_loss=float(-np.mean([np.log(j.probabilities[j.gold] + 1e-12) for j in judged])),
        baseline=always,
        baseline_accuracy=float(by_baseline.mean()),
        gain=float((right - by_baseline).mean()),
        gain_interval=mean_interval(right - by_baseline, groups, resamples=DRAWS, seed=SEED),
        per_class={
            move.value: OfClass(
                turns=int(truth[:, k].sum()),
                precision=float(precision[k]),
                recall=float(recall[k]),
                f1=float(scores[k]),
            )
            for k, move in enumerate(MOVES)
        },
    )
