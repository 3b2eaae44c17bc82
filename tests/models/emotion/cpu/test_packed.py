"""Packed encoders beside transformers' own: the same numbers, whatever lies in the batch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from models.emotion.cpu.hardware import prepare_bfloat16
from models.emotion.cpu.packed import (
    FUSED_ATTENTION,
    PackedEncoder,
    can_be_packed,
    pack,
    size_of,
    sizes,
)
from models.emotion.network.encoders import mean_of

WORDS = 500
KINDS = [
    (BertConfig, BertModel),
    (RobertaConfig, RobertaModel),
    (XLMRobertaConfig, XLMRobertaModel),
]
needs_bfloat16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 products here"
)


def random(config: Any, model: Any, **options: Any) -> Any:
    """An encoder with weights large enough that attention is not even."""
    torch.manual_seed(4)
    shape = {"hidden_size": 96, "num_attention_heads": 3, "intermediate_size": 800}
    transformer = model(config(vocab_size=WORDS, num_hidden_layers=2, **shape | options)).eval()
    with torch.no_grad():
        for weights in transformer.parameters():
            weights.normal_(0, 0.1) if weights.dim() > 1 else weights.add_(0.1 * torch.randn(()))
    return transformer


def texts(count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, the first text the longest."""
    torch.manual_seed(5)
    lengths = torch.randint(2, length + 1, (count,))
    lengths[0] = length
    mask = (torch.arange(length)[None, :] < lengths[:, None]).long()
    return torch.where(mask.bool(), torch.randint(5, WORDS, (count, length)), 1), mask


def plain(transformer: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mean_of(transformer(input_ids=ids, attention_mask=mask).last_hidden_state, mask)


@pytest.mark.parametrize("length", [2, 21, FUSED_ATTENTION + 3])
@pytest.mark.parametrize(("config", "model"), KINDS)
@torch.inference_mode()
def test_float32_is_what_transformers_gives(config: Any, model: Any, length: int) -> None:
    transformer = random(config, model)
    ids, mask = texts(6, length)
    ids[0, length // 2] = 1  # a text may spell the padding token, which some kinds count around
    packed = PackedEncoder(transformer, torch.float32)
    wanted = plain(transformer, ids, mask)
    assert wanted.std() > 0.1
    torch.testing.assert_close(packed(ids, mask), wanted, atol=1e-5, rtol=1e-4)


@needs_bfloat16
@pytest.mark.parametrize("length", [2, 21, FUSED_ATTENTION + 3])
@torch.inference_mode()
def test_bfloat16_is_no_further_off_than_transformers_in_bfloat16(length: int) -> None:
    prepare_bfloat16()
    transformer = random(BertConfig, BertModel)
    ids, mask = texts(6, length)
    exact = plain(transformer, ids, mask)
    packed = PackedEncoder(transformer, torch.bfloat16)(ids, mask).float()
    theirs = plain(transformer.bfloat16(), ids, mask).float()
    assert (packed - exact).norm() < 1.5 * (theirs - exact).norm()


@needs_bfloat16
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [4, 20, FUSED_ATTENTION])
@torch.inference_mode()
def test_a_text_does_not_depend_on_the_number_of_texts(dtype: torch.dtype, length: int) -> None:
    prepare_bfloat16()
    shape = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
    packed = PackedEncoder(random(BertConfig, BertModel, **shape), dtype)
    ids, mask = texts(96, length)
    every = packed(ids, mask).float()
    for count in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        alone = packed(ids[:count], mask[:count]).float()
        # Attention's sums may end in another last digit; no rounding may let it grow.
        torch.testing.assert_close(alone, every[:count], atol=1e-5, rtol=1e-5)


@given(st.integers(1, 10_000))
def test_a_size_holds_its_rows_and_wastes_little(rows: int) -> None:
    size = size_of(rows)
    assert rows <= size < rows + max(16, rows / 4)
    assert size_of(size) == size
    assert size in sizes(rows)


def made(products: Callable[[], Any], capfd: pytest.CaptureFixture[str]) -> int:
    """How many matrix products oneDNN made code for."""
    capfd.readouterr()
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
        products()
    ctypes.CDLL(None).fflush(None)
    lines = capfd.readouterr().out.splitlines()
    return sum("create:cache_miss" in line and ",inner_product," in line for line in lines)


@torch.inference_mode()
def test_once_warm_no_batch_waits_for_code_to_be_made(capfd: pytest.CaptureFixture[str]) -> None:
    # Of a width that no other test uses: the code is kept for the whole process.
    shape = {"hidden_size": 72, "num_attention_heads": 2, "intermediate_size": 104}
    packed = PackedEncoder(random(BertConfig, BertModel, **shape), torch.float32)
    assert made(lambda: packed(*texts(2, 7)), capfd) > 0
    packed.warm(300)
    batches = [texts(*shape) for shape in ((1, 3), (1, 20), (7, 9), (3, 99), (25, 12))]
    assert made(lambda: [packed(*batch) for batch in batches], capfd) == 0


def test_what_is_not_known_stays_as_it_is() -> None:
    shape = {"vocab_size": WORDS, "hidden_size": 96, "num_attention_heads": 3}
    others = [
        MPNetModel(MPNetConfig(num_hidden_layers=1, **shape)),
        BertModel(BertConfig(num_hidden_layers=1, hidden_act="gelu_new", **shape)),
    ]
    encoders = nn.ModuleList()
    for transformer in [*others, random(BertConfig, BertModel)]:
        encoder = nn.Module()
        encoder.transformer = transformer
        encoders.append(encoder)
    before = list(encoders)
    pack(encoders, torch.float32)
    assert list(encoders)[:2] == before[:2]
    assert isinstance(encoders[2], PackedEncoder)


def test_numbers_without_packed_products_are_left_to_torch() -> None:
    config = SimpleNamespace(model_type="bert", hidden_act="gelu", is_decoder=False)
    assert not can_be_packed(SimpleNamespace(config=config), torch.float16)
