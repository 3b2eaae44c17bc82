"""Averages of weights: of one run's steps (Polyak and Juditsky, 1992), and of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

State = Mapping[str, torch.Tensor]
EVERY = 8  # steps between two updates; the decay is raised to it


class AveragedWeights:
    """Keeps an average of every parameter that is trained."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state = {
            name: p.detach().clone() for name, p in network.named_parameters() if p.requires_grad
        }

    @property
    def names(self) -> frozenset[str]:
        """The averaged parameters."""
        return frozenset(self.state)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step`; early steps count less than the decay says."""
        if step % EVERY:
            return
        decay = min(self._decay**EVERY, (1 + step) / (10 * EVERY + step))
        for name, parameter in network.named_parameters():
            if name in self.state:
                self.state[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def copy_to(self, network: nn.Module) -> None:
        """Replace the network's weights by their average."""
        for name, parameter in network.named_parameters():
            if name in self.state:
                parameter.copy_(self.state[name])


def check_soup(network: nn.Module, others: Sequence[State]) -> None:
    """Raises ValueError where a state is of another shape than the network."""
    for state in others:
        for name, value in network.state_dict().items():
            if name not in state or state[name].shape != value.shape:
                raise ValueError(f"soup: {name} does not fit this run's network")


@torch.no_grad()
def average_with(network: nn.Module, others: Sequence[State]) -> None:
    """Replace every weight by its mean over this network and the others' states.

    Wortsman et al. (2022), Model soups. It works where all began from the same weights and
    met their texts in the same order (one seed): elsewhere hidden units do not correspond.
    """
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.stack([value, *(state[name] for state in others)]).mean(0))
