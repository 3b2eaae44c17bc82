"""After training: calibration and thresholds from dev, and the figures for the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Calibration, CardFigures, EmotionCard
from models.emotion.labels import GOEMOTIONS
from models.emotion.measuring.figures import (
    Format,
    Labelled,
    figures,
    label_figures,
    top_label_error,
    truth_of,
)
from models.emotion.serving.engine import network_engine, read_all
from models.emotion.serving.inference import Calibrated, Floats, Output, calibrate, probabilities
from models.emotion.training.examples import Example
from models.emotion.training.sources import SplitSource
from models.emotion.training.thresholds import f1_at_half, fit_cuts, fit_decisive, fit_platt
from models.evaluation.scores import f1, spearman

BATCH_TOKENS = 4_096
FOLDS = 5
SERVED = "the 41 on goemotions (dev)"
"""Figures of the head that readings carry; GoEmotions' own 28 labels have a head of their own."""


def fit_card(
    artefact: Artefact, sources: Sequence[SplitSource], phase: Callable[[str], None]
) -> EmotionCard:
    """The card with calibration and figures of the float32 network, from the sources' dev parts."""
    phase("calibrating")
    card = artefact.card
    dev = [example for source in sources for example in source.dev]
    engine = network_engine(
        artefact, device="cpu", max_tokens=card.max_tokens, batch_tokens=BATCH_TOKENS
    )
    raw = read_all(engine, [e.text for e in dev], card)
    card = card.model_copy(update={"calibration": fit_calibration(card, dev, raw)})
    return card.model_copy(update={"metrics": measured(card, sources, raw)})


def measured(
    card: EmotionCard, sources: Sequence[SplitSource], raw: Output
) -> dict[str, CardFigures]:
    """The card's figures. raw: of all sources' dev texts, one source after the other."""
    found: dict[str, CardFigures] = {}
    at = 0
    for source in sources:
        rows = slice(at, at + len(source.dev))
        at += len(source.dev)
        own = Output(*(t[rows] for t in raw))
        part = calibrate(card, own)
        form = _format(source.name)
        if form and source.dev:
            found[f"{source.name} (dev)"] = figures(card, form, source.dev, part).as_json()
        if form == "goemotions":
            found[f"{source.name} (dev)"] |= cross_fitted(source.dev, own)
            found[SERVED] = served_figures(card, source.dev, part)
        if source.name == "forum_urgency":
            found[f"{source.name} (dev)"] = _urgency_figures(source.dev, own)
        elif form is None and source.dev:
            found[f"{source.name} (dev)"] = _binary_figures(card, source.dev, part)
    return found


def fit_calibration(card: EmotionCard, dev: Sequence[Example], raw: Output) -> Calibration:
    """Temperatures and shifts by likelihood, thresholds by F1; on dev texts that know the class."""
    logits = raw.emotions.astype(np.float64)
    value = np.array([[e.emotions.get(c, np.nan) for c in card.emotions] for e in dev])
    known, truth = ~np.isnan(value), np.nan_to_num(value) > 0.5
    # A class that no dev text has keeps its place: no shift could be learned for it.
    temperature, served_shift = fit_platt(logits, truth, known & truth.any(0))
    own_rows, own_truth = truth_of("goemotions", dev)
    own_logits = raw.goemotions.astype(np.float64)[own_rows]
    own_truth = own_truth[own_rows]
    own, shift = fit_decisive(own_logits, own_truth)
    cuts = probabilities(fit_cuts(logits, truth, known), temperature, served_shift)
    own_cuts = probabilities(fit_cuts(own_logits, own_truth), own, shift)
    return Calibration(
        emotions_temperature=temperature,
        goemotions_temperature=own,
        emotions_shift=_named((str(c) for c in card.emotions), served_shift),
        goemotions_shift=dict(zip(GOEMOTIONS, shift.tolist(), strict=True)),
        emotions_threshold=_named((str(c) for c in card.emotions), cuts),
        goemotions_threshold=_named(GOEMOTIONS, own_cuts),
    )


