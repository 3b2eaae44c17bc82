"""The shipped graph beside the network that it was made from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from models.emotion.artefact.artefact import Artefact
from models.emotion.exporting.export import DP, graph_costs
from models.emotion.serving.cpu import RunGraph, Unpadded
from models.emotion.serving.engine import Engine, network_engine, read_all
from models.emotion.serving.inference import Output, calibrate
from models.emotion.training.examples import corpus
from models.emotion.training.recipe import CORPUS
from models.emotion.training.sources import SplitSource

COUNT = 200


@pytest.fixture(scope="module")
def source() -> SplitSource:
    return SplitSource("corpus", "", "", [], corpus(CORPUS)[::40][:COUNT])


@pytest.fixture(scope="module")
def both(artefact: Artefact, engine: Engine, source: SplitSource) -> tuple[Output, Output]:
    exact = network_engine(artefact, device="cpu", max_tokens=128, batch_tokens=2_048)
    texts = [example.text for example in source.dev]
    first, second = (read_all(one, texts, artefact.card) for one in (exact, engine))
    return first, second


def test_the_shipped_graph_reads_within_its_cards_figures(
    artefact: Artefact, both: tuple[Output, Output]
) -> None:
    exact, graph = (calibrate(artefact.card, raw) for raw in both)
    moved = np.abs(graph.emotions - exact.emotions)
    told = artefact.card.graph[DP]
    assert moved.mean() < 1.5 * told["dp_mean"]
    assert moved.max() <= told["dp_largest"]
    assert np.abs(graph.pad - exact.pad).max() <= told["pad_largest"]
    same = (graph.emotions.argmax(1) == exact.emotions.argmax(1)).mean()
    assert same > told["same_top"] - 0.03


def test_the_card_says_that_the_graph_costs_next_to_nothing(artefact: Artefact) -> None:
    costs = artefact.card.graph
    assert costs[DP]["dp_mean"] < 0.001
    # A macro-F1 over labels of 15 texts moves by .01 where one of them crosses its threshold.
    bars = {"goemotions (dev)": -0.002, "the 41 on goemotions (dev)": -0.01}
    for source, bar in bars.items():
        assert costs[source]["macro_f1"] > bar, source
        assert abs(costs[source]["ece"]) < 0.002, source


def test_costs_are_what_changed(
    artefact: Artefact, source: SplitSource, both: tuple[Output, Output]
) -> None:
    exact, graph = both
    same = graph_costs(artefact.card, [source], exact, exact)
    assert all(value == 0 for name, value in same["corpus (dev)"].items()), same
    assert same[DP]["dp_largest"] == 0
    assert same[DP]["same_top"] == 1
    other = graph_costs(artefact.card, [source], exact, graph)
    assert other[DP]["texts"] == len(source.dev)
    assert other[DP]["dp_largest"] > 0
    assert "per_class" not in other["corpus (dev)"]


def test_products_with_weights_are_made_in_eight_bits(artefact: Artefact) -> None:
    graph = onnx.load(artefact.graph()).graph
    kinds = [node.op_type for node in graph.node]
    weights = {one.name for one in graph.initializer}
    assert kinds.count("MatMulInteger") == 36
    left = [n for n in graph.node if n.op_type == "MatMul" and set(n.input) & weights]
    assert left == []
    assert kinds.count("Gemm") == 8  # the heads


def test_a_text_is_read_as_alone_whatever_lies_beside_it(artefact: Artefact) -> None:
    run, rng = RunGraph(artefact, 1), np.random.default_rng(5)
    texts = [
        (rng.integers(1_000, 20_000, length).tolist(),) for length in (3, 9, 14, 14, 9, 14, 40)
    ]
    together = run(Unpadded(texts * 9))
    for at, text in enumerate(texts):
        alone = run(Unpadded([text]))
        for whole, single in zip(together, alone, strict=True):
            assert (whole[at :: len(texts)] == single).all()
