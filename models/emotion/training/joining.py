"""How the windows of a long text become one reading: fitted on long authored texts.

Three numbers (the windows' length, what the last one counts, what feeling counts) are few enough
for the texts that there are; the least loss of the three signs chooses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from scipy.special import expit, log_expit

from models.emotion.artefact.artefact import Artefact
from models.emotion.artefact.card import Band, Joining
from models.emotion.config import EmotionSettings
from models.emotion.model_text import model_text
from models.emotion.serving.gpu import Pad, RunNetwork
from models.emotion.serving.inference import Floats, Output
from models.emotion.serving.tokenising import TokeniseTexts
from models.emotion.serving.windows import Windows
from models.emotion.training.examples import Example
from models.emotion.training.recipe import LossWeights

LENGTHS: Final = (32, 48, 64, 96, 128)
LASTS: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
FEELINGS: Final = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
OVERLAPPING: Final = 4
"""Neighbours share one part in so many."""
BATCH: Final = 64
SMALLEST: Final = 1e-6


def fit_joining(artefact: Artefact, whole: Sequence[Example], weights: LossWeights) -> Joining:
    """The rule that reads the signs of whole texts best; the card's own without any texts."""
    card = artefact.card
    signed = [example for example in whole if example.sign is not None]
    if not signed:
        return card.joining
    tokenise = TokeniseTexts(artefact)
    texts = tokenise([model_text(example.text) for example in signed])
    signs = np.array([example.sign for example in signed])
    run, pad = RunNetwork(artefact, "cpu", "float32"), Pad(tokenise.padding_ids, 1)
    most = EmotionSettings().max_windows
    neutral = float(np.log(np.mean(weights.sign_band) / (1 - np.mean(weights.sign_band))))
    found: tuple[float, Joining] | None = None
    for length in (each for each in LENGTHS if each <= card.max_tokens):
        own = Joining(length=length, overlap=length // OVERLAPPING, neutral=neutral)
        split = [
            Windows(card.max_tokens, most, own, tokenise.unknown_ids).split(text) for text in texts
        ]
        every = [window for windows in split for window in windows]
        parts = [run(pad(every[at : at + BATCH])) for at in range(0, len(every), BATCH)]
        output = Output(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        for last, feeling in product(LASTS, FEELINGS):
            rule = own.model_copy(update={"last": last, "feeling": feeling})
            windows = Windows(card.max_tokens, most, rule, tokenise.unknown_ids)
            joined = windows.join(output, [len(each) for each in split])
            loss = sign_loss(expit(joined.pad[:, 0].astype(np.float64)), signs, weights)
            if found is None or loss < found[0]:
                found = (loss, rule)
    assert found is not None
    return found[1]


def sign_loss(valence: Floats, signs: Floats, weights: LossWeights) -> float:
    """As in training (`losses`): three ordered signs, cut at the band's edges. (n,) each."""
    low, high = weights.sign_band
    above = log_expit((valence - high) / weights.sign_width)
    below = log_expit((low - valence) / weights.sign_width)
    between = np.log(np.maximum(1 - np.exp(above) - np.exp(below), SMALLEST))
    chosen = np.where(signs > 0, above, np.where(signs < 0, below, between))
    return float(-chosen.mean())


def fit_band(valence: Floats, signs: Floats, around: Band) -> Band:
    """The neutral band by which most signs are read as they were meant. (n,) each.

    Its edges lie within .06 of `around`. Of several that are as good, the nearest to it.
    """
    if not len(signs):
        return around
    low, high = around
    steps = np.arange(-0.06, 0.0601, 0.005)
    best: tuple[float, float, Band] | None = None
    for a, b in product(low + steps, high + steps):
        if a > b:
            continue
        right = float((sign_of(valence, (a, b)) == signs).mean())
        near = -abs(a - low) - abs(b - high)
        if best is None or (right, near) > best[:2]:
            best = (right, near, (round(float(a), 3), round(float(b), 3)))
    assert best is not None
    return best[2]


def sign_of(valence: Floats, band: Band) -> Floats:
    """-1 below the band, 1 above it, else 0. (n,) each."""
    return np.where(valence > band[1], 1.0, np.where(valence < band[0], -1.0, 0.0))