def cross_fitted(dev: Sequence[Example], raw: Output) -> CardFigures:
    """GoEmotions' figures with each fifth's calibration and thresholds from the other four.

    The plain dev figures are of the very rows that calibration and thresholds were chosen on;
    these are not, and so the better guess at unseen rows.
    """
    labelled, truth = truth_of("goemotions", dev)
    logits, truth = raw.goemotions.astype(np.float64)[labelled], truth[labelled]
    if len(truth) < FOLDS:
        return {}
    fold = np.arange(len(truth)) % FOLDS
    scores, predicted = np.zeros_like(logits), np.zeros_like(truth)
    for use in (fold == number for number in range(FOLDS)):
        fit = ~use
        temperature, shift = fit_decisive(logits[fit], truth[fit])
        scores[use] = probabilities(logits[use], temperature, shift)
        cuts = fit_cuts(logits[fit], truth[fit])
        predicted[use] = logits[use] >= np.nan_to_num(cuts, nan=np.inf)
    occurs = truth.any(0)
    return {
        "macro_f1_cross_fitted": float(f1(predicted, truth)[occurs].mean()),
        "macro_f1_at_half_cross_fitted": f1_at_half(scores, truth),
        "ece_cross_fitted": top_label_error(scores, truth),
    }


def served_figures(
    card: EmotionCard, dev: Sequence[Example], calibrated: Calibrated
) -> CardFigures:
    """Of the head that readings carry, on the emotions that GoEmotions annotates."""
    at = [i for i, c in enumerate(card.emotions) if any(c in e.emotions for e in dev)]
    rows = [n for n, e in enumerate(dev) if e.emotions]
    names = [card.emotions[i] for i in at]
    part = Labelled(
        names=tuple(str(c) for c in names),
        probability=calibrated.emotions[np.ix_(rows, at)],
        threshold=np.array([card.calibration.emotions_threshold.get(c, 0.5) for c in names]),
        truth=np.array([[dev[n].emotions.get(c, 0.0) > 0.5 for c in names] for n in rows]),
    )
    return label_figures(part).as_json()


def _named(names: Iterable[str], thresholds: Floats) -> dict[str, float]:
    """.5 for a label that never occurs."""
    return dict(zip(names, np.nan_to_num(thresholds, nan=0.5).tolist(), strict=True))


def _format(source: str) -> Format | None:
    forms: dict[str, Format] = {"goemotions": "goemotions", "emobank": "emobank", "corpus": "tsv"}
    return forms.get(source)


def _urgency_figures(dev: Sequence[Example], raw: Output) -> CardFigures:
    """How well the posts' order by urgency is read from the affect embedding."""
    graded = [i for i, e in enumerate(dev) if e.urgency is not None]
    if len(graded) < 2:
        return {"n": len(graded), "spearman": None}
    truth = np.array([dev[i].urgency for i in graded], dtype=np.float64)
    return {
        "n": len(graded),
        "spearman": spearman(raw.urgency[graded].astype(np.float64), truth, flat=0.0),
    }


def _binary_figures(
    card: EmotionCard, dev: Sequence[Example], calibrated: Calibrated
) -> CardFigures:
    """Area under the ROC curve of each class that a small source annotates."""
    result: dict[str, float] = {}
    for i, emotion in enumerate(card.emotions):
        rows = [n for n, e in enumerate(dev) if emotion in e.emotions]
        truth = np.array([dev[n].emotions[emotion] > 0.5 for n in rows], dtype=bool)
        if truth.any() and not truth.all():
            score = calibrated.emotions[rows, i]
            above = (score[truth][:, None] > score[~truth][None, :]).mean()
            equal = (score[truth][:, None] == score[~truth][None, :]).mean()
            result[str(emotion)] = float(above + equal / 2)
    return {"n": len(dev), "auc": result}
