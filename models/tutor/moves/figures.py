"""How good predictions are: accuracy, macro-F1, intervals over dialogues, annotators' agreement."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from models.tutor.moves.features import Floats

DRAWS = 2_000
SEED = 20_261_121
Interval = tuple[float, float]
Label = TypeVar("Label", bound=str)


class OfClass(BaseModel):
    """One label's figures. f1 is 0 where it was neither predicted nor right."""

    model_config = ConfigDict(frozen=True)

    turns: int
    precision: float
    recall: float
    f1: float


class Agreement(BaseModel):
    """How often two annotators of the same moment chose the same label.

    pairs: both labels named; every pair of annotations of one conversation counts
    commonest: how often the commonest label of the file equals a label of these pairs
    """

    model_config = ConfigDict(frozen=True)

    pairs: int
    rate: float
    interval: Interval
    commonest: float


class Figures(BaseModel):
    """Of n labelled turns. Intervals are 95%, by bootstrap over problems or sessions, not turns.

    dialogues: distinct problems (MathDial) or sessions (Bridge)
    gain: accuracy less that of always saying `baseline`
    macro_f1: mean over the labels that occur
    """

    model_config = ConfigDict(frozen=True)

    turns: int
    dialogues: int
    accuracy: float
    interval: Interval
    macro_f1: float
    log_loss: float
    baseline: str
    baseline_accuracy: float
    gain: float
    gain_interval: Interval
    per_class: dict[str, OfClass]


@dataclass(frozen=True, slots=True)
class Judged:
    """One labelled turn: whose dialogue, what is right, each label's probability."""

    group: Hashable
    gold: str
    probabilities: dict[str, float]

    @property
    def predicted(self) -> str:
        """The most probable label."""
        return most_probable(self.probabilities)


def most_probable(probabilities: dict[Label, float]) -> Label:
    """The first of the most probable ones."""
    return max(probabilities, key=probabilities.__getitem__)


def figures(judged: Sequence[Judged], baseline: str | None = None) -> Figures:
    """Raises ValueError where there is nothing to judge.

    baseline: always say this; by default the commonest label of these very turns
    """
    if not judged:
        raise ValueError("no labelled turn to judge")
    always = baseline or Counter(j.gold for j in judged).most_common(1)[0][0]
    right = np.array([j.predicted == j.gold for j in judged], dtype=float)
    by_baseline = np.array([j.gold == always for j in judged], dtype=float)
    groups = [j.group for j in judged]
    classes = {name: _of_class(judged, name) for name in judged[0].probabilities}
    seen = [c.f1 for c in classes.values() if c.turns]
    return Figures(
        turns=len(judged),
        dialogues=len(set(groups)),
        accuracy=float(right.mean()),
        interval=interval(right, groups),
        macro_f1=float(np.mean(seen)) if seen else 0.0,
        log_loss=float(-np.mean([np.log(j.probabilities.get(j.gold, 0) + 1e-12) for j in judged])),
        baseline=always,
        baseline_accuracy=float(by_baseline.mean()),
        gain=float((right - by_baseline).mean()),
        gain_interval=interval(right - by_baseline, groups),
        per_class=classes,
    )


def _of_class(judged: Sequence[Judged], name: str) -> OfClass:
    hits = sum(j.gold == name == j.predicted for j in judged)
    turns = sum(j.gold == name for j in judged)
    said = sum(j.predicted == name for j in judged)
    return OfClass(
        turns=turns,
        precision=hits / said if said else 0.0,
        recall=hits / turns if turns else 0.0,
        f1=2 * hits / (turns + said) if turns + said else 0.0,
    )


def interval(values: Floats, groups: Sequence[Hashable]) -> Interval:
    """95% of the mean of `values` when whole groups are drawn with replacement."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = np.array([number[group] for group in groups])
    sums, counts = np.bincount(index, values), np.bincount(index)
    drawn = np.random.default_rng(SEED).integers(0, len(sums), (DRAWS, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5])
    return float(low), float(high)


def agreement(labels: Sequence[tuple[Hashable, str]], commonest: str) -> Agreement | None:
    """Of (conversation, label) pairs; None where no conversation was annotated twice."""
    by_conversation: dict[Hashable, list[str]] = defaultdict(list)
    for conversation, label in labels:
        by_conversation[conversation].append(label)
    same, groups, theirs = [], [], []
    for conversation, chosen in by_conversation.items():
        for i, one in enumerate(chosen):
            for other in chosen[i + 1 :]:
                same.append(float(one == other))
                groups.append(conversation)
                theirs += [one == commonest, other == commonest]
    if not same:
        return None
    return Agreement(
        pairs=len(same),
        rate=float(np.mean(same)),
        interval=interval(np.array(same), groups),
        commonest=float(np.mean(theirs)),
    )
