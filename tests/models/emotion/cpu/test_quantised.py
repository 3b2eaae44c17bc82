from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.emotion.cpu.quantised import Int8Linear, quantise


@given(st.integers(1, 70), st.floats(0.01, 100), st.integers(0, 1_000))
def test_products_are_close_whatever_the_size_of_a_row(rows: int, size: float, seed: int) -> None:
    torch.manual_seed(seed)
    layer = nn.Linear(64, 48)
    inputs = torch.randn(rows, 64) * size
    exact, ours = layer(inputs), Int8Linear(layer)(inputs)
    assert (exact - ours).norm() < 0.03 * exact.norm()


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    layer = Int8Linear(nn.Linear(64, 48))
    row = torch.randn(1, 64)
    beside = torch.cat([row, torch.randn(20, 64) * 1_000])
    assert torch.equal(layer(beside)[:1], layer(row))


def test_zeros_give_the_bias() -> None:
    plain = nn.Linear(8, 8)
    layer = Int8Linear(plain)
    torch.testing.assert_close(layer(torch.zeros(2, 3, 8))[1, 2], plain.bias)


def test_every_linear_layer_is_replaced() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.GELU(), nn.Linear(8, 8)))
    quantise(module)
    assert not [m for m in module.modules() if isinstance(m, nn.Linear)]
    assert sum(isinstance(m, Int8Linear) for m in module.modules()) == 2
