"""The network as one ONNX graph: encoders, pooling and heads, in eight bits.

Texts of one length go in together, unpadded: `ids_0` (n, length) for the first encoder, and so on;
with several encoders n is 1. What comes out has the names of `Output`, in its order, without the
wide part. A text's figures are the same to the last bit whatever lies beside it: each row (a
token's numbers) is rounded by a scale of its own, products of integers are exact, and what stays
float32 adds up in one order.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from models.emotion.artefact.artefact import SCALE
from models.emotion.exporting.smoothing import smooth
from models.emotion.network.encoders import Encoder
from models.emotion.network.network import EmotionNetwork
from models.emotion.network.storing import as_int8
from models.emotion.serving.cpu import INPUT
from models.emotion.serving.inference import TokenisedText

SHORTEST, LONGEST = 2, 512
"""Tokens of a text, with the two that every text has."""
MOST_TEXTS: Final = 1_024
LEVELS: Final = 127
"""Steps of an int8 on each side of 0."""
MIDDLE: Final = 128
"""A uint8's zero: ONNX Runtime is fastest with unsigned rows and signed weights."""
EXAMPLE: Final = (101, 2023, 2003, 1037, 3231, 102)
"""Any ids: the exporter follows them through the network once."""


class Int8Embedding(nn.Module):
    """An embedding table of int8 with a scale for each row."""

    table: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layer: nn.Embedding) -> None:
        super().__init__()
        rounded = as_int8("table", layer.weight.detach(), over=[1])
        self.register_buffer("table", rounded["table"])
        self.register_buffer("scale", rounded["table" + SCALE])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """(..., length) to (..., length, width)."""
        return functional.embedding(ids, self.table).float() * functional.embedding(ids, self.scale)


class _Texts(nn.Module):
    """The network for texts of one length: nothing is padded, so nothing is masked."""

    def __init__(self, network: EmotionNetwork, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names
        self.encoders = network.encoders
        self.heads = network.heads

    def forward(self, *ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pooled = []
        for encoder, each in zip(self.encoders, ids, strict=True):
            assert isinstance(encoder, Encoder)
            words = encoder.transformer(input_ids=each).last_hidden_state
            # The mean as a product, which is computed a text at a time.
            share = torch.ones_like(words[:, None, :, 0]) / words.shape[1]
            mean = torch.matmul(share, words)[:, 0]
            # One row alone would be added up in another order than the same row among several.
            pooled.append(torch.cat([mean, mean[:1]]))
        given = self.heads(pooled)._asdict()
        return tuple(given[name][:-1] for name in self.names)


def _put(module: nn.Module, name: str, child: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, child)


def write_graph(
    network: EmotionNetwork, names: Sequence[str], samples: Sequence[TokenisedText], file: Path
) -> None:
    """Write the graph. The network is of no use afterwards: it is changed in place.

    names: of the outputs (`inference.outputs_of`)
    samples: typical texts, from which the activations' ranges are learned
    """
    for i, encoder in enumerate(network.encoders):
        assert isinstance(encoder, Encoder)
        transformer: Any = encoder.transformer
        # The others hide the products from the exporter.
        transformer.set_attn_implementation("eager")
        smooth(transformer, partial(_pass, transformer, [text[i] for text in samples]))
        _quantise_embeddings(transformer)
    inputs = [INPUT.format(i) for i in range(len(network.encoders))]
    sizes = {1: torch.export.Dim("length", min=SHORTEST, max=LONGEST)}
    example = torch.tensor([EXAMPLE])
    if len(inputs) == 1:
        sizes[0] = torch.export.Dim("texts", min=1, max=MOST_TEXTS)
        example = torch.cat([example, example])
    # With several encoders the exporter fixes the number of texts, in the attention over them:
    # there a graph reads one at a time.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        whole = Path(folder) / "float32.onnx"
        program = torch.onnx.export(
            _Texts(network, names).eval(),
            tuple(example for _ in inputs),
            input_names=inputs,
            output_names=list(names),
            dynamic_shapes=(tuple(sizes for _ in inputs),),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(whole)
        model = onnx.load(whole)
    _forget_where_it_was_made(model)
    _quantise_products(model.graph)
    onnx.save(model, file)


def write_sums(file: Path) -> None:
    """Write the product by which a processor is asked whether it overflows (`cpu.overflows`)."""
    rows = helper.make_tensor_value_info("rows", TensorProto.UINT8, ["n", 64])
    sums = helper.make_tensor_value_info("sums", TensorProto.INT32, ["n", 16])
    weights = numpy_helper.from_array(np.full((64, 16), LEVELS, np.int8), "weights")
    middle = numpy_helper.from_array(np.asarray(MIDDLE, np.uint8), "middle")
    node = helper.make_node("MatMulInteger", ["rows", "weights", "middle"], ["sums"])
    graph = helper.make_graph([node], "sums", [rows], [sums], [weights, middle])
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), file)


def _quantise_products(graph: onnx.GraphProto) -> None:
    """Make the products of `smoothing.RowScaled` layers int8, in place.

    Their rows reach from -1 to 1, so one fixed scale rounds all of them. Weights have one for each
    output. The heads stay float32: a probability's last digits come from there.
    """
    weights = {one.name: one for one in graph.initializer if len(one.dims) == 2}
    step = _constant(graph, "row_step", np.float32(1 / LEVELS))
    middle = _constant(graph, "row_middle", np.uint8(MIDDLE))
    nodes: list[onnx.NodeProto] = []
    for node in list(graph.node):
        layer = weights.get(node.input[1]) if node.op_type == "MatMul" else None
        if layer is None:
            nodes.append(node)
            continue
        name, rows = layer.name, node.input[0]
        exact = numpy_helper.to_array(layer)
        scale = np.maximum(np.abs(exact).max(0) / LEVELS, np.finfo(np.float32).tiny)
        table = np.rint(exact / scale).astype(np.int8)
        graph.initializer.remove(layer)
        _constant(graph, name, table)
        _constant(graph, f"{name}_step", (scale / LEVELS).astype(np.float32))
        nodes += [
            helper.make_node("QuantizeLinear", [rows, step, middle], [f"{name}_rows"]),
            helper.make_node("MatMulInteger", [f"{name}_rows", name, middle], [f"{name}_sums"]),
            helper.make_node("Cast", [f"{name}_sums"], [f"{name}_floats"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_floats", f"{name}_step"], list(node.output)),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _constant(graph: onnx.GraphProto, name: str, value: Any) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def _forget_where_it_was_made(model: onnx.ModelProto) -> None:
    """The exporter notes for each node the files and lines of this machine."""
    graph = model.graph
    for one in (model, graph, *graph.node, *graph.initializer, *graph.value_info):
        one.ClearField("metadata_props")
        one.ClearField("doc_string")


@torch.no_grad()
def _pass(transformer: nn.Module, texts: Sequence[list[int]]) -> None:
    for ids in texts:
        transformer(input_ids=torch.tensor([ids]))


def _quantise_embeddings(module: nn.Module) -> None:
    """Of words only: the others have few rows."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.Embedding) and child.num_embeddings > LONGEST:
            _put(module, name, Int8Embedding(child))
