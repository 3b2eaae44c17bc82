"""After training: calibration and thresholds from dev, and the figures for the card."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Band, Calibration, CardFigures, EmotionCard
from models.emotion.config import EmotionSettings
from models.emotion.labels import GOEMOTIONS
from models.emotion.measuring.counterfactuals import Sentence, load_groups
from models.emotion.measuring.figures import (
    Format,
    Labelled,
    figures,
    label_figures,
    top_label_error,
    truth_of,
)
from models.emotion.measuring.groups import group_figures
from models.emotion.model_text import model_text
from models.emotion.serving.engine import Engine, network_engine, read_all
from models.emotion.serving.inference import (
    Calibrated,
    Floats,
    Output,
    Raw,
    calibrate,
    probabilities,
)
from models.emotion.training.authored_figures import (
    concern_figures,
    sign_figures,
    speaking_figures,
)
from models.emotion.training.examples import Example
from models.emotion.training.joining import fit_band, fit_joining
from models.emotion.training.recipe import LossWeights
from models.emotion.training.sources import SplitSource
from models.emotion.training.thresholds import f1_at_half, fit_cuts, fit_decisive, fit_platt
from models.evaluation.scores import f1, spearman

BATCH_TOKENS = 4_096
FOLDS = 5
PUBLIC: Sequence[str] = ("goemotions", "forum_urgency")
AUTHORED = ("signs", "concern", "speaking")
"""Sources with figures of their own, by kind."""
GROUPS = "groups (authored)"
GROUP_SENTENCES = 5_000
"""Of the groups' sentences, read for the card, at most."""
SERVED = "the 41 on goemotions (dev)"
"""Figures of the head that readings carry; GoEmotions' own 28 labels have a head of their own."""


def groups_for_card(folder: Path) -> list[Sentence]:
    """An even sample of its sentences; none without the folder. Raises DataProblem, OSError."""
    return load_groups(folder).sample(GROUP_SENTENCES) if folder.is_dir() else []


def fit_card(
    artefact: Artefact,
    sources: Sequence[SplitSource],
    weights: LossWeights,
    phase: Callable[[str], None],
    groups: Sequence[Sentence] = (),
) -> EmotionCard:
    """The card with calibration and figures of the float32 network, from the sources' dev parts.

    How windows are joined comes from long texts that train. groups: what the model is to read
    alike whoever is named; not measured without any.
    """
    phase("joining windows")
    joining = fit_joining(artefact, [e for s in sources for e in s.whole], weights)
    card = artefact.card.model_copy(update={"joining": joining})
    artefact = replace(artefact, card=card)
    phase("calibrating")
    dev = [example for source in sources for example in source.dev]
    engine = network_engine(
        artefact,
        device="cpu",
        max_tokens=card.max_tokens,
        max_windows=EmotionSettings().max_windows,
        batch_tokens=BATCH_TOKENS,
    )
    raw = read_all(engine, [model_text(e.text) for e in dev], card)
    signed = [n for n, e in enumerate(dev) if e.sign is not None]
    band = fit_band(
        probabilities(raw.pad[signed, 0], 1.0),
        np.array([float(dev[n].sign or 0) for n in signed]),
        weights.sign_band,
    )
    card = card.model_copy(
        update={"calibration": fit_calibration(card, dev, raw), "neutral_band": band}
    )
    metrics = measured(card, sources, raw, weights.sign_band)
    if groups:
        phase("comparing groups")
        metrics[GROUPS] = _of_groups(card, engine, groups)
    return card.model_copy(update={"metrics": metrics})


def measured(
    card: EmotionCard, sources: Sequence[SplitSource], raw: Output, around: Band
) -> dict[str, CardFigures]:
    """The card's figures.

    raw: of all sources' dev texts, one source after the other.
    around: where a neutral band is looked for.
    """
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
        if source.name in AUTHORED:
            continue
        if source.name == "forum_urgency":
            found[f"{source.name} (dev)"] = _urgency_figures(source.dev, own)
        elif form is None and source.dev:
            found[f"{source.name} (dev)"] = _binary_figures(card, source.dev, part)
    return found | _of_authored(card, sources, raw, around)


def _of_authored(
    card: EmotionCard, sources: Sequence[SplitSource], raw: Output, around: Band
) -> dict[str, CardFigures]:
    """Of the sets by kind, each with its dev part; danger on public texts, too."""
    c = card.calibration
    ends = np.cumsum([len(source.dev) for source in sources])
    own = {
        source.name: Output(*(t[end - len(source.dev) : end] for t in raw))
        for source, end in zip(sources, ends.tolist(), strict=True)
    }
    danger = {
        name: probabilities(part.concern[:, 0], c.concern_temperature, c.concern_shift)
        for name, part in own.items()
        if card.shape.concern
    }
    found: dict[str, CardFigures] = {}
    for source in sources:
        if not source.dev or source.name not in AUTHORED:
            continue
        name, part = f"{source.name} (dev, authored)", own[source.name]
        if source.name == "signs":
            found[name] = sign_figures(card, source.dev, part, around)
        if source.name == "concern" and danger:
            public: dict[str, Floats] = {one: danger[one] for one in PUBLIC if one in danger}
            found[name] = concern_figures(danger["concern"], source.dev, public)
        if source.name == "speaking" and card.shape.speaking:
            speaks = probabilities(part.speaking[:, 0], c.speaking_temperature, c.speaking_shift)
            found[name] = speaking_figures(speaks, source.dev)
    return found


def _of_groups(card: EmotionCard, engine: Engine, groups: Sequence[Sentence]) -> CardFigures:
    """Alarms from the operating point that is the default of serving."""
    raw, c = read_all(engine, [model_text(one.text) for one in groups], card), card.calibration
    danger = None
    if card.shape.concern:
        danger = probabilities(raw.concern[:, 0], c.concern_temperature, c.concern_shift)
    return group_figures(
        groups,
        probabilities(raw.pad[:, 0], 1.0),
        danger,
        band=card.neutral_band,
        concern_at=EmotionSettings().concern.at,
    )


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
    concern = _fit_one(raw.concern, [e.concern for e in dev])
    speaking = _fit_one(raw.speaking, [e.speaking for e in dev])
    cuts = probabilities(fit_cuts(logits, truth, known), temperature, served_shift)
    own_cuts = probabilities(fit_cuts(own_logits, own_truth), own, shift)
    return Calibration(
        emotions_temperature=temperature,
        goemotions_temperature=own,
        concern_temperature=concern[0],
        concern_shift=concern[1],
        speaking_temperature=speaking[0],
        speaking_shift=speaking[1],
        emotions_shift=_named((str(c) for c in card.emotions), served_shift),
        goemotions_shift=dict(zip(GOEMOTIONS, shift.tolist(), strict=True)),
        emotions_threshold=_named((str(c) for c in card.emotions), cuts),
        goemotions_threshold=_named(GOEMOTIONS, own_cuts),
    )


def _fit_one(logits: Raw, wanted: Sequence[bool | None]) -> tuple[float, float]:
    """Temperature and shift of a head's first output; none where nothing is known."""
    rows = [n for n, value in enumerate(wanted) if value is not None]
    truth = np.array([[bool(wanted[n])] for n in rows], dtype=bool).reshape(-1, 1)
    if not logits.shape[1] or not truth.any() or truth.all():
        return 1.0, 0.0
    temperature, shift = fit_platt(logits[rows, :1].astype(np.float64), truth)
    return temperature, float(shift[0])


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
