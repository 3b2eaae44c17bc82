"""Writes the graph into an artefact's folder, and into its card what the graph costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from models.artefacts import write_card
from models.emotion.artefact.artefact import (
    GRAPH,
    Artefact,
    load,
    tokenizer_name,
    write_card_text,
)
from models.emotion.artefact.card import CardFigures, EmotionCard
from models.emotion.config import EmotionSettings
from models.emotion.exporting.graph import write_graph
from models.emotion.model_text import model_text
from models.emotion.network.encoders import write_tokenizer
from models.emotion.network.storing import network_of
from models.emotion.serving.engine import build_engine, network_engine, read_all
from models.emotion.serving.inference import Output, calibrate, outputs_of
from models.emotion.serving.tokenising import Tokeniser
from models.emotion.training.fitting import BATCH_TOKENS, measured
from models.emotion.training.sources import SplitSource

SAMPLES: Final = 500
"""Training texts from which the activations' ranges are learned, evenly from all sources."""
DP: Final = "readings (dev)"
"""The card's name for how far single readings move."""

Report = Callable[[str], None]


def write_tokenizers(artefact: Artefact) -> None:
    """The tokeniser of each encoder, beside the weights. Raises EncoderNotFound, OSError."""
    for i, encoder in enumerate(artefact.card.encoders):
        write_tokenizer(encoder, artefact.folder / tokenizer_name(i))


def export(artefact: Artefact, sources: Sequence[SplitSource], report: Report) -> Artefact:
    """Write tokenisers and graph, measure the graph on dev, and write the card anew.

    Raises EncoderNotFound, OSError; ValueError where there is no text to learn ranges from.
    """
    card = artefact.card
    train = [model_text(e.text) for source in sources for e in source.train]
    dev = [model_text(e.text) for source in sources for e in source.dev]
    if not train:
        raise ValueError("no training text: the graph's ranges cannot be learned")
    write_tokenizers(artefact)
    report("writing the graph")
    chosen = train[:: max(1, len(train) // SAMPLES)]
    tokenisers = [
        Tokeniser(artefact.tokenizer(i), card.max_tokens) for i in range(len(card.encoders))
    ]
    samples = list(zip(*(tokenise(chosen) for tokenise in tokenisers), strict=True))
    write_graph(network_of(artefact), outputs_of(card), samples, artefact.folder / GRAPH)
    report("measuring the graph")
    served = EmotionSettings(device="cpu", max_tokens=card.max_tokens)
    graph = build_engine(artefact, served)
    exact = network_engine(
        artefact,
        device="cpu",
        max_tokens=card.max_tokens,
        max_windows=served.max_windows,
        batch_tokens=BATCH_TOKENS,
    )
    costs = graph_costs(card, sources, *(read_all(one, dev, card) for one in (exact, graph)))
    write_card(artefact.folder, card.model_copy(update={"graph": costs}))
    done = load(artefact.folder)
    write_card_text(done)
    return done


def graph_costs(
    card: EmotionCard, sources: Sequence[SplitSource], exact: Output, graph: Output
) -> dict[str, CardFigures]:
    """How far single readings move, and what each figure of the card changes by."""
    if not len(exact.emotions):
        return {}
    before, after = calibrate(card, exact), calibrate(card, graph)
    moved = np.abs(after.emotions - before.emotions)
    costs: dict[str, CardFigures] = {
        DP: {
            "texts": float(len(moved)),
            "dp_mean": float(moved.mean()),
            "dp_p99": float(np.quantile(moved, 0.99)),
            "dp_largest": float(moved.max()),
            "pad_largest": float(np.abs(after.pad - before.pad).max()),
            "same_top": float((after.emotions.argmax(1) == before.emotions.argmax(1)).mean()),
        }
    }
    was, now = (measured(card, sources, raw, card.neutral_band) for raw in (exact, graph))
    for name, figures in was.items():
        changes = _changes(figures, now[name])
        if changes:
            costs[name] = changes
    return costs


def _changes(before: CardFigures, after: CardFigures) -> CardFigures:
    """Of every figure that is one number, and of the numbers by axis or class."""
    found: dict[str, Any] = {}
    for name, value in before.items():
        other = after[name]
        if name in {"n", "per_class", "by_kind", "curve"}:
            continue
        if isinstance(value, dict):
            found |= {f"{name} {key}": other[key] - one for key, one in value.items()}
        elif isinstance(value, float) and isinstance(other, float):
            found[name] = other - value
    return found
