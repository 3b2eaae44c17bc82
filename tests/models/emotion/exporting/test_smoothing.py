from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from models.emotion.exporting.smoothing import RowScaled, smooth


class Attention(nn.Module):
    """Two layers that read one tensor, as query and key do, and one that reads another."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.out = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(4, 3)
        self.unused = nn.Linear(8, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.out(self.query(inputs) + self.key(inputs))
        return result


@pytest.fixture
def inputs() -> torch.Tensor:
    torch.manual_seed(1)
    drawn = torch.randn(5, 7, 8)
    drawn[..., 3] *= 100  # one channel as large as a transformer's outliers
    return drawn


def test_smoothing_changes_no_product(inputs: torch.Tensor) -> None:
    module = Attention()
    before = module(inputs)
    smooth(module, partial(module, inputs))
    torch.testing.assert_close(module(inputs), before, rtol=1e-4, atol=1e-4)


def test_the_large_channel_is_taken_over_by_the_weights(inputs: torch.Tensor) -> None:
    module = Attention()
    smooth(module, partial(module, inputs))
    assert isinstance(module.query, RowScaled)
    smoothed = (inputs * module.query.inverse).abs().amax((0, 1))
    plain = inputs.abs().amax((0, 1))
    assert smoothed.max() / smoothed.median() < plain.max() / plain.median() / 10


def test_layers_with_one_input_share_their_factors_and_what_is_not_run_stays(
    inputs: torch.Tensor,
) -> None:
    module = Attention()
    smooth(module, partial(module, inputs))
    assert module.query.inverse is module.key.inverse
    assert module.out.inverse is not module.query.inverse
    assert isinstance(module.unused, nn.Linear)
