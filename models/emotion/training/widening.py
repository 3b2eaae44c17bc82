"""Fitting the wide part: a logistic regression for each label, on the texts that know it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from models.emotion.artefact.card import EmotionCard
from models.emotion.model_text import model_text
from models.emotion.network.encoders import Tokens, pad
from models.emotion.network.wide import Wide, grams
from models.emotion.serving.tokenising import Tokeniser
from models.emotion.training.losses import targets
from models.emotion.training.recipe import Recipe, WidePart
from models.emotion.training.sources import SplitSource

CHUNK = 1_024  # texts hashed at once


def widened(
    recipe: Recipe, card: EmotionCard, sources: Sequence[SplitSource], tokenise: Tokeniser
) -> Wide:
    """The wide part for the texts that a run trains on. tokenise: of the first encoder."""
    used = [e for source in sources if recipe.repeat(source.name) for e in source.train]
    known = targets(used, card.emotions)
    return fit_wide(
        tokenise([model_text(e.text) for e in used]),
        torch.cat([known.emotions, known.goemotions], 1),
        recipe.shape.wide,
        recipe.wide,
    )


def fit_wide(tokens: Sequence[Tokens], wanted: torch.Tensor, buckets: int, how: WidePart) -> Wide:
    """tokens: ids of each text; wanted: (n, outputs) targets, NaN where a text does not know."""
    rows = gram_counts(tokens, buckets)
    often = np.asarray((rows > 0).sum(0)).ravel() >= how.least_texts
    rows = (rows * often).tocsr()
    wide = Wide(buckets, wanted.shape[1])
    with torch.no_grad():
        for label, column in enumerate(wanted.numpy().T):
            known = ~np.isnan(column)
            present = column[known] > 0.5
            if present.all() or not present.any():
                continue  # nothing to tell apart
            model = LogisticRegression(C=how.inverse_penalty, solver="liblinear")
            model.fit(rows[known], present)
            wide.table.weight[:buckets, label] = how.weight * torch.from_numpy(model.coef_[0])
            # How frequent the label is, the encoder's head knows: on average nothing is added.
            wide.bias[label] = -how.weight * float((rows[known] @ model.coef_[0]).mean())
    return wide


def gram_counts(tokens: Sequence[Tokens], buckets: int) -> csr_array:
    """(n, buckets): how often each bucket occurs, over the root of the text's number of them."""
    texts, found, values = [], [], []
    for start in range(0, len(tokens), CHUNK):
        hashed = grams(*pad(tokens[start : start + CHUNK], 0), buckets).numpy()
        kept = hashed != buckets
        row, _ = np.nonzero(kept)
        texts.append(row + start)
        found.append(hashed[kept])
        values.append(1 / np.sqrt(kept.sum(1))[row])
    where = (np.concatenate(texts).astype(np.int32), np.concatenate(found).astype(np.int32))
    return csr_array((np.concatenate(values), where), shape=(len(tokens), buckets))
