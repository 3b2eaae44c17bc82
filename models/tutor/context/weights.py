"""How much of the budget each layer may claim: assumed in the settings, corrected by feedback.

A layer's effect cannot be read from the replies that had it: learners of whom much is known
differ from new ones. So a small share of requests does without one layer, drawn from the
request's id, and the layer's weight grows with how much more often replies help with it than
without it. Both shares are Beta distributions over fading counts, and a rare situation
assumes what the common ones have shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.tutor.context.config import LayersSettings, LearningSettings
from models.tutor.context.material import Layer, LayerUse, Use
from models.tutor.providers.evidence import ANY, NOTHING, Evidence, Situation

SHARING: Final = (Layer.PROFILE, Layer.STATE, Layer.HISTORY, Layer.CONVERSATION)
"""The layers that share the budget."""
ON_TRIAL: Final = (Layer.PROFILE, Layer.STATE, Layer.HISTORY)
"""Those that may be left out. Never the conversation: an answer to nothing helps nobody."""

_WHOLE: Final = 2**64


@dataclass(frozen=True, slots=True)
class LayerCell:
    """Where evidence of a layer is kept. shown: of replies with it, or of those without."""

    layer: Layer
    task: str
    mood: str
    shown: bool


LayerEvidence = Mapping[LayerCell, Evidence]
"""All evidence there is; a cell that is not in it holds nothing."""


def withheld(request: str, share: float) -> Layer | None:
    """The layer that this request does without, or None. Same id, same answer."""
    digest = hashlib.sha256(b"layer on trial\0" + request.encode(errors="replace")).digest()
    if int.from_bytes(digest[:8], "big") / _WHOLE >= share:
        return None
    return ON_TRIAL[int.from_bytes(digest[8:16], "big") % len(ON_TRIAL)]


def cells(layer: Layer, situation: Situation, *, shown: bool) -> Iterator[LayerCell]:
    """Where an outcome counts, the widest first."""
    yield LayerCell(layer, ANY, ANY, shown)
    yield LayerCell(layer, situation.task, ANY, shown)
    yield LayerCell(layer, situation.task, situation.mood, shown)


def credited(
    uses: Sequence[LayerUse],
    situation: Situation,
    helpful: float,
    *,
    known: LayerEvidence,
    now: float,
    settings: LearningSettings,
) -> dict[LayerCell, Evidence]:
    """The cells that one reply's feedback changes, as they are after it.

    uses: of the reply's prompt
    helpful: in [0, 1]
    now: seconds, of any clock that all who add share
    """
    changed = {}
    for use in uses:
        if use.layer not in ON_TRIAL or use.use is Use.EMPTY:
            continue
        for cell in cells(use.layer, situation, shown=use.use is Use.KEPT):
            before = known.get(cell, NOTHING)
            changed[cell] = before.plus(helpful, now, settings.half_life)
    return changed


def helpfulness(
    layer: Layer,
    situation: Situation,
    *,
    known: LayerEvidence,
    now: float,
    settings: LearningSettings,
) -> tuple[float, float]:
    """Share of helpful replies (with the layer, without it), each in (0, 1).

    Without any trial the second is assumed to be the first.
    """
    with_it = cells(layer, situation, shown=True)
    without = cells(layer, situation, shown=False)
    shown = _share(with_it, settings.prior_mean, known=known, now=now, settings=settings)
    return shown, _share(without, shown, known=known, now=now, settings=settings)


def effect(
    layer: Layer,
    situation: Situation,
    *,
    known: LayerEvidence,
    now: float,
    settings: LearningSettings,
) -> float:
    """What the layer's weight is multiplied by; 1 where nothing is known."""
    if layer not in ON_TRIAL:
        return 1.0
    shown, hidden = helpfulness(layer, situation, known=known, now=now, settings=settings)
    factor = float((shown / hidden) ** settings.strength)
    return min(max(factor, settings.least), settings.most)


def shares(
    situation: Situation,
    *,
    known: LayerEvidence,
    now: float,
    layers: LayersSettings,
    settings: LearningSettings,
) -> dict[Layer, float]:
    """Each sharing layer's claim to the budget; they sum to 1."""
    claims = {
        layer: layers.claim(layer, situation.task, situation.mood)
        * effect(layer, situation, known=known, now=now, settings=settings)
        for layer in SHARING
    }
    total = sum(claims.values())
    if total <= 0:
        return {layer: 1.0 / len(claims) for layer in claims}
    return {layer: claim / total for layer, claim in claims.items()}


def _share(
    chain: Iterator[LayerCell],
    assumed: float,
    *,
    known: LayerEvidence,
    now: float,
    settings: LearningSettings,
) -> float:
    mean = assumed
    for cell in chain:
        found = known.get(cell, NOTHING).faded(now, settings.half_life)
        mean = (mean * settings.prior_weight + found.total) / (settings.prior_weight + found.weight)
    return mean
