"""The network as one ONNX graph: encoders, pooling and heads, in eight bits.

One text at a time goes in, unpadded: `ids_0` (1, length) for the first encoder, and so on. What
comes out has the names of `Output`, in its order, without the wide part.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from torch import nn
from torch.nn import functional

from models.emotion.artefact.artefact import SCALE
from models.emotion.exporting.smoothing import smooth
from models.emotion.network.encoders import Encoder
from models.emotion.network.network import EmotionNetwork
from models.emotion.network.storing import as_int8
from models.emotion.serving.cpu import INPUT
from models.emotion.serving.inference import Output, TokenisedText

SHORTEST, LONGEST = 2, 512
"""Tokens of a text, with the two that every text has."""
BLOCK: Final = 128
"""Weights that share a scale."""
INT8_PRODUCTS: Final = 4
"""ONNX Runtime's accuracy_level of products whose activations are int8 as well."""
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


class _OneText(nn.Module):
    """The network for one text: nothing is padded, so nothing is masked."""

    def __init__(self, network: EmotionNetwork) -> None:
        super().__init__()
        self.encoders = network.encoders
        self.heads = network.heads

    def forward(self, *ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pooled = []
        for encoder, each in zip(self.encoders, ids, strict=True):
            assert isinstance(encoder, Encoder)
            pooled.append(encoder.transformer(input_ids=each).last_hidden_state.mean(1))
        return tuple(self.heads(pooled))


def write_graph(network: EmotionNetwork, samples: Sequence[TokenisedText], file: Path) -> None:
    """Write the graph. The network is of no use afterwards: it is changed in place.

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
    length = {1: torch.export.Dim("length", min=SHORTEST, max=LONGEST)}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        whole = Path(folder) / "float32.onnx"
        program = torch.onnx.export(
            _OneText(network).eval(),
            tuple(torch.tensor([EXAMPLE]) for _ in inputs),
            input_names=inputs,
            output_names=list(Output._fields),
            dynamic_shapes=(tuple(length for _ in inputs),),
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(whole)
        _quantise_products(onnx.load(whole), file)


def _quantise_products(model: onnx.ModelProto, file: Path) -> None:
    """Make the products with weights int8, and write the graph.

    A layer that sums over more inputs than it gives outputs (an encoder's second feed-forward
    layer) gets scales for blocks of weights and for each token; it caused most of what eight bits
    cost. The others get one scale for each output and one for all tokens, which is twice as fast.
    """
    _forget_where_it_was_made(model)
    inner = {one.name: list(one.dims) for one in model.graph.initializer}
    products = {
        node.name: inner[node.input[1]]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in inner
    }
    plain = [name for name, (inputs, outputs) in products.items() if inputs <= outputs]
    blockwise = MatMulNBitsQuantizer(
        model,
        bits=8,
        block_size=BLOCK,
        is_symmetric=True,
        accuracy_level=INT8_PRODUCTS,
        nodes_to_exclude=plain,
    )
    blockwise.process()
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.onnx"
        onnx.save(blockwise.model.model, part)
        quantize_dynamic(
            part,
            file,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
            # The heads are small, and a probability's last digits come from there. The library
            # makes two nodes of each, and names the first one so.
            nodes_to_exclude=[f"{n.name}_MatMul" for n in model.graph.node if n.op_type == "Gemm"],
        )


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
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, Int8Embedding(child))
