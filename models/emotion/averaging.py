"""Exponential moving average of the trained weights (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import torch
from torch import nn

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
