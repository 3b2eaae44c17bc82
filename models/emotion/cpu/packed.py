"""BERT-like encoders as a CPU runs them fastest: weights packed once, neighbouring steps joined.

transformers runs one operation after the other on weights as they are stored; oneDNN then packs
them anew for every product, which is half the time of a short text. Here they are packed when
the model is loaded, one product gives query, key and value, and GELU and the residual are part
of the product before them. These are the operations that `torch.compile` would emit on this
device, called by name: no compiler, no compilation at the first text of each length.

oneDNN makes code for every number of rows it meets: up to 50 ms in bfloat16, more than a batch
takes. So rows are rounded up to a few sizes, and all sizes are met when the model is warmed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from models.emotion.cpu.summing import LONGEST
from models.emotion.network.encoders import mean_of

COUNTS_POSITIONS = {"roberta", "xlm-roberta", "camembert"}  # from its padding's id on
KINDS = {"bert", *COUNTS_POSITIONS}

# From this length on torch's fused attention is faster than products over whole batches.
FUSED_ATTENTION = 64

LEAST_ROWS = 16  # what one tile of AMX holds
SIZES_AN_OCTAVE = 4


def size_of(rows: int) -> int:
    """The next size: a multiple of 16, and above 64 at most a quarter more than needed."""
    octave = 1 << max(0, rows - 1).bit_length() >> 1  # rows lie in (octave, 2 * octave]
    step = max(LEAST_ROWS, octave // SIZES_AN_OCTAVE)
    return -(-rows // step) * step


def sizes(most: int) -> Iterator[int]:
    """All sizes, up to the one for `most` rows."""
    size = 0
    while size < most:
        size = size_of(size + 1)
        yield size


class PackedLinear:
    """A linear layer whose weights lie as oneDNN wants them; rows (n, in) to (n, out).

    In bfloat16 a long sum is made in pieces, rounded after each (`summing` says why).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> None:
        """weight (out, in), bias (out,)."""
        pieces = -(-weight.shape[1] // LONGEST) if dtype is torch.bfloat16 else 1
        self._weights = [
            torch.ops.mkldnn._reorder_linear_weight(piece.detach().to(dtype).contiguous(), None)
            for piece in weight.chunk(pieces, 1)
        ]
        self._bias = bias.detach().to(dtype)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """The layer's outputs."""
        first, *rest = self._parts(rows)
        return self._add_rest(self._product(first, "none"), rest)

    def gelu(self, rows: torch.Tensor) -> torch.Tensor:
        """The layer, then GELU."""
        if len(self._weights) == 1:
            return self._product(rows, "gelu")
        return functional.gelu(self(rows))

    def add_to(self, total: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The layer's outputs plus `total` (n, out)."""
        first, *rest = self._parts(rows)
        total = torch.ops.mkldnn._linear_pointwise.binary(
            first, total, self._weights[0], self._bias, "add"
        )
        return self._add_rest(total, rest)

    def _parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return rows.chunk(len(self._weights), -1)

    def _product(self, first: torch.Tensor, then: str) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            first, self._weights[0], self._bias, then, [], "none"
        )
        return product

    def _add_rest(self, total: torch.Tensor, rest: Sequence[torch.Tensor]) -> torch.Tensor:
        for part, weight in zip(rest, self._weights[1:], strict=True):
            total = torch.ops.mkldnn._linear_pointwise.binary(part, total, weight, None, "add")
        return total


class PackedNorm:
    """Layer normalisation of rows (n, width)."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        self._weight, self._bias = norm.weight.detach().to(dtype), norm.bias.detach().to(dtype)
        self._epsilon = norm.eps

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Each row by itself."""
        return functional.layer_norm(
            rows, self._weight.shape, self._weight, self._bias, self._epsilon
        )


class PackedLayer:
    """Attention and feed-forward, each added to what came in and normalised."""

    def __init__(self, layer: Any, heads: int, dtype: torch.dtype) -> None:
        own, joined = layer.attention.self, layer.attention.output
        scale = (own.query.out_features // heads) ** -0.5  # of attention's scores
        self._heads = heads
        self._attended = PackedLinear(
            torch.cat([own.query.weight * scale, own.key.weight, own.value.weight]),
            torch.cat([own.query.bias * scale, own.key.bias, own.value.bias]),
            dtype,
        )
        self._joined = PackedLinear(joined.dense.weight, joined.dense.bias, dtype)
        self._joined_norm = PackedNorm(joined.LayerNorm, dtype)
        self._up = PackedLinear(
            layer.intermediate.dense.weight, layer.intermediate.dense.bias, dtype
        )
        self._down = PackedLinear(layer.output.dense.weight, layer.output.dense.bias, dtype)
        self._norm = PackedNorm(layer.output.LayerNorm, dtype)

    def __call__(
        self, rows: torch.Tensor, shape: tuple[int, int], mask: torch.Tensor | None
    ) -> torch.Tensor:
        """rows (size, width), of which the first are (texts, length); mask as of `attend`."""
        texts, length = shape
        asked = self._attended(rows)[: texts * length].view(texts, length, 3, self._heads, -1)
        seen = torch.zeros_like(rows)
        joined = seen[: texts * length].view(texts, length, self._heads, -1)
        joined.copy_(attend(asked, mask))
        rows = self._joined_norm(self._joined.add_to(rows, seen))
        return self._norm(self._down.add_to(rows, self._up.gelu(rows)))


def attend(asked: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Softmax attention: (n, length, 3, heads, width) to (n, length, heads, width).

    Queries are scaled. mask: (n, 1, 1, length), true where a token may be attended to, or None.
    """
    n, length, _, heads, width = asked.shape
    if asked.dtype is torch.float32 or length >= FUSED_ATTENTION:
        query, key, value = asked.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
        return seen.transpose(1, 2)
    # torch's kernel takes each head of each text by itself: dear, where both are small.
    exact = torch.empty(3, n, heads, length, width).copy_(asked.permute(2, 0, 3, 1, 4))
    query, key, value = exact.view(3, n * heads, length, width)
    scores = torch.bmm(query, key.transpose(1, 2)).view(n, heads, length, length)
    if mask is not None:
        scores.masked_fill_(~mask, -torch.inf)
    weights = scores.softmax(-1).view(n * heads, length, length)
    return torch.bmm(weights, value).view(n, heads, length, width).transpose(1, 2)


class PackedEncoder(nn.Module):
    """In place of `Encoder`: ids and mask (n, length) to (n, width), for inference on a CPU."""

    def __init__(self, transformer: Any, dtype: torch.dtype) -> None:
        """transformer: one that `can_be_packed`, in float32."""
        super().__init__()
        embeddings, config = transformer.embeddings, transformer.config
        places = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
        self._places: torch.Tensor = places.detach().to(dtype)
        self._words = embeddings.word_embeddings.weight.detach().to(dtype)
        counted = config.model_type in COUNTS_POSITIONS
        self._padding: int | None = embeddings.padding_idx if counted else None
        self._norm = PackedNorm(embeddings.LayerNorm, dtype)
        self._layers = [
            PackedLayer(layer, config.num_attention_heads, dtype)
            for layer in transformer.encoder.layer
        ]

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean of the last layer over the tokens that are not padding."""
        texts, length = ids.shape
        embedded = functional.embedding(ids, self._words) + self._positions(ids)
        rows = embedded.new_zeros(size_of(texts * length), embedded.shape[-1])
        rows[: texts * length] = embedded.view(texts * length, -1)
        rows = self._norm(rows)
        seen = None if bool(mask.all()) else mask.bool()[:, None, None, :]
        for layer in self._layers:
            rows = layer(rows, (texts, length), seen)
        return mean_of(rows[: texts * length].view(texts, length, -1), mask)

    def warm(self, most: int) -> None:
        """Meet every size that up to `most` tokens of a batch can have; all layers share them."""
        # The largest first: what it leaves free holds the memory of the others.
        for size in reversed([*sizes(most)]):
            rows = self._words.new_zeros(size, self._words.shape[1])
            self._layers[0](rows, (size // LEAST_ROWS, LEAST_ROWS), None)

    def _positions(self, ids: torch.Tensor) -> torch.Tensor:
        if self._padding is None:
            return self._places[: ids.shape[1]]
        tokens = ids.ne(self._padding)
        return functional.embedding(tokens.cumsum(1) * tokens + self._padding, self._places)


def can_be_packed(transformer: Any, dtype: torch.dtype) -> bool:
    """Whether this torch has the operations, and the encoder is of a kind that is known here."""
    config = transformer.config
    if config.model_type not in KINDS or config.hidden_act != "gelu" or config.is_decoder:
        return False
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype is torch.float32


def pack(encoders: nn.ModuleList, dtype: torch.dtype) -> None:
    """Replace, in place, every encoder that can be packed."""
    for i, encoder in enumerate(encoders):
        if can_be_packed(encoder.transformer, dtype):
            encoders[i] = PackedEncoder(encoder.transformer, dtype)
