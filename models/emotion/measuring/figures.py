"""The figures of an evaluation, by format of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.emotion.artefact.card import EmotionCard
from models.emotion.labels import EMOTIONS, GOEMOTIONS
from models.emotion.serving.inference import Calibrated
from models.emotion.training.examples import Example
from models.evaluation.scores import (
    Bools,
    Floats,
    calibration_error,
    f1,
    pearson,
    precision_and_recall,
    reliability,
)

Format = Literal["goemotions", "emobank", "tsv"]
"""Of labelled texts: the network's own outputs are measured."""
MessageFormat = Literal["sign", "concern", "dialogues", "groups"]
"""Of messages: what follows from their readings is measured."""
BINS = 15
"""Of the calibration error of the most probable label."""
AXES = ("valence", "arousal", "dominance")


@dataclass(frozen=True, slots=True)
class EmotionFigures:
    """What `evaluate emotion` reports; a key that does not apply to the format is None.

    n: labelled texts
    macro_f1, macro_f1_at_half: mean over the labels that occur, at the card's thresholds, at .5
    ece: expected calibration error of the most probable label, BINS bins
    pearson_r: by valence, arousal, dominance
    top1, top3: share of texts with a true label first, or among the first three
    """

    n: int
    macro_f1: float | None = None
    macro_f1_at_half: float | None = None
    ece: float | None = None
    pearson_r: dict[str, float] | None = None
    top1: float | None = None
    top3: float | None = None
    per_class: dict[str, dict[str, Any]] | None = None

    def as_json(self) -> dict[str, Any]:
        """One object with every key."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Labelled:
    """Probabilities and truth of the labelled texts, for the figures and the pictures."""

    names: tuple[str, ...]
    probability: Floats  # (n, C)
    threshold: Floats  # (C,)
    truth: Bools  # (n, C)

    @property
    def reliability(self) -> list[dict[str, float]]:
        """Bins of the most probable label."""
        return reliability(*top_label(self.probability, self.truth), BINS)

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """(C, C) counts: row a true label, column the most probable one."""
        return confusion(self.probability, self.truth)


def label_names(form: Format) -> tuple[str, ...]:
    """The format's own labels."""
    return GOEMOTIONS if form == "goemotions" else tuple(str(e) for e in EMOTIONS)


def columns(card: EmotionCard, form: Format, calibrated: Calibrated) -> tuple[Floats, Floats]:
    """Probabilities (n, C) and thresholds (C,) in the order of the format's labels.

    An emotion that the artefact does not know has probability 0 and a threshold over 1.
    """
    c = card.calibration
    if form == "goemotions":
        return calibrated.goemotions, np.array(
            [c.goemotions_threshold.get(name, 0.5) for name in GOEMOTIONS]
        )
    probability = np.zeros((len(calibrated.emotions), len(EMOTIONS)))
    threshold = np.full(len(EMOTIONS), 1.1)
    for i, emotion in enumerate(card.emotions):
        at = EMOTIONS.index(emotion)
        probability[:, at] = calibrated.emotions[:, i]
        threshold[at] = c.emotions_threshold.get(emotion, 0.5)
    return probability, threshold


def truth_of(form: Format, examples: Sequence[Example]) -> tuple[Bools, Bools]:
    """(labelled (n,), truth (n, C)) of label formats."""
    names = label_names(form)
    truth = np.zeros((len(examples), len(names)), dtype=bool)
    labelled = np.zeros(len(examples), dtype=bool)
    for i, example in enumerate(examples):
        if form == "goemotions" and example.goemotions is not None:
            truth[i, list(example.goemotions)] = True
            labelled[i] = True
        elif form == "tsv" and example.emotions:
            truth[i] = [example.emotions.get(e, 0.0) > 0 for e in EMOTIONS]
            labelled[i] = True
    return labelled, truth


def labelled_part(
    card: EmotionCard, form: Format, examples: Sequence[Example], calibrated: Calibrated
) -> Labelled:
    """The labelled texts' probabilities and truth."""
    probability, threshold = columns(card, form, calibrated)
    labelled, truth = truth_of(form, examples)
    return Labelled(label_names(form), probability[labelled], threshold, truth[labelled])


def figures(
    card: EmotionCard, form: Format, examples: Sequence[Example], calibrated: Calibrated
) -> EmotionFigures:
    """Every figure that applies to the format."""
    if form == "emobank":
        return _pad_figures(examples, calibrated)
    return label_figures(labelled_part(card, form, examples, calibrated), ranked=form == "tsv")


def label_figures(part: Labelled, *, ranked: bool = False) -> EmotionFigures:
    """Of any labels; `ranked`: how often a true one is among the first, too."""
    if not len(part.truth):
        return EmotionFigures(0)
    occurs = part.truth.any(0)
    scores = f1(part.probability >= part.threshold, part.truth)
    at_half = f1(part.probability >= 0.5, part.truth)
    return EmotionFigures(
        n=len(part.truth),
        macro_f1=float(scores[occurs].mean()),
        macro_f1_at_half=float(at_half[occurs].mean()),
        ece=top_label_error(part.probability, part.truth),
        top1=top_k(part.probability, part.truth, 1) if ranked else None,
        top3=top_k(part.probability, part.truth, 3) if ranked else None,
        per_class=per_class(part.names, part.probability, part.threshold, part.truth),
    )


def _pad_figures(examples: Sequence[Example], calibrated: Calibrated) -> EmotionFigures:
    rated = [i for i, example in enumerate(examples) if example.pad is not None]
    if not rated:
        return EmotionFigures(0)
    truth = np.array([examples[i].pad for i in rated])
    predicted = calibrated.pad[rated]
    r = {a: pearson(predicted[:, k], truth[:, k], flat=0.0) for k, a in enumerate(AXES)}
    return EmotionFigures(n=len(rated), pearson_r=r)


def top_label(probability: Floats, truth: Bools) -> tuple[Floats, Bools]:
    """Confidence of the most probable label, and whether it is among the true ones.

    Args: probability, truth: (n, C).
    """
    best = probability.argmax(1)
    rows = np.arange(len(best))
    return probability[rows, best], truth[rows, best]


def top_label_error(probability: Floats, truth: Bools) -> float:
    """Expected calibration error of the most probable label. (n, C) each."""
    return calibration_error(*top_label(probability, truth), BINS)


def per_class(
    names: Sequence[str], probability: Floats, threshold: Floats, truth: Bools
) -> dict[str, dict[str, Any]]:
    """Precision, recall, F1, F1 at .5, threshold and support of every label."""
    predicted = probability >= threshold
    scores, scores_at_half = f1(predicted, truth), f1(probability >= 0.5, truth)
    precision, recall = precision_and_recall(predicted, truth)
    return {
        name: {
            "precision": float(precision[i]),
            "recall": float(recall[i]),
            "f1": float(scores[i]),
            "f1_at_half": float(scores_at_half[i]),
            "threshold": float(threshold[i]),
            "support": int(truth[:, i].sum()),
        }
        for i, name in enumerate(names)
    }


def top_k(probability: Floats, truth: Bools, k: int) -> float:
    """Share of texts with a true label among the k most probable."""
    best = np.argsort(-probability, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(truth, best, axis=1).any(1).mean())


def confusion(probability: Floats, truth: Bools) -> npt.NDArray[np.int64]:
    """(C, C) counts: row a true label, column the most probable one."""
    table = np.zeros((truth.shape[1],) * 2, dtype=np.int64)
    best = probability.argmax(1)
    for row, label in zip(*np.nonzero(truth), strict=True):
        table[label, best[row]] += 1
    return table
