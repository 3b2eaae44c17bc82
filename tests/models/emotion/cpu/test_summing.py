"""Long sums in pieces: as exact, and the same for a row whatever lies beside it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.emotion.cpu.hardware import prepare_bfloat16
from models.emotion.cpu.summing import LONGEST, SummedLinear, keep_sums_whole


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(1536, 384)


def test_the_sum_is_that_of_the_layer(layer: nn.Linear) -> None:
    inputs = torch.randn(3, 5, 1536)
    torch.testing.assert_close(SummedLinear(layer)(inputs), layer(inputs), atol=1e-5, rtol=1e-4)


def test_bfloat16_stays_as_near_as_bfloat16_is(layer: nn.Linear) -> None:
    prepare_bfloat16()
    inputs = torch.randn(40, 1536)
    exact = layer(inputs)
    pieces = SummedLinear(layer).bfloat16()(inputs.bfloat16()).float()
    assert (pieces - exact).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize(("inner", "outer"), [(1536, 384), (384, 1536), (384, 384)])
def test_a_row_does_not_depend_on_the_number_of_rows(inner: int, outer: int) -> None:
    prepare_bfloat16()
    torch.manual_seed(2)
    layers = nn.Sequential(nn.Linear(inner, outer))
    keep_sums_whole(layers)
    layers.bfloat16()
    inputs = torch.randn(1024, inner).bfloat16()
    with torch.inference_mode():
        every = layers(inputs)
        # Batches hold texts of a length that is a multiple of four
        for rows in (4, 12, 20, *range(24, 160, 8), 200, 256, 300, 512, 700, 960):
            assert torch.equal(layers(inputs[:rows]), every[:rows]), rows


def test_only_long_sums_are_replaced(layer: nn.Linear) -> None:
    short = nn.Linear(LONGEST, 8)
    module = nn.Sequential(short, nn.Sequential(layer))
    keep_sums_whole(module)
    assert module[0] is short
    replaced = module[1][0]  # type: ignore[index]
    assert isinstance(replaced, SummedLinear)
    assert [tuple(p.shape) for p in replaced.pieces] == [(384, 384)] * 4
