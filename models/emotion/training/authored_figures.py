"""The card's figures on sets that were written for this project, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from models.emotion.artefact.card import Band, CardFigures, EmotionCard
from models.emotion.serving.inference import Floats, Output, probabilities
from models.emotion.training.examples import Example
from models.emotion.training.joining import fit_band, sign_of
from models.evaluation.scores import auc, average_precision

FOLDS: Final = 5
POINTS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Operating points that the card tells."""


def sign_figures(
    card: EmotionCard, dev: Sequence[Example], raw: Output, around: Band
) -> CardFigures:
    """Share of texts whose sign is the one that was meant.

    `cross_fitted`: each fifth with the band of the other four.
    around: where their bands are looked for; not around the one that all of them chose.
    """
    valence = probabilities(raw.pad[:, 0], 1.0)
    rows = [n for n, e in enumerate(dev) if e.sign is not None]
    if not rows:
        return {"n": 0}
    valence, meant = valence[rows], np.array([float(dev[n].sign or 0) for n in rows])
    read, fold = np.zeros_like(meant), np.arange(len(rows)) % FOLDS
    for use in (fold == number for number in range(FOLDS)):
        band: Band = fit_band(valence[~use], meant[~use], around)
        read[use] = sign_of(valence[use], band)
    right = sign_of(valence, card.neutral_band) == meant
    kinds = [dev[n].kind for n in rows]
    return {
        "n": len(rows),
        "accuracy": float(right.mean()),
        "accuracy_cross_fitted": float((read == meant).mean()),
        "by_kind": {
            kind: {
                "n": int((mask := np.array([k == kind for k in kinds])).sum()),
                "accuracy": float(right[mask].mean()),
            }
            for kind in dict.fromkeys(kinds)
        },
    }


def concern_figures(
    probability: Floats, dev: Sequence[Example], ordinary: Mapping[str, Floats]
) -> CardFigures:
    """How well danger is told from what only sounds like it, by the model alone.

    probability: of any danger, for each text of `dev`; ordinary: the same for texts of public
    sets, by their name. In `curve` each column is a share of texts at or above a point: of what
    was said plainly, of hints, of hard near-misses, of everyday messages, of public texts.
    """
    rows = [n for n, e in enumerate(dev) if e.concern is not None]
    if not rows:
        return {"n": 0}
    score, truth = probability[rows], np.array([bool(dev[n].concern) for n in rows])
    kinds = [dev[n].kind for n in rows]
    groups: dict[str, Callable[[str], bool]] = {
        "plain": lambda kind: kind.endswith("/plain"),
        "hint": lambda kind: kind.endswith("/hint"),
        "near_miss": lambda kind: kind.startswith("near/"),
        "everyday": lambda kind: kind == "ordinary",
    }
    columns = {
        name: score[np.array([belongs(kind) for kind in kinds])] for name, belongs in groups.items()
    } | dict(ordinary)
    return {
        "n": len(rows),
        "average_precision": average_precision(score, truth),
        "roc_auc": auc(score, truth),
        "curve": {
            f"{point:g}": {
                name: float((values >= point).mean()) for name, values in columns.items()
                if len(values)
            }
            for point in POINTS
        },
    }  # fmt: skip


def speaking_figures(probability: Floats, dev: Sequence[Example]) -> CardFigures:
    """How well a learner's words are told from pasted ones. probability: that the learner speaks.

    `by_kind`: share of each kind's texts that are read as the learner's own, at .5.
    """
    rows = [n for n, e in enumerate(dev) if e.speaking is not None]
    if not rows:
        return {"n": 0}
    score, truth = probability[rows], np.array([bool(dev[n].speaking) for n in rows])
    own = score >= 0.5
    names = [f"{'own' if dev[n].speaking else 'pasted'}/{dev[n].kind}" for n in rows]
    return {
        "n": len(rows),
        "roc_auc": auc(score, truth),
        "own_kept": float(own[truth].mean()),
        "pasted_told": float(1 - own[~truth].mean()),
        "by_kind": {
            name: {
                "n": int((mask := np.array([each == name for each in names])).sum()),
                "as_own": float(own[mask].mean()),
            }
            for name in dict.fromkeys(names)
        },
    }
